/** Is there anything at all in a place: current objects, old versions, delete markers, unfinished uploads. */
import { isFault } from "#core/errors.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import type { Place } from "./place.ts";

/**
 * True only when every listing that the store has says so. Keys are asked for beside versions because a store without versioning
 * may answer a list of versions that is empty whatever the bucket holds.
 */
export async function isEntirelyEmpty(admin: BucketAdmin, { bucket, prefix }: Place, options: CallOptions): Promise<boolean> {
  const { items: keys } = await admin.listKeys(bucket, { prefix, maxKeys: 1 }, options);
  if (keys.length > 0) return false;
  const versions = await emptyIfMissing(admin.listVersions(bucket, { prefix, maxKeys: 1 }, options));
  if (versions.length > 0) return false;
  return (await emptyIfMissing(admin.listUploads(bucket, { prefix, maxUploads: 1 }, options))).length === 0;
}

/** A store without the call has nothing of the kind. */
async function emptyIfMissing<Item>(page: Promise<{ readonly items: readonly Item[] }>): Promise<readonly Item[]> {
  try {
    return (await page).items;
  } catch (thrown) {
    if (isFault(thrown, "not_implemented", "unsupported")) return [];
    throw thrown;
  }
}
