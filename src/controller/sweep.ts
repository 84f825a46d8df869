/**
 * Emptying a place, page by page: unfinished uploads, versions and delete markers, and what a store without lists of versions still holds.
 *
 * Nothing outside the place is ever named, its mark is left, and before each page the mark is read again: an operator may take it away to
 * stop a deletion, and another process may have finished it and made a new volume there. What went stays gone, so a call that ran out of
 * time is continued by the next one.
 */
import { DriverError, isFault } from "#core/errors.ts";
import type { AdminPage, BucketAdmin, UploadCursor, VersionCursor } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import { markKeyOf, readMark, requireOwnMark } from "./mark.ts";
import { nameOf, ownFolder, type Place } from "./place.ts";

export interface OwnedVolume {
  readonly place: Place;
  readonly driver: string;
  readonly volumeId: string;
}

/** A version, a delete marker, or a key of a store that does not list versions. */
export interface Thing {
  readonly key: string;
  readonly versionId?: string;
  readonly isDeleteMarker: boolean;
  /** What a reader of the key gets. */
  readonly isLatest: boolean;
}

/** One place being emptied. */
export interface Sweep {
  readonly admin: BucketAdmin;
  readonly volume: OwnedVolume;
  readonly options: CallOptions;
  /** The last thing found in it, for the error when there is always something. */
  lastFound: string;
}

/** Rounds over the whole place. One empties it and one finds it empty; more are needed only while somebody writes. */
const MAX_ROUNDS = 5;

/** Unfinished uploads have no delete-many; so many are ended at once. */
const UPLOADS_AT_ONCE = 8;

export function createSweep(admin: BucketAdmin, volume: OwnedVolume, options: CallOptions): Sweep {
  return { admin, volume, options, lastFound: "" };
}

/** Repeats a round, which answers how many things it found, until one finds nothing more. Fault `conflict`: somebody keeps writing. */
export async function untilNothing(sweep: Sweep, round: () => Promise<number>): Promise<void> {
  for (let n = 0; n < MAX_ROUNDS; n++) if ((await round()) === 0) return;
  throw stillWritten(sweep.volume.place, sweep.lastFound);
}

/** The volume is still the one that this sweep is for. Before anything of it is changed. */
export async function checkMark({ admin, volume, options }: Sweep): Promise<void> {
  options.signal?.throwIfAborted();
  requireOwnMark(await readMark(admin, volume.place, options), volume.place, volume);
}

/** Anything may go. */
export function anything(): boolean {
  return true;
}

/** What belongs to no file: the marker of the place itself, and the leavings of mounts that probed the store. */
export function isOwn(place: Place, key: string): boolean {
  return (place.prefix !== "" && key === place.prefix) || key.startsWith(ownFolder(place));
}

/** Deletes the versions and delete markers that may go; answers how many. */
export function sweepVersions(sweep: Sweep, mayGo: (thing: Thing) => boolean): Promise<number> {
  return eachVersion(sweep, (things) => deletePage(sweep, things.filter(mayGo)));
}

/** After the versions: deletes the keys that a store without a list of versions still holds. */
export function sweepKeys(sweep: Sweep, mayGo: (thing: Thing) => boolean): Promise<number> {
  return eachKey(sweep, (things) => deletePage(sweep, things.filter(mayGo)));
}

/** Ends all unfinished uploads. */
export function sweepUploads(sweep: Sweep): Promise<number> {
  const { admin, options } = sweep;
  const { bucket, prefix } = sweep.volume.place;
  return eachPage(
    (cursor: UploadCursor | undefined) => admin.listUploads(bucket, { prefix, cursor }, options),
    async (uploads) => {
      if (uploads.length > 0) await checkMark(sweep);
      for (const { key } of uploads) requireInside(sweep.volume.place, key);
      for (let start = 0; start < uploads.length; start += UPLOADS_AT_ONCE) {
        await Promise.all(uploads.slice(start, start + UPLOADS_AT_ONCE).map((upload) => admin.abortUpload(bucket, upload, options)));
      }
      sweep.lastFound = uploads.at(-1)?.key ?? sweep.lastFound;
      return uploads.length;
    },
  );
}

/** Page after page of versions and delete markers, the mark left out; `handle` answers how many went, and the sum is answered. */
export function eachVersion(sweep: Sweep, handle: (things: readonly Thing[]) => Promise<number>): Promise<number> {
  const { admin, options } = sweep;
  const { bucket, prefix } = sweep.volume.place;
  return eachPage(
    (cursor: VersionCursor | undefined) => admin.listVersions(bucket, { prefix, cursor }, options),
    (items) => handle(withoutMark(sweep, items)),
  );
}

