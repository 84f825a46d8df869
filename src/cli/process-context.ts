/** What a command may know of the process it runs in. main.ts makes the real one; tests bring their own. */
import type { EngineCommand } from "#node/engine-process.ts";

export interface ProcessContext {
  readonly env: NodeJS.ProcessEnv;
  /** How to start this program again, up to and without the command's name. */
  readonly self: EngineCommand;
  /** Writes to standard output; a line break is added. */
  out(text: string): void;
  /** Writes one line to standard error, after the program's name. */
  err(text: string): void;
  /** Calls back at each request to end: SIGTERM, SIGINT, SIGHUP. Until it is called these end the process at once. */
  onStopSignal(handler: (signal: NodeJS.Signals) => void): void;
}
