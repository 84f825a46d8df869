/** From a request to the engine's configuration: defaults, environment, credentials and folders of this machine. */
import { isAbsolute, join, relative, resolve } from "node:path";
import { DriverError } from "#core/errors.ts";
import type { LogLevel } from "#core/log.ts";
import { resolveMountOptions } from "#core/options.ts";
import type { EngineConfig } from "#fuse/engine/protocol.ts";
import { readMounts } from "#node/mounts.ts";
import { defaultCacheDir, defaultCacheSize, mountId } from "./cache-folder.ts";
import { checkMountPoint } from "./mount-point.ts";
import type { MountRequest } from "./mount-request.ts";
import { findCredentials, locateStore } from "./store-settings.ts";

export interface MountPlan {
  readonly id: string;
  readonly config: Omit<EngineConfig, "takeover">;
}

/** AWS's oldest region, as AWS's own tools had it. */
const DEFAULT_REGION = "us-east-1";

/** Changes nothing on the machine. Throws what is wrong, naming it. */
export async function planMount(request: MountRequest, env: NodeJS.ProcessEnv): Promise<MountPlan> {
  const { bucket, prefix, given } = request;
  const mountPoint = await checkMountPoint(request.dir, await readMounts(), { nonempty: given.nonempty ?? false });
  const location = locateStore(
    { endpoint: given.url, region: given.region, pathStyle: given.use_path_request_style, caFile: given.ca_bundle },
    env,
  );
  const wishes = { passwdFile: given.passwd_file, profile: given.profile, instanceRole: given.iam_role !== undefined };
  const credentials = await findCredentials(wishes, bucket, env);
  const id = mountId({ endpoint: location.endpoint, bucket, prefix, mountPoint });
  const stateDir = stateFolder(request, mountPoint, id, env);
  return {
    id,
    config: {
      store: { bucket, prefix, ...location, region: location.region ?? DEFAULT_REGION, credentials },
      options: resolveMountOptions(given, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }),
      mountPoint,
      stateDir,
      cacheSizeBytes: given.cache_size ?? (await defaultCacheSize(stateDir)),
      logLevel: (given.dbglevel as LogLevel | undefined) ?? "info",
    },
  };
}

/** Refuses a folder inside the mount: the engine would wait for itself. */
function stateFolder({ given }: MountRequest, mountPoint: string, id: string, env: NodeJS.ProcessEnv): string {
  const cacheDir = given.use_cache ?? defaultCacheDir(process.getuid?.() ?? 0, env);
  const path = resolve(given.state_dir ?? join(cacheDir, id));
  const inside = relative(mountPoint, path);
  if (inside === "" || (!inside.startsWith("..") && !isAbsolute(inside))) {
    throw new DriverError(
      "bad_argument",
      `the folder for cache and state, "${path}", is inside the mount point: choose another with --cache-dir`,
    );
  }
  return path;
}
