/**
 * `bucketmount keeper`: holds the mounts' descriptors until a signal. What it does not load it does not keep in memory, and need not be
 * replaced for: this is the one process that should outlive the upgrades of the others.
 */
import type { LogLevel } from "#core/log.ts";
import { serveKeeper } from "#keeper/server.ts";
import { serveHealth } from "./keeper-health.ts";
import { createLogger } from "./logger.ts";
import type { ProcessContext } from "./process-context.ts";

export interface KeeperFlags {
  readonly socket: string;
  readonly httpEndpoint?: string;
  readonly logLevel: LogLevel;
}

const STDERR_FD = 2;

/** Resolves with the exit code once it has let everything go. Throws when the socket cannot be served. */
export async function runKeeper({ socket, httpEndpoint, logLevel }: KeeperFlags, context: ProcessContext): Promise<number> {
  const log = createLogger({ level: logLevel, fd: STDERR_FD });
  const health = httpEndpoint === undefined ? undefined : await serveHealth(httpEndpoint);
  try {
    const server = await serveKeeper({ socketPath: socket, log });
    context.onStopSignal((signal) => {
      log.info({ signal, mounts: server.held }, "the keeper is asked to end");
      server.stop();
    });
    log.info({ socket }, "the keeper serves");
    await server.ended;
    log.info({}, "the keeper has ended");
    return 0;
  } finally {
    health?.close();
  }
}
