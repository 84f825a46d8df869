/** Where data goes whose object was replaced elsewhere: kept on this host, under a name that tells the file, and never dropped. */
import { closeSync, copyFileSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import type { NodeId } from "#core/brand.ts";
import type { VfsContext } from "./context.ts";

/** Of NAME_MAX, what is left beside time and number. */
const NAME_CHARACTERS = 180;

/** Copies the spool file at `path` into the conflict folder; answers where it is. Throws what the disk refuses. */
export function keepConflict({ options, clock }: VfsContext, file: { name: string; node: NodeId; path: string }): string {
  mkdirSync(options.conflictDir, { recursive: true, mode: 0o700 });
  const kept = join(options.conflictDir, `${encodeURIComponent(file.name).slice(0, NAME_CHARACTERS)}.${clock.now()}.${file.node}`);
  copyFileSync(file.path, kept);
  flushToDisk(kept);
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
