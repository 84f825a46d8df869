/**
 * `bucketmount node`: CSI Identity and Node on a Unix socket, and the plugin's registration with the kubelet, until a signal.
 * Engines and mounts outlive this process: an upgrade of the plugin stops nobody's pod.
 */
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { DriverError } from "#core/errors.ts";
import { parseBytes } from "#core/options.ts";
import { type CsiServer, startCsiServer } from "#csi/server.ts";
import { createKeeperClient } from "#keeper/client.ts";
import { serveRegistration } from "#node/registration.ts";
import { createNodeServices } from "#node/service.ts";
import { defaultCacheSize } from "./cache-folder.ts";
import type { ControllerFlags } from "./controller.ts";
import { kernelMounts } from "./kernel-mounts.ts";
import { createLogger } from "./logger.ts";
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

/** Resolves with the exit code after a signal. Throws when a socket cannot be served. */
export async function runNode(flags: NodeFlags, context: ProcessContext): Promise<number> {
  const cacheSize = flags.cacheSize === undefined ? undefined : parsing(() => parseBytes(flags.cacheSize ?? "", "--cache-size"));
  const log = createLogger({ level: flags.logLevel, fd: STDERR_FD });
  const location = locateStore({ ...flags, endpoint: flags.s3Endpoint }, context.env);
  const driverName = flags.driverName === undefined ? {} : { driverName: flags.driverName };
  const stateDir = resolve(flags.stateDir);
  await makeStateDir(stateDir);
  const { services, keeping } = createNodeServices({
    ...{ nodeId: flags.nodeId, ...driverName, stateDir, log, env: context.env },
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
  const servers: CsiServer[] = [await startCsiServer({ endpoint: flags.endpoint, services, log })];
  try {
    if (flags.registrationDir !== undefined) {
      servers.push(await serveRegistration({ dir: resolve(flags.registrationDir), endpoint: flags.endpoint, ...driverName, log }));
    }
    log.info({ socket: flags.endpoint, nodeId: flags.nodeId, s3: location.endpoint }, "the node plugin serves");
    log.info({ signal: await untilStopped(context) }, "the node plugin ends; its mounts stay");
    return 0;
  } finally {
    await Promise.all(servers.map((server) => server.close(GRACE_MS)));
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
