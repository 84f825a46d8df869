/**
 * `mount -o remount,...`: changes the flags that the kernel keeps for a mount (`ro`, `rw`, `nosuid`, ...). The engine is not asked:
 * what it was mounted with stays.
 */
import { spawnSync } from "node:child_process";
import { DriverError } from "#core/errors.ts";

const KERNEL_FLAGS = new Set(["ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec"]);

export interface RemountRequest {
  readonly dir: string;
  /** In the order given: of `ro` and `rw` the last counts. */
  readonly flags: readonly string[];
}

/** What a command line of `mountArguments` asks to change; undefined when it asks for a mount. */
export function remountRequest(args: readonly string[]): RemountRequest | undefined {
  const words = args.flatMap((word, index) => (args[index - 1] === "-o" ? word.split(",") : []));
  const dir = args.at(-1);
  if (!words.includes("remount") || dir === undefined) return undefined;
  return { dir, flags: words.filter((word) => KERNEL_FLAGS.has(word)) };
}

/** Throws what mount(8) says when it fails. Options that are not the kernel's are not looked at: mount(8) passes all that the mount has. */
export function remount({ dir, flags }: RemountRequest): void {
  // -i: not by a helper, which is what brought us here.
  const { status, stderr, error } = spawnSync("mount", ["-i", "-o", ["remount", ...flags].join(","), "--", dir], { encoding: "utf8" });
  if (status !== 0) throw new DriverError("precondition", `cannot remount "${dir}": ${error?.message ?? stderr.trim()}`);
}
