/** From a volume's name to its bucket's: a pure function, so that repeating CreateVolume finds the same bucket. */
import { createHash } from "node:crypto";

/** General-purpose bucket names have 3 to 63 characters (S3 user guide, bucket naming rules). */
const MAX_LENGTH = 63;

/**
 * S3 allows dots as well, but a dotted name breaks the wildcard certificate of virtual-hosted style; so ours have none.
 */
const SHAPE = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/;

/** Kept by S3 for itself (same rules). */
const RESERVED = /^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|--x-s3|--table-s3)$/;

/** 80 bits: no two names of one installation meet by chance. */
export const HASH_CHARS = 16;

/** Leaves room for a hash and a readable part of the name. */
const MAX_PREFIX = 32;

/** True for a name that every S3 server takes and that we would make or be given. */
export function isBucketName(name: string): boolean {
  return SHAPE.test(name) && !RESERVED.test(name);
}

/** True for a bucket that somebody else has made: older ones have names that are refused today. */
export function isExistingBucketName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(name);
}

/** True for what may stand before every bucket's name. */
export function isBucketPrefix(prefix: string): boolean {
  return (
    prefix.length <= MAX_PREFIX && /^[a-z0-9][a-z0-9-]*$/.test(prefix) && !RESERVED.test(`${prefix}x`) && !RESERVED.test(`${prefix}-x`)
  );
}

/**
 * The bucket for the volume `name`: prefix and name as they are when that is a bucket name, else the readable part of it and a
 * hash of the whole. Different names give different buckets. `prefix` must satisfy isBucketPrefix or be empty.
 */
export function bucketNameFor(name: string, prefix = ""): string {
  const plain = prefix + name;
  if (isBucketName(plain)) return plain;
  const hash = hashOf(`${prefix}\0${name}`, HASH_CHARS);
  const slug = slugOf(name).slice(0, MAX_LENGTH - prefix.length - 1 - HASH_CHARS);
  const readable = `${prefix}${slug}`.replace(/-+$/, "");
  const made = `${readable}-${hash}`;
  // A readable part that begins as a reserved name does, or is empty.
  return isBucketName(made) ? made : `b-${readable.slice(0, MAX_LENGTH - 3 - HASH_CHARS)}-${hash}`.replace(/-{2,}/g, "-");
}

/** The readable part of any text: lower-case letters and digits, joined by single dashes. */
export function slugOf(name: string): string {
  return name
    .normalize("NFKD")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "");
}

/** So many characters of 5 bits each: letters a to v and digits, lower case and free of doubt in a name. */
export function hashOf(text: string, chars: number): string {
  const digest = createHash("sha256").update(text).digest("hex");
  return BigInt(`0x${digest.slice(0, (chars * 5) / 4)}`)
    .toString(32)
    .padStart(chars, "0");
}
