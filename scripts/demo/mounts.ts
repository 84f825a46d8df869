/** Which mount points lie below a folder, from /proc/self/mountinfo (proc(5)): the fifth field, with octal escapes. */
import { readFileSync } from "node:fs";

export function mountsUnder(dir: string): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter(Boolean);
  const points = lines.map((line) =>
    (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(parseInt(octal, 8))),
  );
  return points.filter((point) => point === dir || point.startsWith(`${dir}/`));
}
