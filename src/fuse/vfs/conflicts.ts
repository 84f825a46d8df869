/** Where data goes whose object was replaced elsewhere: kept on this host, under a name that tells the file, and never dropped. */
import { closeSync, copyFileSync, fsyncSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeId } from "#core/brand.ts";
import type { VfsContext } from "./context.ts";

/** Of NAME_MAX, what is left beside time and number. */
const NAME_CHARACTERS = 180;

interface ConflictFile {
  readonly name: string;
  readonly node: NodeId;
  readonly path: string;
  /** What of it is there, when the rest was in the replaced version alone. */
  readonly ranges?: readonly (readonly [start: number, end: number])[] | null | undefined;
}

/**
 * Copies the spool file at `path` into the conflict folder; answers where it is. Beside a file that is not whole its `ranges` are written
 * down: all that was written here is among them, the rest reads as zeros and is gone with the replaced version. Throws what the
 * disk refuses.
 */
export function keepConflict({ options, clock }: VfsContext, file: ConflictFile): string {
  mkdirSync(options.conflictDir, { recursive: true, mode: 0o700 });
  const kept = join(options.conflictDir, `${encodeURIComponent(file.name).slice(0, NAME_CHARACTERS)}.${clock.now()}.${file.node}`);
  copyFileSync(file.path, kept);
  flushToDisk(kept);
  if (file.ranges) writeFileSync(`${kept}.ranges`, `${JSON.stringify(file.ranges)}\n`, { flush: true });
  return kept;
}

/** The spool file goes after this: a power loss must find the copy. */
function flushToDisk(path: string): void {
  const fd = openSync(path, "r+");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
