/**
 * Copies and deletes whose answers are lost.
 *
 * The store repeats a request whose answer did not come; when it gives up, the last one may have been carried out all the same. What
 * stands under the key tells. A move that took a copy for failed would leave an object behind, and one under `a/` would hide the file `a`
 * that the move puts back. A file that was deleted and is taken for being there refuses the next writer, who replaces what is gone.
 */
import { isDeepStrictEqual } from "node:util";
import type { Etag } from "#core/brand.ts";
import { isFault } from "#core/errors.ts";
import type { CallOptions, CopyOptions, ObjectInfo, ObjectStore, PutResult, UserMetadata } from "#s3/object-store.ts";
import { isGone } from "./own-version.ts";

interface Expected {
  readonly size: number;
  readonly etag: Etag;
  readonly metadata: UserMetadata;
}

/** `store.copy`, which fails only when the target is not what it makes, or nobody can tell. Throws what the copy threw. */
export function copySurely(store: ObjectStore, source: string, target: string, options: CopyOptions): Promise<PutResult> {
  return surely(
    store,
    target,
    () => store.copy(source, target, options),
    async () => {
      const { size, etag, metadata } = await store.head(source);
      return { size, etag, metadata: options.replace?.metadata ?? metadata };
    },
  );
}

/** The same for anything that writes `target`. */
export async function surely(
  store: ObjectStore,
  target: string,
  write: () => Promise<PutResult>,
  expected: () => Promise<Expected>,
): Promise<PutResult> {
  try {
    return await write();
  } catch (error) {
    if (!isFault(error, "unavailable", "timed_out")) throw error;
    const made = await find(store, target, expected).catch(() => undefined);
    if (made === undefined) throw error;
    return { etag: made.etag, dateMs: made.lastModified };
  }
}

/**
 * `store.delete`, which fails only when something still stands there, or nobody can tell. Throws what the delete threw. A repeated
 * request may be refused for what the first one did.
 */
export async function deleteSurely(
  store: ObjectStore,
  key: string,
  options: CallOptions & { readonly ifMatch?: Etag } = {},
): Promise<void> {
  try {
    await store.delete(key, options);
  } catch (error) {
    const mayBeDone = isFault(error, "unavailable", "timed_out", "stale", "not_found");
    if (!mayBeDone || !(await isGone(store, key).catch(() => false))) throw error;
  }
}

async function find(store: ObjectStore, target: string, expected: () => Promise<Expected>): Promise<ObjectInfo | undefined> {
  const [wanted, there] = [await expected(), await store.head(target)];
  if (there.size !== wanted.size || !isDeepStrictEqual(there.metadata, wanted.metadata)) return undefined;
  // A copy of what was sent in parts has an ETag of its own: its times, to the nanosecond, are known then.
  const inParts = there.etag.includes("-") || wanted.etag.includes("-");
  return there.etag === wanted.etag || (inParts && wanted.metadata["mtime"] !== undefined) ? there : undefined;
}
