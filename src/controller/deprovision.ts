/**
 * Deleting a volume: everything in its bucket, then its mark, then the bucket.
 *
 * Nothing is deleted without our mark for this very volume. Each page that went stays gone, so a call that ran out of time is continued by
 * the next one. The mark goes last: as long as there is anything else in the bucket, the bucket says whose it is. Between the mark and the
 * bucket the bucket is empty; what proves it ours then are its tags, or on a store without tags its being entirely empty.
 */
import { DriverError, isFault } from "#core/errors.ts";
import type { AdminPage, BucketAdmin, UploadCursor, VersionCursor } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import { isEntirelyEmpty } from "./empty.ts";
import { encodeMark, MARK_KEY, markTags, readMark, readTagMark, requireOwnMark, type VolumeMark } from "./mark.ts";

export interface OwnedVolume {
  readonly bucket: string;
  readonly driver: string;
  readonly volumeId: string;
}

interface Target {
  readonly key: string;
  readonly versionId?: string | undefined;
}

/** The mark is read again after so many pages of up to 1,000: an operator may take it away to stop a deletion. */
const PAGES_PER_CHECK = 10;

/** Rounds over the whole bucket. One empties it and one finds it empty; more are needed only while somebody writes. */
const MAX_ROUNDS = 5;

/** Unfinished uploads have no delete-many; so many are ended at once. */
const UPLOADS_AT_ONCE = 8;

/**
 * Deletes the volume; one that is not there is success. Faults: `precondition` (the bucket does not carry our mark for this volume:
 * nothing was deleted), `conflict` (somebody keeps writing), `timed_out` (call again), and S3's own.
 */
export async function deprovision(admin: BucketAdmin, volume: OwnedVolume, options: CallOptions): Promise<void> {
  const found = await readMark(admin, volume.bucket, options);
  if (found.state === "no-bucket") return;
  if (found.state === "unmarked" && (await isLeftover(admin, volume, options))) {
    await deleteEmptyBucket(admin, volume.bucket, options);
    return;
  }
  requireOwnMark(found, volume.bucket, volume);
  await tagForTheEnd(admin, volume, options);
  await emptyBucket(admin, volume, options);
  await deleteMark(admin, volume.bucket, options);
  await deleteBucketOrRestoreMark(admin, volume.bucket, found.mark, options);
}

/** Is an unmarked bucket what we left between deleting the mark and the bucket. */
async function isLeftover(admin: BucketAdmin, volume: OwnedVolume, options: CallOptions): Promise<boolean> {
  if (!(await isEntirelyEmpty(admin, volume.bucket, options))) return false;
  return (await readTagMark(admin, volume.bucket, volume, options)) !== "other";
}

/** Where the store has tags they must be there before the mark goes: CreateVolume's may have been denied or removed. */
async function tagForTheEnd(admin: BucketAdmin, volume: OwnedVolume, options: CallOptions): Promise<void> {
  if ((await readTagMark(admin, volume.bucket, volume, options)) !== "other") return;
  const tags = await admin.getTags(volume.bucket, options);
  await admin.setTags(volume.bucket, { ...tags, ...markTags(volume.driver, volume.volumeId) }, options);
}

/** One bucket being emptied. */
interface Sweep {
  readonly admin: BucketAdmin;
  readonly bucket: string;
  readonly options: CallOptions;
  /** To be called before a page is deleted: makes sure, now and then, that the bucket still is ours to empty. */
  readonly check: () => Promise<void>;
  /** The last thing found in it, for the error when there is always something. */
  lastFound: string;
}

/** Deletes all but the mark, until a whole round finds nothing more. */
async function emptyBucket(admin: BucketAdmin, volume: OwnedVolume, options: CallOptions): Promise<void> {
  const sweep: Sweep = { admin, bucket: volume.bucket, options, check: createMarkCheck(admin, volume, options), lastFound: "" };
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const uploads = await abortUploads(sweep);
    const versions = await deleteAllVersions(sweep);
    const keys = await deleteAllKeys(sweep);
    if (uploads + versions + keys === 0) return;
  }
  throw stillWritten(volume.bucket, sweep.lastFound);
}

function createMarkCheck(admin: BucketAdmin, volume: OwnedVolume, options: CallOptions): () => Promise<void> {
  let pages = 0;
  return async () => {
    options.signal?.throwIfAborted();
    if (pages++ % PAGES_PER_CHECK === 0) requireOwnMark(await readMark(admin, volume.bucket, options), volume.bucket, volume);
  };
}

function deleteAllVersions(sweep: Sweep): Promise<number> {
  const { admin, bucket, options } = sweep;
  return eachPage(
    (cursor: VersionCursor | undefined) => admin.listVersions(bucket, { cursor }, options),
    (items) => deletePage(sweep, items),
  );
}

