/**
 * The end of a volume, as its mark says (`onDelete`, fixed when it was made): everything in its place, then its mark, then its bucket if it has
 * one of its own; or less.
 */
import type { Clock } from "#core/clock.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import { archiveFiles } from "./archive.ts";
import { markTags, readTagMark, releaseMark, type VolumeMark, writeMark } from "./mark.ts";
import { nameOf } from "./place.ts";
import {
  anything,
  deleteMark,
  eachKey,
  eachVersion,
  isOwn,
  type OwnedVolume,
  type Sweep,
  stillWritten,
  sweepKeys,
  sweepUploads,
  sweepVersions,
  type Thing,
  untilNothing,
} from "./sweep.ts";

/**
 * Ends a volume whose mark was just read and is ours; may be called again whatever became of the last call. Faults: `in_use`
 * (only-if-empty, and it is not), `precondition` (the mark went meanwhile), `conflict` (somebody keeps writing), and S3's own.
 */
export async function endVolume(sweep: Sweep, mark: VolumeMark, clock: Clock): Promise<void> {
  const { admin, options } = sweep;
  const { place } = sweep.volume;
  const { onDelete = "delete" } = mark.parameters;
  const released = { at: new Date(clock.now()).toISOString(), onDelete };
  switch (onDelete) {
    case "retain":
      return releaseMark(admin, place, mark, released, options);
    case "archive":
      if (place.prefix === "") return archiveBucket(sweep, mark, released);
      await archiveFiles(sweep, mark, released);
      return deleteMark(admin, place, options);
    case "only-if-empty":
      await refuseContent(sweep);
      return deletePlace(sweep, mark, refuseLateContent(sweep));
    case "delete":
      return deletePlace(sweep, mark, anything);
  }
}

/** Everything that may go, the mark, and the volume's own bucket. */
async function deletePlace(sweep: Sweep, mark: VolumeMark, mayGo: (thing: Thing) => boolean): Promise<void> {
  const { admin, volume, options } = sweep;
  const ownBucket = volume.place.prefix === "";
  if (ownBucket) await tagForTheEnd(admin, volume, options);
  await untilNothing(
    sweep,
    async () => (await sweepUploads(sweep)) + (await sweepVersions(sweep, mayGo)) + (await sweepKeys(sweep, mayGo)),
  );
  await deleteMark(admin, volume.place, options);
  if (ownBucket) await deleteBucketOrRestoreMark(sweep, mark);
}

/** Where the store has tags they must be there before the mark goes: CreateVolume's may have been denied or removed. */
async function tagForTheEnd(admin: BucketAdmin, volume: OwnedVolume, options: CallOptions): Promise<void> {
  const { bucket } = volume.place;
  if ((await readTagMark(admin, bucket, volume, options)) !== "other") return;
  const tags = await admin.getTags(bucket, options);
  await admin.setTags(bucket, { ...tags, ...markTags(volume.driver, volume.volumeId) }, options);
}

/** A bucket cannot be renamed: it stays, and says that it is an archive. */
async function archiveBucket(
  { admin, volume, options }: Sweep,
  mark: VolumeMark,
  released: NonNullable<VolumeMark["released"]>,
): Promise<void> {
  const { bucket } = volume.place;
  try {
    const tags = await admin.getTags(bucket, options);
    await admin.setTags(bucket, { ...tags, "bucketmount-archived": released.at.slice(0, "2026-01-01".length) }, options);
  } catch (thrown) {
    if (!isFault(thrown, "not_implemented", "unsupported", "denied")) throw thrown;
  }
  await releaseMark(admin, volume.place, mark, released, options);
}

/** Fault `in_use`, naming one, if there is any file or old version of one. Nothing is deleted before all has been looked at. */
async function refuseContent(sweep: Sweep): Promise<void> {
  const refuse = refuseLateContent(sweep);
  const look = async (things: readonly Thing[]) => {
    things.forEach(refuse);
    return 0;
  };
  await eachKey(sweep, look);
  await eachVersion(sweep, look);
}

/** Throws at content; lets go what is none. */
function refuseLateContent({ volume: { place } }: Sweep): (thing: Thing) => boolean {
  return ({ key, isDeleteMarker, isLatest }) => {
    if (isDeleteMarker || isOwn(place, key)) return true;
    throw new DriverError(
      "in_use",
      `${nameOf(place)} is not empty: it has ${isLatest ? "" : "an old version of "}${JSON.stringify(key)}, and onDelete is only-if-empty; ` +
        "delete what is in it, and the deletion, which is repeated, succeeds",
    );
  };
}

/** Deletes the bucket. If something was written since it was empty, the mark comes back, so that the next call can go on. */
async function deleteBucketOrRestoreMark({ admin, volume, options }: Sweep, mark: VolumeMark): Promise<void> {
  try {
    await deleteEmptyBucket(admin, volume.place.bucket, options);
  } catch (thrown) {
    if (!isFault(thrown, "in_use")) throw thrown;
    await writeMark(admin, volume.place, mark, options);
    throw stillWritten(volume.place);
  }
}

/** Deletes, and looks: success is told only of a bucket that is gone. */
export async function deleteEmptyBucket(admin: BucketAdmin, bucket: string, options: CallOptions): Promise<void> {
  await admin.deleteBucket(bucket, options);
  try {
    await admin.headBucket(bucket, options);
  } catch (thrown) {
    if (isFault(thrown, "no_bucket")) return;
    throw thrown;
  }
  throw new DriverError("unavailable", `bucket ${bucket} was deleted and is still there; try again`);
}
