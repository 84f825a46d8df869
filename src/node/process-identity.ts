/**
 * A process is known by its id and its start time together: ids are used again, the pair is not (within one boot).
 * From proc_pid_stat(5): field 22 is the start in clock ticks since boot.
 */
import { readFile } from "node:fs/promises";

export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number;
}

/** The start time in /proc/PID/stat. The command's name may hold blanks and parentheses, so fields are counted after the last one. */
export function parseStartTicks(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A zombie (Z) or dead (X) process does nothing any more: it counts as gone.
  return fields[0] === "Z" || fields[0] === "X" ? Number.NaN : Number(fields[19]);
}

/** Who this pid is now; undefined when nobody is, or a zombie. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  const startTicks = stat === undefined ? Number.NaN : parseStartTicks(stat);
  return Number.isNaN(startTicks) ? undefined : { pid, startTicks };
}

/** True while exactly this process runs. */
export async function isAlive(who: ProcessIdentity): Promise<boolean> {
  return (await identify(who.pid))?.startTicks === who.startTicks;
}