/** After the versions: finds what a store without a list of versions still holds. */
function deleteAllKeys(sweep: Sweep): Promise<number> {
  const { admin, bucket, options } = sweep;
  return eachPage(
    (continuation: string | undefined) => admin.listKeys(bucket, { continuation }, options),
    (keys) => deletePage(sweep, keys.map(targetOf)),
  );
}

function targetOf(key: string): Target {
  return { key };
}

function abortUploads(sweep: Sweep): Promise<number> {
  const { admin, bucket, options } = sweep;
  return eachPage(
    (cursor: UploadCursor | undefined) => admin.listUploads(bucket, { cursor }, options),
    async (uploads) => {
      if (uploads.length > 0) await sweep.check();
      for (let start = 0; start < uploads.length; start += UPLOADS_AT_ONCE) {
        await Promise.all(uploads.slice(start, start + UPLOADS_AT_ONCE).map((upload) => admin.abortUpload(bucket, upload, options)));
      }
      sweep.lastFound = uploads.at(-1)?.key ?? sweep.lastFound;
      return uploads.length;
    },
  );
}

/** Handles page after page; answers how many items there were. A store without the call has none. */
async function eachPage<Item, Next>(
  list: (next: Next | undefined) => Promise<AdminPage<Item, Next>>,
  handle: (items: readonly Item[]) => Promise<number>,
): Promise<number> {
  let handled = 0;
  let next: Next | undefined;
  do {
    let page: AdminPage<Item, Next>;
    try {
      page = await list(next);
    } catch (thrown) {
      if (isFault(thrown, "not_implemented", "unsupported")) return handled;
      throw thrown;
    }
    handled += await handle(page.items);
    next = page.next;
  } while (next !== undefined);
  return handled;
}

/** Deletes a page, without the mark; answers how many there were to delete. */
async function deletePage(sweep: Sweep, items: readonly Target[]): Promise<number> {
  const targets = items.filter(({ key }) => key !== MARK_KEY);
  if (targets.length === 0) return 0;
  await sweep.check();
  await deleteTargets(sweep.admin, sweep.bucket, targets, sweep.options);
  sweep.lastFound = targets.at(-1)?.key ?? sweep.lastFound;
  return targets.length;
}

async function deleteTargets(admin: BucketAdmin, bucket: string, targets: readonly Target[], options: CallOptions): Promise<void> {
  const [first, ...more] = await admin.deleteVersions(bucket, targets, options);
  if (first === undefined) return;
  const cause = DriverError.from(first.error);
  const others = more.length === 0 ? "" : ` and ${more.length} more`;
  throw new DriverError(cause.fault, `cannot delete ${first.key}${others} from bucket ${bucket}: ${cause.message}`, { cause });
}

async function deleteMark(admin: BucketAdmin, bucket: string, options: CallOptions): Promise<void> {
  const versions: Target[] = [];
  await eachPage(
    (cursor: VersionCursor | undefined) => admin.listVersions(bucket, { prefix: MARK_KEY, cursor }, options),
    async (items) => versions.push(...items.filter(({ key }) => key === MARK_KEY)),
  );
  await deleteTargets(admin, bucket, versions.length > 0 ? versions : [{ key: MARK_KEY }], options);
}

/** Deletes the bucket. If something was written since it was empty, the mark comes back, so that the next call can go on. */
async function deleteBucketOrRestoreMark(admin: BucketAdmin, bucket: string, mark: VolumeMark, options: CallOptions): Promise<void> {
  try {
    await deleteEmptyBucket(admin, bucket, options);
  } catch (thrown) {
    if (!isFault(thrown, "in_use")) throw thrown;
    await admin.writeObject(bucket, MARK_KEY, encodeMark(mark), { ...options, ifNoneMatch: "*", contentType: "application/json" });
    throw stillWritten(bucket);
  }
}

/** Deletes, and looks: success is told only of a bucket that is gone. */
async function deleteEmptyBucket(admin: BucketAdmin, bucket: string, options: CallOptions): Promise<void> {
  await admin.deleteBucket(bucket, options);
  try {
    await admin.headBucket(bucket, options);
  } catch (thrown) {
    if (isFault(thrown, "no_bucket")) return;
    throw thrown;
  }
  throw new DriverError("unavailable", `bucket ${bucket} was deleted and is still there; try again`);
}

function stillWritten(bucket: string, found = ""): DriverError {
  const example = found === "" ? "" : ` (such as ${JSON.stringify(found)})`;
  return new DriverError(
    "conflict",
    `bucket ${bucket} does not get empty${example}: somebody still writes to it; is the volume mounted anywhere?`,
  );
}
