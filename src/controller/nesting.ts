/**
 * No volume lies inside another: deleting the outer one would delete the inner one's data. A template can ask for it (`ci` in one class,
 * `ci/m2` in another, or a shared bucket that is itself a volume).
 *
 * CreateVolume asks before it writes its mark and again after. Of two that do so at once, at least one sees the other's mark and gives
 * way; both may, and their next tries come at different times.
 */
import { DriverError } from "#core/errors.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import { markKeyOf, marksFolderOf, readMark } from "./mark.ts";
import { nameOf, type Place } from "./place.ts";

/** Why there can be no volume at this place, or undefined: an outer volume's or an inner volume's mark. */
export async function nestingAt(admin: BucketAdmin, place: Place, options: CallOptions): Promise<string | undefined> {
  const inner = await innerMark(admin, place, options);
  if (inner !== undefined) return `there is a volume inside ${nameOf(place)}: ${inner} is its mark`;
  for (const outer of outerPlaces(place)) {
    const { state } = await readMark(admin, outer, options);
    if (state === "marked" || state === "unreadable") return `${nameOf(place)} is inside the volume that is ${nameOf(outer)}`;
  }
  return undefined;
}

/** Refuses, with `precondition`, to delete a volume that has another one in it. */
export async function refuseInnerVolumes(admin: BucketAdmin, place: Place, options: CallOptions): Promise<void> {
  const inner = await innerMark(admin, place, options);
  if (inner === undefined) return;
  throw new DriverError(
    "precondition",
    `there is a volume inside ${nameOf(place)}, so nothing was deleted: delete that one first, or its mark ${inner} if it is none any more`,
  );
}

/** The first mark of a volume inside the place. */
async function innerMark(admin: BucketAdmin, place: Place, options: CallOptions): Promise<string | undefined> {
  const own = markKeyOf(place);
  const { items } = await admin.listKeys(place.bucket, { prefix: marksFolderOf(place), maxKeys: 2 }, options);
  return items.find((key) => key !== own);
}

/** The places that this one would be a part of: of `ci/m2/` in a bucket, `ci/` and the bucket itself. */
function outerPlaces({ bucket, prefix }: Place): readonly Place[] {
  if (prefix === "") return [];
  const parts = prefix.slice(0, -1).split("/").slice(0, -1);
  const folders = parts.map((_part, index) => `${parts.slice(0, index + 1).join("/")}/`);
  return ["", ...folders].map((outer) => ({ bucket, prefix: outer }));
}
