/**
 * `bucketmount engine`: serves one mount. Started by a supervisor only, with /dev/fuse as fd 3 and Node's IPC channel; its
 * first message is the EngineConfig.
 *
 * It ends when its mount is gone and by nothing else: signals that would end a process are ignored, and so is a supervisor that went
 * away. That is why this command stays out of commander's and gRPC's way: what it does not load, no mount has to keep in memory.
 */
import { fstatSync } from "node:fs";
import { causeOf } from "#core/causes.ts";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { runEngine } from "#fuse/engine/index.ts";
import type { EngineConfig, EngineReport, EngineRequest } from "#fuse/engine/protocol.ts";
import { createLogger } from "./logger.ts";
import type { ProcessContext } from "./process-context.ts";
import { UsageError } from "./usage-error.ts";

const DEVICE_FD = 3;
const STDERR_FD = 2;

/** Exit codes that the supervisor knows: everything is in the bucket; data is left in the spool; crashed. */
const EXIT = { uploaded: 0, "left-in-spool": 3, crashed: 1 } as const;

/** Resolves with the exit code. Throws a usage error when a person started it. */
export async function runEngineCommand(context: ProcessContext): Promise<number> {
  if (process.send === undefined) throw startedByHand();
  context.onStopSignal(() => undefined);
  const config = await firstMessage();
  if (config === undefined) return EXIT.crashed;
  if (config.options.channel === "dev-fuse" && !isOpen(DEVICE_FD)) throw startedByHand();
  const log = createLogger({ level: config.logLevel, fd: STDERR_FD }).child({ mountPoint: config.mountPoint });
  return serve(config, log);
}

function startedByHand(): UsageError {
  return new UsageError("`bucketmount engine` is started by `bucketmount mount` and `bucketmount node`, never by hand");
}

async function serve(config: EngineConfig, log: Logger): Promise<number> {
  try {
    const end = await runEngine(config, {
      log,
      report: (report) => void send(report),
      onRequest: (handle) => process.on("message", (request) => handle(request as EngineRequest)),
    });
    return EXIT[end];
  } catch (thrown) {
    const error = DriverError.from(thrown);
    log.error({ error: thrown }, "the engine failed");
    await send({ type: "failed", fault: error.fault, message: error.message, cause: causeOf(error) });
    return EXIT.crashed;
  }
}

/** Resolves when the report is on its way. A supervisor that is gone gets none. */
function send(report: EngineReport): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) return resolve();
    process.send(report, undefined, undefined, () => resolve());
  });
}

/** Undefined when the supervisor died before it said anything. */
function firstMessage(): Promise<EngineConfig | undefined> {
  return new Promise((resolve) => {
    process.once("message", (message) => resolve(message as EngineConfig));
    process.once("disconnect", () => resolve(undefined));
  });
}

function isOpen(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice();
  } catch {
    return false;
  }
}
