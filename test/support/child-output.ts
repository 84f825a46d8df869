import type { ChildProcess } from "node:child_process";

export interface ChildOutput {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Both streams as they came. */
  readonly said: string;
}

/** What a process says to its end, on streams that are pipes. Rejects when it could not be started. */
export function outputOf(child: ChildProcess): Promise<ChildOutput> {
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, said }));
  });
}
