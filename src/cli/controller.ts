/** `bucketmount controller`: CSI Identity and Controller on a Unix socket, until a signal. */

import { createControllerServices } from "#controller/service.ts";
import type { LogLevel } from "#core/log.ts";
import { startCsiServer } from "#csi/server.ts";
import { createBucketAdmin } from "#s3/index.ts";
import { createLogger } from "./logger.ts";
import type { ProcessContext } from "./process-context.ts";
import { untilStopped } from "./stop-signal.ts";
import { locateStore } from "./store-settings.ts";

export interface ControllerFlags {
  readonly endpoint: string;
  readonly s3Endpoint?: string;
  readonly region?: string;
  readonly pathStyle?: boolean;
  readonly caFile?: string;
  readonly driverName?: string;
  readonly logLevel: LogLevel;
}

const STDERR_FD = 2;
/** Calls that run get this long to end. */
const GRACE_MS = 10_000;

/** Resolves with the exit code after a signal. Throws when the socket cannot be served. */
export async function runController(flags: ControllerFlags, context: ProcessContext): Promise<number> {
  const log = createLogger({ level: flags.logLevel, fd: STDERR_FD });
  const location = locateStore({ ...flags, endpoint: flags.s3Endpoint }, context.env);
  // No credentials here: the SDK's own chain serves requests that bring none.
  const { services, close } = createControllerServices({
    ...(flags.driverName === undefined ? {} : { driverName: flags.driverName }),
    ...{ defaultStore: location, createAdmin: createBucketAdmin, log },
  });
  const server = await startCsiServer({ endpoint: flags.endpoint, services, log });
  log.info({ socket: server.socketPath, s3: location.endpoint }, "the controller serves");
  const signal = await untilStopped(context);
  log.info({ signal }, "the controller ends");
  await server.close(GRACE_MS);
  await close();
  return 0;
}
