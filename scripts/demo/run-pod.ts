/** Runs pod.ts as a child process and passes its progress on. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { PodReport } from "./pod.ts";
import type { Amount } from "./report.ts";

export interface PodResult extends Amount {
  readonly differences: readonly string[];
}

const POD = fileURLToPath(new URL("pod.ts", import.meta.url));

/** Each file call on a mount holds one of libuv's threads until the engine answers. */
const THREADS = "32";

export function runPod(
  action: "copy" | "compare",
  source: string,
  volume: string,
  progress: (done: Amount, of: Amount) => void,
): Promise<PodResult> {
  const child = fork(POD, [action, source, volume], { execArgv: ["-C", "source"], env: { ...process.env, UV_THREADPOOL_SIZE: THREADS } });
  let of: Amount = { entries: 0, bytes: 0 };
  let result: PodResult | undefined;
  child.on("message", (message: PodReport) => {
    if (message.type === "total") of = message;
    if (message.type === "progress") progress(message, of);
    if (message.type === "done") result = { entries: of.entries, bytes: of.bytes, differences: message.differences };
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (result !== undefined && code === 0) resolve(result);
      else reject(new Error(`the pod's process (${action}) ended with ${signal ?? `exit code ${code}`}`));
    });
  });
}
