/**
 * `bucketmount node`: CSI Identity and Node on a Unix socket, and the plugin's registration with the kubelet, until a signal.
 * Engines and mounts outlive this process: an upgrade of the plugin stops nobody's pod.
 */
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { DriverError } from "#core/errors.ts";
import { parseBytes } from "#core/options.ts";
import { DRIVER_NAME } from "#csi/identity.ts";
import { type CsiServer, startCsiServer } from "#csi/server.ts";
import { createKeeperClient } from "#keeper/client.ts";
import { serveRegistration } from "#node/registration.ts";
import { createNodeServices } from "#node/service.ts";
import { defaultCacheSize } from "./cache-folder.ts";
import type { ControllerFlags } from "./controller.ts";
import { kernelMounts } from "./kernel-mounts.ts";
import { createLogger } from "./logger.ts";
import { observeNode } from "./node-observation.ts";
import type { ProcessContext } from "./process-context.ts";
import { untilStopped } from "./stop-signal.ts";
import { findCredentials, locateStore } from "./store-settings.ts";
import { parsing } from "./usage-error.ts";

export interface NodeFlags extends ControllerFlags {
  readonly nodeId: string;
  readonly registrationDir?: string;
  readonly stateDir: string;
  readonly cacheSize?: string;
  readonly keeper?: string;
}

const STDERR_FD = 2;
/** Calls that run get this long to end. */
const GRACE_MS = 10_000;
/** A keeper that is being replaced at the same time gets this long to come back. With GRACE_MS it stays below the kubelet's 30 s. */
const LEAVE_MS = 15_000;
/** By then the kubelet has published again whatever pods of before a reboot still need. */
const ABANDONED_MS = 5 * 60_000;

/** Resolves with the exit code after a signal. Throws when a socket cannot be served. */
export async function runNode(flags: NodeFlags, context: ProcessContext): Promise<number> {
  const cacheSize = flags.cacheSize === undefined ? undefined : parsing(() => parseBytes(flags.cacheSize ?? "", "--cache-size"));
  const log = createLogger({ level: flags.logLevel, fd: STDERR_FD });
  const location = locateStore({ ...flags, endpoint: flags.s3Endpoint }, context.env);
  const { driverName = DRIVER_NAME } = flags;
  const stateDir = resolve(flags.stateDir);
  await makeStateDir(stateDir);
  const observation = await observeNode({ flags, driverName, env: context.env, log, location, volumes: () => volumes() });
  const { services, volumes, keeping, unsealAbandoned } = createNodeServices({
    ...{ nodeId: flags.nodeId, driverName, stateDir, log, env: context.env, onTrouble: observation.onTrouble },
    defaults: {
      ...location,
      credentials: await findCredentials({}, "", context.env, []),
      cacheSizeBytes: cacheSize ?? (await defaultCacheSize(stateDir)),
      logLevel: flags.logLevel,
    },
    engine: { file: context.self.file, args: [...context.self.args, "engine"] },
    mounts: kernelMounts,
    keeper: flags.keeper === undefined ? undefined : createKeeperClient({ socketPath: resolve(flags.keeper) }),
  });
  // First of all: whoever uses a mount of an earlier plugin waits for this.
  await keeping?.link.start();
  const servers: CsiServer[] = [await startCsiServer({ endpoint: flags.endpoint, services, log, onCall: observation.onCall })];
  const sweep = setTimeout(() => {
    unsealAbandoned().then(
      (targets) => targets.length > 0 && log.info({ targets }, "the kubelet has lost these targets: their directories may be removed now"),
      (error: unknown) => log.warn({ error }, "cannot look for targets that the kubelet has lost"),
    );
  }, ABANDONED_MS).unref();
  try {
    if (flags.registrationDir !== undefined) {
      servers.push(await serveRegistration({ dir: resolve(flags.registrationDir), endpoint: flags.endpoint, driverName, log }));
    }
    await observation.serve();
    log.info({ socket: flags.endpoint, nodeId: flags.nodeId, s3: location.endpoint }, "the node plugin serves");
    log.info({ signal: await untilStopped(context) }, "the node plugin ends; its mounts stay");
    observation.end();
    return 0;
  } finally {
    clearTimeout(sweep);
    await Promise.all(servers.map((server) => server.close(GRACE_MS)));
    await observation.close();
    if (keeping !== undefined && !(await keeping.link.leave(LEAVE_MS))) {
      log.error({}, "no keeper has the mounts: they end with this plugin's engines");
    }
  }
}

async function makeStateDir(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 }).catch((cause: NodeJS.ErrnoException) => {
    throw new DriverError("precondition", `cannot make the state folder "${path}": ${cause.code}`, { cause });
  });
}
