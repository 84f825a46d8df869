/**
 * `copyWhole`: copy_file_range(2) of a whole file, as cp(1) does it. The content is copied on the local disk, where the kernel may read and
 * write it, and the upload is a copy inside the store for as long as nobody writes to it: nothing goes over the network.
 */
import { DriverError } from "#core/errors.ts";
import { recordDirty } from "./content-opening.ts";
import type { VfsContext } from "./context.ts";
import type { Inode } from "./inode.ts";

/**
 * Copies all of `source` into the empty file `target`, both open; answers the bytes. Under both locks. Throws `unsupported` when the source
 * is not clean and whole on the disk, the target is not empty, `length` is less, or the file is so small that it is one PUT anyway.
 */
export async function copyWhole(context: VfsContext, source: Inode, target: Inode, length: number): Promise<number> {
  const whole = source.content?.dirty === undefined ? source.content?.whole : undefined;
  const dirty = target.content?.dirty;
  if (whole === undefined || dirty === undefined || source.detached || target.detached || length < whole.id.size) throw refusal();
  if (dirty.isTracked || dirty.stat().size > 0 || target.content?.sending !== undefined || !context.spool.copies(whole.id.size))
    throw refusal();
  await dirty.takeCopy(whole);
  recordDirty(context, target);
  target.pageCacheEtag = undefined;
  return whole.id.size;
}

function refusal(): DriverError {
  return new DriverError("unsupported", "nothing is gained by copying this inside the store");
}
