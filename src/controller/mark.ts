/**
 * The ownership mark: what says that a place is a volume of ours, and which.
 *
 * It is an object, because every store has objects: `.bucketmount/volume.json` in a bucket that is a volume, and
 * `.bucketmount/volumes/PREFIX/volume.json` in a shared bucket for the volume that is the prefix. Both are out of every mount's sight, and the
 * second one out of its reach too: who may write a volume need not be able to forge or remove its mark. It also tells at once whether a
 * volume lies inside another.
 *
 * Written last by CreateVolume, it is the commit point: a place with a mark is a complete volume. Deleted last by DeleteVolume, it is
 * the permission to delete. Where the store has bucket tags, two of them say the same for people, and for the moment in which the mark
 * is gone and the bucket is not.
 */
import { createHash } from "node:crypto";
import { DriverError, isFault } from "#core/errors.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import { UNEXPIRING_BYTES } from "./lifecycle.ts";
import type { OnDelete, VolumeParameters } from "./parameters.ts";
import { nameOf, type Place } from "./place.ts";

/** The mark of a bucket that is a volume. Everything below `.bucketmount/` in a bucket is ours; mounts do not show it. */
export const MARK_KEY = ".bucketmount/volume.json";

/** Below it, the marks of the volumes that are prefixes. */
const MARKS_FOLDER = ".bucketmount/volumes/";

/** The name of each mark. */
const MARK_NAME = "volume.json";

const FORMAT = 1;

export interface VolumeMark {
  readonly format: typeof FORMAT;
  readonly driver: string;
  readonly volumeId: string;
  /** CreateVolume's `name`. */
  readonly volumeName: string;
  /** What was asked for; S3 has no quota. 0: nothing was. */
  readonly capacityBytes: number;
  readonly parameters: VolumeParameters;
  readonly claim: { readonly namespace?: string; readonly name?: string };
  /** ISO 8601. */
  readonly createdAt: string;
  /** The volume was deleted, and its data kept: it is no volume any more, and its place is still taken. */
  readonly released?: { readonly at: string; readonly onDelete: OnDelete };
}

/** A place as far as its mark goes. */
export type Marked =
  | { readonly state: "no-bucket" }
  | { readonly state: "unmarked" }
  /** Something stands under our key that is no mark. */
  | { readonly state: "unreadable"; readonly reason: string }
  | {
      readonly state: "marked";
      readonly mark: VolumeMark;
      /** The storage class that the store keeps the mark in; undefined: its usual one. */
      readonly storageClass?: string | undefined;
    };

/** Where the mark of a place is. */
export function markKeyOf({ prefix }: Place): string {
  return prefix === "" ? MARK_KEY : `${MARKS_FOLDER}${prefix}${MARK_NAME}`;
}

/** Where the marks are of all volumes inside a place, its own among them unless it is a bucket. */
export function marksFolderOf({ prefix }: Place): string {
  return `${MARKS_FOLDER}${prefix}`;
}

/** Reads and judges the mark. */
export async function readMark(admin: BucketAdmin, place: Place, options: CallOptions): Promise<Marked> {
  try {
    const { body, storageClass } = await admin.readObject(place.bucket, markKeyOf(place), options);
    const judged = decodeMark(body);
    return judged.state === "marked" && storageClass !== undefined ? { ...judged, storageClass } : judged;
  } catch (thrown) {
    if (isFault(thrown, "no_bucket")) return { state: "no-bucket" };
    if (isFault(thrown, "not_found")) return { state: "unmarked" };
    if (isFault(thrown, "too_big")) return { state: "unreadable", reason: "it is too big" };
    throw thrown;
  }
}

/**
 * Writes the mark where none is, and reads it back: a store may ignore the condition, and another process may have been faster.
 * Answers the mark that stands there at the end, which need not be the caller's.
 */
export async function writeMark(admin: BucketAdmin, place: Place, mark: VolumeMark, options: CallOptions): Promise<Marked> {
  try {
    await putMark(admin, place.bucket, markKeyOf(place), mark, { ...options, ifNoneMatch: "*" });
  } catch (thrown) {
    if (!isFault(thrown, "exists")) throw thrown;
  }
  return readMark(admin, place, options);
}

/** Replaces the mark by one that says that the volume was deleted and its data kept. */
export function releaseMark(
  admin: BucketAdmin,
  place: Place,
  mark: VolumeMark,
  released: NonNullable<VolumeMark["released"]>,
  options: CallOptions,
): Promise<void> {
  return putMark(admin, place.bucket, markKeyOf(place), { ...mark, released }, options);
}

