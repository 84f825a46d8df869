/** Whether this machine lets a test mount. Says why not, once, so that a skip is never silent. */
import { accessSync, constants } from "node:fs";

/** Undefined when real mounts are possible here, else the reason. */
export function whyNoMounts(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root for mount(2)";
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return "needs /dev/fuse";
  }
}

/** True when tests with real mounts must be skipped; prints the reason for `what`. */
export function skipMounts(what: string): boolean {
  const reason = whyNoMounts();
  if (reason !== undefined) console.warn(`SKIPPED ${what}: ${reason}`);
  return reason !== undefined;
}
