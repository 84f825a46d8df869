/**
 * Deleting a volume: is it still there, and is it ours. What then becomes of it is on-delete.ts's business.
 *
 * Nothing is deleted without our mark for this very volume. The mark goes last: as long as there is anything else in the place, the mark
 * says whose it is. Between the mark and the bucket the bucket is empty; what proves it ours then are its tags, or on a store without tags its
 * being entirely empty.
 */
import { type Clock, systemClock } from "#core/clock.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import { isEntirelyEmpty } from "./empty.ts";
import { type Marked, readMark, readTagMark, requireOwnMark } from "./mark.ts";
import { refuseInnerVolumes } from "./nesting.ts";
import { deleteEmptyBucket, endVolume } from "./on-delete.ts";
import { createSweep, type OwnedVolume } from "./sweep.ts";
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
  await endVolume(createSweep(admin, volume, options), found.mark, clock);
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