/** Writes a released volume's mark beside its data: a note for people, since no volume is there. */
export function noteArchive(
  admin: BucketAdmin,
  archive: Place,
  mark: VolumeMark,
  released: NonNullable<VolumeMark["released"]>,
  options: CallOptions,
): Promise<void> {
  return putMark(admin, archive.bucket, `${archive.prefix}${MARK_KEY}`, { ...mark, released }, options);
}

async function putMark(
  admin: BucketAdmin,
  bucket: string,
  key: string,
  mark: VolumeMark,
  options: CallOptions & { readonly ifNoneMatch?: "*" },
): Promise<void> {
  const { storageClass } = mark.parameters;
  const how = { ...options, contentType: "application/json", ...(storageClass === undefined ? {} : { storageClass }) };
  await admin.writeObject(bucket, key, encodeMark(mark), how);
}

/** One mark, one sequence of bytes. Where objects expire it has the one size that does not (lifecycle.ts). */
export function encodeMark(mark: VolumeMark): Uint8Array {
  const text = new TextEncoder().encode(`${JSON.stringify(canonical(mark), undefined, 2)}\n`);
  if (mark.parameters.lifecycle?.expire === undefined) return text;
  if (text.length > UNEXPIRING_BYTES)
    throw new DriverError(
      "bad_argument",
      `parameter lifecycle: expire needs a mark of at most ${UNEXPIRING_BYTES} bytes; names are too long`,
    );
  const padded = new Uint8Array(UNEXPIRING_BYTES).fill("\n".charCodeAt(0));
  padded.set(text);
  return padded;
}

export function decodeMark(body: Uint8Array): Marked {
  try {
    const mark = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)) as VolumeMark;
    if (mark?.format !== FORMAT)
      return { state: "unreadable", reason: `its format is ${JSON.stringify(mark?.format)}; this version knows ${FORMAT}` };
    const whole = [mark.driver, mark.volumeId, mark.volumeName, mark.createdAt].every((field) => typeof field === "string" && field !== "");
    if (!whole || !Number.isSafeInteger(mark.capacityBytes) || typeof mark.parameters !== "object" || mark.parameters === null) {
      return { state: "unreadable", reason: "fields are missing" };
    }
    return { state: "marked", mark };
  } catch {
    return { state: "unreadable", reason: "it is no JSON" };
  }
}

/** True when these are the same parameters, in whatever order they were given. */
export function sameParameters(a: VolumeParameters, b: VolumeParameters): boolean {
  return JSON.stringify(canonical(a)) === JSON.stringify(canonical(b));
}

function canonical(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, item]) => [name, canonical(item)]),
  );
}

/** The two tags of a bucket of ours. */
export function markTags(driver: string, volumeId: string): Readonly<Record<string, string>> {
  // An id with characters that tags do not allow (an IPv6 endpoint) goes in as its hash.
  const value = /^[\w .:/=+@-]{1,256}$/.test(volumeId) ? volumeId : `sha256:${createHash("sha256").update(volumeId).digest("hex")}`;
  return { "bucketmount-driver": driver, "bucketmount-volume": value };
}

/** What the bucket's tags say: of this volume, not of it, or that the store has no tags. */
export async function readTagMark(
  admin: BucketAdmin,
  bucket: string,
  expected: { driver: string; volumeId: string },
  options: CallOptions,
): Promise<"ours" | "other" | "no-tags-here"> {
  try {
    const tags = await admin.getTags(bucket, options);
    const ours = Object.entries(markTags(expected.driver, expected.volumeId)).every(([key, value]) => tags[key] === value);
    return ours ? "ours" : "other";
  } catch (thrown) {
    if (isFault(thrown, "not_implemented", "unsupported")) return "no-tags-here";
    throw thrown;
  }
}

/** Refuses, with `precondition`, a place whose mark is not that of this volume. */
export function requireOwnMark(
  found: Marked,
  place: Place,
  expected: { driver: string; volumeId: string },
): asserts found is Extract<Marked, { state: "marked" }> {
  if (found.state !== "marked") {
    const key = markKeyOf(place);
    const reason = found.state === "unreadable" ? `its ${key} cannot be used: ${found.reason}` : `it has no ${key}`;
    throw new DriverError("precondition", `${nameOf(place)} does not carry our mark (${reason}); nothing was deleted. ${BY_HAND}`);
  }
  const { driver, volumeId } = found.mark;
  if (driver !== expected.driver || volumeId !== expected.volumeId) {
    throw new DriverError(
      "precondition",
      `${nameOf(place)} carries the mark of volume ${volumeId} of driver ${driver}, not of ${expected.volumeId}; nothing was deleted`,
    );
  }
}

const BY_HAND = "If it is to go, empty it (a bucket: delete it too) with an S3 client; the next call then succeeds";
