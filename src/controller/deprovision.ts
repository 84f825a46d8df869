/**
 * Deleting a volume, as its mark says (`onDelete`, fixed when it was made): everything in its place, then its mark, then its bucket if it has
 * one of its own; or less.
 *
 * Nothing is deleted without our mark for this very volume. Each page that went stays gone, so a call that ran out of time is continued by
 * the next one. The mark goes last: as long as there is anything else in the place, the mark says whose it is. Between the mark and the
 * bucket the bucket is empty; what proves it ours then are its tags, or on a store without tags its being entirely empty.
 */
import { type Clock, systemClock } from "#core/clock.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import { archiveFiles } from "./archive.ts";
import { isEntirelyEmpty } from "./empty.ts";
import { type Marked, markTags, readMark, readTagMark, releaseMark, requireOwnMark, type VolumeMark, writeMark } from "./mark.ts";
import { refuseInnerVolumes } from "./nesting.ts";
import { nameOf } from "./place.ts";
import {
  anything,
  createSweep,
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
import { decodeVolumeId } from "./volume-id.ts";

/**
 * Deletes the volume; one that is not there is success. Faults: `precondition` (the place does not carry our mark for this volume, or
 * another volume is in it: nothing was deleted), `in_use` (only-if-empty, and it is not), `conflict` (somebody keeps writing), `timed_out`
 * (call again), and S3's own.
 */
export async function deprovision(
  admin: BucketAdmin,
  volume: OwnedVolume,
  options: CallOptions,
  clock: Clock = systemClock,
): Promise<void> {
  const { place } = volume;
  const found = await readMark(admin, place, options);
  if (found.state === "no-bucket") return;
  if (found.state === "unmarked" && (await endLeftover(admin, volume, options))) return;
  if (isSuccessor(found, volume)) return;
  requireOwnMark(found, place, volume);
  if (found.mark.released !== undefined) return;
  await refuseInnerVolumes(admin, place, options);
  await end(createSweep(admin, volume, options), found.mark, clock);
}

/** By the policy of the mark. */
async function end(sweep: Sweep, mark: VolumeMark, clock: Clock): Promise<void> {
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

/**
 * A place of ours without a mark: true when there is nothing left to delete. Of a prefix nothing is left when it is empty, since its
 * mark goes last; an empty bucket of ours may be left, and goes.
 */
async function endLeftover(admin: BucketAdmin, volume: OwnedVolume, options: CallOptions): Promise<boolean> {
  if (!(await isEntirelyEmpty(admin, volume.place, options))) return false;
  if (volume.place.prefix !== "") return true;
  if ((await readTagMark(admin, volume.place.bucket, volume, options)) === "other") return false;
  await deleteEmptyBucket(admin, volume.place.bucket, options);
  return true;
}

/** The place was named by a template, and a later volume has it: this one is gone. Its deletion is repeated, and must not hit the other. */
function isSuccessor(found: Marked, { driver, volumeId }: OwnedVolume): boolean {
  if (found.state !== "marked" || found.mark.driver !== driver || found.mark.volumeId === volumeId) return false;
  const [ours, theirs] = [decodeVolumeId(volumeId), decodeVolumeId(found.mark.volumeId)];
  return ours?.name !== undefined && theirs?.name !== undefined && ours.name !== theirs.name;
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
  await eachKey(sweep, async (things) => things.filter(refuse).length);
  await eachVersion(sweep, async (things) => things.filter(refuse).length);
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
