/** The two halves of `mount` without --foreground: who waits at the prompt, and who stays. They talk over Node's IPC channel. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { DriverError, FAULTS, type Fault } from "#core/errors.ts";
import { describeExit } from "#node/engine-process.ts";
import type { ProcessContext } from "./process-context.ts";

type Word = { readonly type: "ready" } | { readonly type: "failed"; readonly fault: string; readonly message: string };

/**
 * Starts the mount in a session of its own; resolves with 0 when the mount answers. Throws what went wrong, as the other half said it;
 * that half has ended by then.
 */
export async function startDetached(args: readonly string[], { self, env }: ProcessContext): Promise<number> {
  const child = spawn(self.file, [...self.args, "mount", "--foreground", "--detached", ...args], {
    detached: true,
    env,
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  const word = await Promise.race([
    once(child, "message").then(([message]) => message as Word),
    exited.then(([code, signal]) => {
      const how = describeExit({ code, signal });
      return {
        type: "failed" as const,
        fault: "internal",
        message: `the mount ended before it was ready (${how}); --foreground shows why`,
      };
    }),
  ]);
  if (word.type === "failed") {
    await exited;
    throw new DriverError(Object.hasOwn(FAULTS, word.fault) ? (word.fault as Fault) : "internal", word.message);
  }
  child.disconnect();
  child.unref();
  return 0;
}

/** Runs the half that stays: `work` says when it is ready; what it throws before goes to the one who waits, and to nobody after. */
export async function tellParent(work: (ready: () => Promise<void>) => Promise<number>): Promise<number> {
  try {
    return await work(() => say({ type: "ready" }));
  } catch (thrown) {
    const { fault, message } = DriverError.from(thrown);
    await say({ type: "failed", fault, message }).catch(() => undefined);
    return 1;
  }
}

/** Throws `interrupted` when the one who waited has gone. */
function say(word: Word): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new DriverError("interrupted", "nobody waits for this mount any more"));
    if (process.send === undefined || !process.connected) return gone();
    process.send(word, undefined, undefined, (error) => (error === null ? resolve() : gone()));
  });
}
