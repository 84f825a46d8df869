/** `bucketmount controller`: CSI Identity and Controller on a Unix socket, until a signal. */

import { createControllerServices } from "#controller/service.ts";
import type { LogLevel } from "#core/log.ts";
import { DRIVER_NAME } from "#csi/identity.ts";
import { startCsiServer } from "#csi/server.ts";
import { createBucketAdmin } from "#s3/index.ts";
import { createLogger } from "./logger.ts";
import { createPluginEvents } from "./plugin-events.ts";
import { createPluginPages } from "./plugin-pages.ts";
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
  readonly httpEndpoint?: string;
  readonly kubeEvents?: boolean;
  readonly logLevel: LogLevel;
}

const STDERR_FD = 2;
/** Calls that run get this long to end. */
const GRACE_MS = 10_000;

/** Resolves with the exit code after a signal. Throws when the socket cannot be served. */
export async function runController(flags: ControllerFlags, context: ProcessContext): Promise<number> {
  const log = createLogger({ level: flags.logLevel, fd: STDERR_FD });
  const location = locateStore({ ...flags, endpoint: flags.s3Endpoint }, context.env);
  const { driverName = DRIVER_NAME, httpEndpoint, endpoint } = flags;
  const events = flags.kubeEvents ? createPluginEvents({ env: context.env, driverName, log }) : undefined;
  // No credentials here: the SDK's own chain serves requests that bring none.
  const { services, storeHealth, close } = createControllerServices({
    ...{ driverName, defaultStore: location, createAdmin: createBucketAdmin, log },
    onStoreChange: events?.onStoreChange,
  });
  const pages =
    httpEndpoint === undefined
      ? undefined
      : await createPluginPages({
          ...{ component: "controller", driverName, log, endpoint, httpEndpoint, ownStore: storeHealth, needsStore: true },
          events: events && (() => events.recorder.counts()),
        });
  const server = await startCsiServer({ endpoint, services, log, onCall: pages?.onCall });
  try {
    await pages?.serve();
    log.info({ socket: server.socketPath, s3: location.endpoint }, "the controller serves");
    const signal = await untilStopped(context);
    log.info({ signal }, "the controller ends");
    pages?.end();
    return 0;
  } finally {
    await server.close(GRACE_MS);
    await Promise.all([close(), pages?.close(), events?.close()]);
  }
}
