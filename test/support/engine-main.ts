/** The engine's process without the rest of the program, for tests of what starts engines: `node -C source engine-main.ts`. */
import { writeSync } from "node:fs";
import { causeOf } from "#core/causes.ts";
import { DriverError } from "#core/errors.ts";
import { type Logger, redactSecrets } from "#core/log.ts";
import { runEngine } from "#fuse/engine/index.ts";
import type { EngineConfig, EngineReport, EngineRequest } from "#fuse/engine/protocol.ts";

const write = (fields: object, message: string) => void writeSync(2, `${message} ${JSON.stringify(redactSecrets(fields))}\n`);
const log: Logger = { debug() {}, info: write, warn: write, error: write, child: () => log };
const report = (message: EngineReport) => void (process.connected && process.send?.(message, () => undefined));

process.on("disconnect", () => undefined);
const config = await new Promise<EngineConfig>((resolve) => process.once("message", (message) => resolve(message as EngineConfig)));
const hooks = {
  log,
  report,
  onRequest: (handle: (request: EngineRequest) => void) => void process.on("message", (request) => handle(request as EngineRequest)),
};
try {
  process.exit((await runEngine(config, hooks)) === "uploaded" ? 0 : 3);
} catch (error) {
  const { fault, message } = DriverError.from(error);
  const cause = causeOf(error);
  log.error({ error }, "the engine failed");
  if (!process.connected) process.exit(1);
  process.send?.({ type: "failed", fault, message, cause }, () => process.exit(1));
}
