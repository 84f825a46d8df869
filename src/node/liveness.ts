/**
 * Asking a mount whether it answers. An engine that hangs makes statfs(2) hang, and with it one of this process's few threads: so
 * each path has at most one question under way, however often it is asked.
 */
import type { StatsFs } from "node:fs";
import { statfs } from "node:fs/promises";
import { isFault } from "#core/errors.ts";
import { within } from "./deadline.ts";

const ANSWER_MS = 5000;

const asking = new Map<string, Promise<StatsFs>>();

/** statfs(2) of the path. Fault `timed_out` when nothing came within `ms`; the kernel's error else. */
export function askMount(path: string, ms = ANSWER_MS): Promise<StatsFs> {
  let question = asking.get(path);
  if (question === undefined) {
    question = statfs(path).finally(() => asking.delete(path));
    asking.set(path, question);
  }
  return within(ms, `"${path}"`, question);
}

/** `dead`: its connection has ended, for good. `silent`: no answer in time, which is no proof of death. */
export type Liveness = "alive" | "dead" | "silent";

export async function livenessOf(path: string, ms = ANSWER_MS): Promise<Liveness> {
  return askMount(path, ms).then(
    () => "alive",
    (error: unknown) => {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "ENOTCONN" || code === "ECONNABORTED") return "dead";
      return isFault(error, "timed_out") ? "silent" : "alive";
    },
  );
}

/** True when the path is a FUSE mount whose connection has ended: the kernel says so at once. A time-out is no proof. */
export async function isDead(mountPoint: string): Promise<boolean> {
  return (await livenessOf(mountPoint)) === "dead";
}