/** Page after page of current keys, the mark left out; `handle` answers how many went, and the sum is answered. */
export function eachKey(sweep: Sweep, handle: (things: readonly Thing[]) => Promise<number>): Promise<number> {
  const { admin, options } = sweep;
  const { bucket, prefix } = sweep.volume.place;
  return eachPage(
    (continuation: string | undefined) => admin.listKeys(bucket, { prefix, continuation }, options),
    (keys) => handle(withoutMark(sweep, keys.map(currentThing))),
  );
}

function currentThing(key: string): Thing {
  return { key, isDeleteMarker: false, isLatest: true };
}

function withoutMark({ volume }: Sweep, things: readonly Thing[]): readonly Thing[] {
  const mark = markKeyOf(volume.place);
  return things.filter(({ key }) => key !== mark);
}

/**
 * Handles page after page; `handle` answers how many of a page's things are gone, and the sum is answered. After a page of which something
 * went the same place is listed again, since versitygw ends a listing whose marker is gone; so a marker is always of something that is
 * still there. A store without the call has no pages.
 */
async function eachPage<Item, Next>(
  list: (next: Next | undefined) => Promise<AdminPage<Item, Next>>,
  handle: (items: readonly Item[]) => Promise<number>,
): Promise<number> {
  let [sum, at, before] = [0, undefined as Next | undefined, ""];
  for (;;) {
    const page = await pageUnlessMissing(list(at));
    const gone = await handle(page.items);
    sum += gone;
    if (page.next === undefined) return sum;
    // A server that shows a page again although it went (from a cache) must not keep us there.
    const shown = JSON.stringify([at, page.items.length, page.items[0], page.items.at(-1)]);
    if (gone === 0 || shown === before) at = page.next;
    before = shown;
  }
}

async function pageUnlessMissing<Item, Next>(listing: Promise<AdminPage<Item, Next>>): Promise<AdminPage<Item, Next>> {
  try {
    return await listing;
  } catch (thrown) {
    if (isFault(thrown, "not_implemented", "unsupported")) return { items: [] };
    throw thrown;
  }
}

/** Deletes a page; answers how many there were to delete. */
async function deletePage(sweep: Sweep, things: readonly Thing[]): Promise<number> {
  if (things.length === 0) return 0;
  await checkMark(sweep);
  await deleteThings(sweep, things);
  sweep.lastFound = things.at(-1)?.key ?? sweep.lastFound;
  return things.length;
}

/** Deletes these, all of them in the place. Fault: that of the first that cannot be deleted. */
export async function deleteThings(sweep: Sweep, things: readonly Pick<Thing, "key" | "versionId">[]): Promise<void> {
  const { admin, options } = sweep;
  const { place } = sweep.volume;
  for (const { key } of things) requireInside(place, key);
  await deleteTargets(
    admin,
    place.bucket,
    things.map(({ key, versionId }) => ({ key, versionId })),
    options,
  );
}

/** Every listing was asked for the place alone; a server that answers more would have us delete what is somebody else's. */
function requireInside(place: Place, key: string): void {
  if (!key.startsWith(place.prefix)) {
    throw new DriverError(
      "internal",
      `the store listed ${JSON.stringify(key)} among the keys of ${nameOf(place)}; nothing of it is touched`,
    );
  }
}

async function deleteTargets(
  admin: BucketAdmin,
  bucket: string,
  targets: readonly { readonly key: string; readonly versionId?: string | undefined }[],
  options: CallOptions,
): Promise<void> {
  const [first, ...more] = await admin.deleteVersions(bucket, targets, options);
  if (first === undefined) return;
  const cause = DriverError.from(first.error);
  const others = more.length === 0 ? "" : ` and ${more.length} more`;
  throw new DriverError(cause.fault, `cannot delete ${first.key}${others} from bucket ${bucket}: ${cause.message}`, { cause });
}

/** Deletes the mark, all versions of it. */
export async function deleteMark(admin: BucketAdmin, place: Place, options: CallOptions): Promise<void> {
  const [markKey, targets] = [markKeyOf(place), [] as { key: string; versionId?: string }[]];
  await eachPage(
    (cursor: VersionCursor | undefined) => admin.listVersions(place.bucket, { prefix: markKey, cursor }, options),
    async (items) => {
      targets.push(...items.filter(({ key }) => key === markKey).map(({ key, versionId }) => ({ key, versionId })));
      return 0;
    },
  );
  await deleteTargets(admin, place.bucket, targets.length > 0 ? targets : [{ key: markKey }], options);
}

/** The fault `conflict`: there is always something more. */
export function stillWritten(place: Place, found = ""): DriverError {
  const example = found === "" ? "" : ` (such as ${JSON.stringify(found)})`;
  return new DriverError(
    "conflict",
    `${nameOf(place)} does not get empty${example}: somebody still writes to it; is the volume mounted anywhere?`,
  );
}
