/** Waiting for the end of a service. */
import type { ProcessContext } from "./process-context.ts";

/** Resolves with the first signal that asks us to end. Later ones change nothing: the end is on its way. */
export function untilStopped(context: ProcessContext): Promise<NodeJS.Signals> {
  return new Promise((resolve) => context.onStopSignal(resolve));
}
