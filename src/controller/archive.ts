/**
 * `onDelete: archive` for a prefix: its files move to `archived/`, so that the name is free for another claim.
 *
 * The store copies, a few files at a time, and what is copied is deleted at once: a call that ran out of time has got on, and the next one
 * goes on. The archive's name comes from the mark, so all calls, of all processes, mean the same one. Old versions are not copied.
 */
import { isFault } from "#core/errors.ts";
import type { CallOptions } from "#s3/object-store.ts";
import { noteArchive, type VolumeMark } from "./mark.ts";
import type { Place } from "./place.ts";
import { ARCHIVE_FOLDER } from "./prefix-name.ts";
import {
  checkMark,
  deleteThings,
  eachKey,
  isOwn,
  type Sweep,
  sweepKeys,
  sweepUploads,
  sweepVersions,
  type Thing,
  untilNothing,
} from "./sweep.ts";

/** Copied side by side, and then deleted with one request. */
const FILES_AT_ONCE = 16;

/** Where the files of a volume go: named after its prefix and the time at which it was made, which no later volume there shares. */
export function archivePrefix({ prefix }: Place, { createdAt }: VolumeMark): string {
  return `${ARCHIVE_FOLDER}${prefix.slice(0, -1)}-${createdAt.replaceAll(/[^0-9TZ]/g, "")}/`;
}

/** Moves everything and leaves the prefix empty. The archive's own note of whose it was is written last. Faults as for a deletion. */
export async function archiveFiles(sweep: Sweep, mark: VolumeMark, released: NonNullable<VolumeMark["released"]>): Promise<void> {
  const { place } = sweep.volume;
  const target = archivePrefix(place, mark);
  await untilNothing(sweep, async () => {
    const moved = await eachKey(sweep, (things) => moveFiles(sweep, filesOf(place, things), target));
    const uploads = await sweepUploads(sweep);
    // First what lies under a delete marker, then the marker: the other way round a deleted file would come back, and be archived.
    const versions = await sweepVersions(
      sweep,
      ({ key, isDeleteMarker, isLatest }) => !isDeleteMarker && (!isLatest || isLeaving(place, key)),
    );
    const markers = await sweepVersions(sweep, ({ isDeleteMarker }) => isDeleteMarker);
    const leavings = await sweepKeys(sweep, ({ key }) => isLeaving(place, key));
    return moved + uploads + versions + markers + leavings;
  });
  await noteArchive(sweep.admin, { ...place, prefix: target }, mark, released, sweep.options);
}

/** The directory object of the place itself is moved too: it has the owner and mode of the mount's root. */
function filesOf(place: Place, things: readonly Thing[]): readonly string[] {
  return things.map(({ key }) => key).filter((key) => !isLeaving(place, key));
}

function isLeaving(place: Place, key: string): boolean {
  return key !== place.prefix && isOwn(place, key);
}

async function moveFiles(sweep: Sweep, keys: readonly string[], target: string): Promise<number> {
  for (let start = 0; start < keys.length; start += FILES_AT_ONCE) {
    const some = keys.slice(start, start + FILES_AT_ONCE);
    await checkMark(sweep);
    await Promise.all(some.map((key) => copyUnlessGone(sweep, key, target, sweep.options)));
    await deleteThings(
      sweep,
      some.map((key) => ({ key })),
    );
  }
  sweep.lastFound = keys.at(-1) ?? sweep.lastFound;
  return keys.length;
}

/** A file that is gone was moved by another process that does the same. */
async function copyUnlessGone({ admin, volume }: Sweep, key: string, target: string, options: CallOptions): Promise<void> {
  const { bucket, prefix } = volume.place;
  try {
    await admin.copyObject(bucket, key, target + key.slice(prefix.length), options);
  } catch (thrown) {
    if (!isFault(thrown, "not_found")) throw thrown;
  }
}
