/**
 * Owner, mode, times and extended attributes in an object's user metadata, in the form s3fs writes: decimal `uid`, `gid`,
 * `mode` (st_mode with type bits), times as seconds or `seconds.nnnnnnnnn`, xattrs as URL-encoded JSON of name to base64.
 *
 * What s3fs and others left out or wrote otherwise is read too: directories without type bits, rclone's octal mode
 * without a prefix, AWS's `file-*` headers (octal permissions, nanosecond times with the suffix "ns"), geesefs's
 * `--symlink-target`. What cannot be read counts as absent, never as an error.
 */
import { msOfTimespec, type Timespec, timespecOfMs } from "#core/clock.ts";
import type { ObjectHeaders, UserMetadata } from "#s3/object-store.ts";
import { hasType, PERMISSIONS, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "./mode.ts";

/** What a node is, beyond its content. */
export interface Attributes {
  /** With type bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly atime: Timespec;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
}

/** What the mount says of objects that carry nothing themselves. */
export interface AttributeDefaults {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits. */
  readonly fileMode: number;
  readonly dirMode: number;
}

/** The parts of an object that its attributes are read from. */
export interface AttributeSource {
  readonly key: string;
  readonly size: number;
  readonly lastModified: number;
  readonly headers: Pick<ObjectHeaders, "contentType">;
  readonly metadata: UserMetadata;
}

const SYMLINK_TARGET = "--symlink-target";
const XATTR = "xattr";
const DIRECTORY_TYPES = new Set(["application/x-directory", "httpd/unix-directory"]);
/** The metadata names that this file writes; all others are somebody else's and are kept. */
const OURS = new Set(["uid", "gid", "mode", "mtime", "ctime", "atime", "rdev", XATTR, SYMLINK_TARGET]);

export function decodeAttributes(object: AttributeSource, defaults: AttributeDefaults): Attributes {
  const { metadata: m } = object;
  const mode = modeOf(object, defaults);
  const modified = timespecOfMs(object.lastModified);
  const mtime = parseTime(m["mtime"]) ?? parseAwsTime(m["file-mtime"]) ?? parseTime(m["goog-reserved-file-mtime"]) ?? modified;
  return {
    mode,
    uid: parseId(m["uid"] ?? m["file-owner"] ?? m["owner"] ?? m["goog-reserved-posix-uid"]) ?? defaults.uid,
    gid: parseId(m["gid"] ?? m["file-group"] ?? m["group"] ?? m["goog-reserved-posix-gid"]) ?? defaults.gid,
    rdev: parseId(m["rdev"]) ?? 0,
    mtime,
    atime: parseTime(m["atime"]) ?? parseAwsTime(m["file-atime"]) ?? mtime,
    ctime: parseTime(m["ctime"]) ?? (msOfTimespec(mtime) > object.lastModified ? mtime : modified),
  };
}

/** The type comes from the mode if that has one, else from a symlink header, the Content-Type or a trailing slash. */
function modeOf({ key, headers, metadata }: AttributeSource, defaults: AttributeDefaults): number {
  const slash = key.endsWith("/") || key === "";
  const stored =
    parseMode(metadata["mode"]) ?? parseOctal(metadata["file-permissions"]) ?? parseOctal(metadata["goog-reserved-posix-mode"]);
  // A key that ends in "/" is a directory whatever its mode says: its children prove it.
  const forced = slash ? S_IFDIR : undefined;
  if (stored !== undefined && hasType(stored)) return ((forced ?? stored & S_IFMT) | (stored & PERMISSIONS)) >>> 0;
  const type = forced ?? impliedType(headers, metadata);
  const fallback = type === S_IFDIR ? defaults.dirMode : type === S_IFLNK ? 0o777 : defaults.fileMode;
  return (type | (stored === undefined ? fallback : stored & PERMISSIONS)) >>> 0;
}

function impliedType(headers: Pick<ObjectHeaders, "contentType">, metadata: UserMetadata): number {
  if (metadata[SYMLINK_TARGET] !== undefined) return S_IFLNK;
  const contentType = headers.contentType?.split(";")[0]?.trim().toLowerCase();
  return contentType !== undefined && DIRECTORY_TYPES.has(contentType) ? S_IFDIR : S_IFREG;
}

/**
 * s3fs reads with base 0: decimal, or octal with a leading 0. rclone writes octal without the prefix: "100644" as a decimal
 * number has no valid type, read as octal it has one.
 */
function parseMode(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  if (text.startsWith("0")) return parseOctal(text);
  const decimal = Number(text);
  const isMode = decimal <= (S_IFMT | PERMISSIONS);
  if (/^(?:100|120|40)[0-7]{3}$/.test(text) && !(isMode && hasType(decimal))) return Number.parseInt(text, 8);
  return isMode ? decimal : undefined;
}

function parseOctal(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-7]{1,7}$/.test(text) ? Number.parseInt(text, 8) & (S_IFMT | PERMISSIONS) : undefined;
}

function parseId(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= 0xffff_ffff ? id : undefined;
}

/**
 * "sec" or "sec.fraction". s3fs always writes nine digits and reads the fraction as a whole number of nanoseconds; rclone
 * trims trailing zeros. Read as a decimal fraction both are right, since nine digits mean the same either way.
 */
function parseTime(text: string | undefined): Timespec | undefined {
  const found = text === undefined ? null : /^(-?\d{1,12})(?:\.(\d{1,9})\d*)?$/.exec(text);
  return found === null ? undefined : { sec: Number(found[1]), nsec: Number((found[2] ?? "").padEnd(9, "0")) };
}

/** AWS's transfer services: nanoseconds with the suffix "ns", milliseconds without. */
function parseAwsTime(text: string | undefined): Timespec | undefined {
  const found = text === undefined ? null : /^(\d{1,20})(ns)?$/.exec(text);
  if (found === null) return undefined;
  if (found[2] === undefined) return timespecOfMs(Number(found[1]));
  const ns = BigInt(found[1] ?? 0);
  return { sec: Number(ns / 1_000_000_000n), nsec: Number(ns % 1_000_000_000n) };
}

function formatTime({ sec, nsec }: Timespec): string {
  return nsec === 0 ? String(sec) : `${sec}.${String(nsec).padStart(9, "0")}`;
}

/** What of `metadata` is not ours: kept through every rewrite. */
export function foreignMetadata(metadata: UserMetadata): UserMetadata {
  return Object.fromEntries(Object.entries(metadata).filter(([name]) => !OURS.has(name)));
}

/** The metadata of an object with these attributes; `previous` gives the foreign part. */
export function encodeAttributes(
  attributes: Attributes,
  extra: { readonly previous?: UserMetadata; readonly xattrs?: Xattrs | undefined; readonly symlinkTarget?: string | undefined } = {},
): UserMetadata {
  const { mode, uid, gid, rdev, atime, mtime, ctime } = attributes;
  return {
    ...foreignMetadata(extra.previous ?? {}),
    uid: String(uid),
    gid: String(gid),
    mode: String(mode),
    atime: formatTime(atime),
    mtime: formatTime(mtime),
    ctime: formatTime(ctime),
    ...(rdev === 0 ? {} : { rdev: String(rdev) }),
    ...(extra.xattrs === undefined || extra.xattrs.size === 0 ? {} : { [XATTR]: encodeXattrs(extra.xattrs) }),
    ...(extra.symlinkTarget === undefined ? {} : { [SYMLINK_TARGET]: escapeTarget(extra.symlinkTarget) }),
  };
}

/** `metadata` with these times, and nothing else of ours that it does not have: what somebody else uploaded stays as it is. */
export function withTimes(metadata: UserMetadata, { mtime, ctime }: Pick<Attributes, "mtime" | "ctime">): UserMetadata {
  return { ...metadata, mtime: formatTime(mtime), ctime: formatTime(ctime) };
}

/** geesefs escapes "%" and what is not printable; a header can carry nothing else. */
function escapeTarget(target: string): string {
  return target.replace(/[^\x20-\x7e]|%/gu, (c) =>
    [...Buffer.from(c)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

/** The target from metadata; undefined when it is in the object's body (s3fs) or there is none. */
export function symlinkTarget(metadata: UserMetadata): string | undefined {
  const text = metadata[SYMLINK_TARGET];
  if (text === undefined) return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export type Xattrs = ReadonlyMap<string, Uint8Array>;

/** The unreserved characters of s3fs's urlEncodePath. */
const PLAIN = /[^A-Za-z0-9._~/-]/gu;

function encodeXattrs(xattrs: Xattrs): string {
  const json = JSON.stringify(Object.fromEntries([...xattrs].map(([name, value]) => [name, Buffer.from(value).toString("base64")])));
  return json.replace(PLAIN, (c) => [...Buffer.from(c)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""));
}

export function decodeXattrs(metadata: UserMetadata): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const text = metadata[XATTR];
  if (text === undefined) return found;
  try {
    const parsed: unknown = JSON.parse(decodeURIComponent(text));
    if (typeof parsed !== "object" || parsed === null) return found;
    for (const [name, value] of Object.entries(parsed)) {
      if (typeof value === "string") found.set(name, new Uint8Array(Buffer.from(value, "base64")));
    }
  } catch {
    // Somebody else's use of that name: no attributes of ours.
  }
  return found;
}

/** S3 allows 2 KiB of user metadata: names and values together. */
export const METADATA_LIMIT_BYTES = 2048;

export function metadataBytes(metadata: UserMetadata): number {
  return Object.entries(metadata).reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0);
}
