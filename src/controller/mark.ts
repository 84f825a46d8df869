/**
 * The ownership mark: what says that a bucket is a volume of ours, and which.
 *
 * It is an object in the bucket, `.bucketmount/volume.json`, because every store has objects. Written last by CreateVolume, it is
 * also the commit point: a bucket with a mark is a complete volume. Deleted last by DeleteVolume, it is the permission to delete.
 * Where the store has bucket tags, two of them say the same for people and for the moment in which the mark is gone and the bucket is not.
 */
import { createHash } from "node:crypto";
import { DriverError, isFault } from "#core/errors.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import type { VolumeParameters } from "./parameters.ts";

/** Everything below `.bucketmount/` in a bucket is ours; mounts do not show it. */
export const MARK_KEY = ".bucketmount/volume.json";

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
}

/** The bucket as far as its mark goes. */
export type Marked =
  | { readonly state: "no-bucket" }
  | { readonly state: "unmarked" }
  /** Something stands under our key that is no mark. */
  | { readonly state: "unreadable"; readonly reason: string }
  | { readonly state: "marked"; readonly mark: VolumeMark };

/** Reads and judges the mark. */
export async function readMark(admin: BucketAdmin, bucket: string, options: CallOptions): Promise<Marked> {
  try {
    return decodeMark((await admin.readObject(bucket, MARK_KEY, options)).body);
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
export async function writeMark(admin: BucketAdmin, bucket: string, mark: VolumeMark, options: CallOptions): Promise<Marked> {
  try {
    await admin.writeObject(bucket, MARK_KEY, encodeMark(mark), { ...options, ifNoneMatch: "*", contentType: "application/json" });
  } catch (thrown) {
    if (!isFault(thrown, "exists")) throw thrown;
  }
  return readMark(admin, bucket, options);
}

/** One mark, one sequence of bytes. */
export function encodeMark(mark: VolumeMark): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(canonical(mark), undefined, 2)}\n`);
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

/** Refuses, with `precondition`, a bucket whose mark is not that of this volume. */
export function requireOwnMark(
  found: Marked,
  bucket: string,
  expected: { driver: string; volumeId: string },
): asserts found is Extract<Marked, { state: "marked" }> {
  if (found.state !== "marked") {
    const reason = found.state === "unreadable" ? `its ${MARK_KEY} cannot be used: ${found.reason}` : `it has no ${MARK_KEY}`;
    throw new DriverError("precondition", `bucket ${bucket} does not carry our mark (${reason}); nothing was deleted. ${BY_HAND}`);
  }
  const { driver, volumeId } = found.mark;
  if (driver !== expected.driver || volumeId !== expected.volumeId) {
    throw new DriverError(
      "precondition",
      `bucket ${bucket} carries the mark of volume ${volumeId} of driver ${driver}, not of ${expected.volumeId}; nothing was deleted`,
    );
  }
}

const BY_HAND = "If it is to go, empty and delete it with an S3 client; the next call then succeeds";
