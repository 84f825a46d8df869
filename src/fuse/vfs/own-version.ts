/**
 * Is the version that stands in a writer's way the writer's own?
 *
 * A PUT whose answer was lost (or whose engine died) may have reached the bucket. Its repetition, with the condition that was right
 * before, is then refused as if somebody else had been there. What was sent is known by its times, mtime and ctime to the nanosecond;
 * and since two mounts of one host may write within one tick of its clock, by its content too where the ETag is an MD5. In doubt
 * it is somebody else's: then data is put aside that need not be, but none is lost.
 */
import { createHash } from "node:crypto";
import { fstatSync, readSync } from "node:fs";
import { isFault } from "#core/errors.ts";
import type { SentMark } from "#fuse/journal/state-store.ts";
import type { ObjectInfo, ObjectStore, UserMetadata } from "#s3/object-store.ts";

/** An upload that may have reached the bucket. */
export interface SentVersion {
  readonly metadata: UserMetadata;
  /** Of the content, in hexadecimal; undefined for those too large to be sent in one piece, and where the content is another by now. */
  readonly md5: string | undefined;
  /** Of the content, where it is known. */
  readonly size?: number | undefined;
}

/** Larger ones go in parts, and their ETag is no MD5. */
const HASHED_BYTES = 64 << 20;
const CHUNK_BYTES = 1 << 20;

/** What an upload of the file as it is now sends. */
export function sentVersion(metadata: UserMetadata, fd: number): SentVersion {
  return { metadata, md5: md5Of(fd), size: fstatSync(fd).size };
}

/** For the journal. Undefined for what could not be told from others. */
export function markOf({ metadata, md5, size }: SentVersion): SentMark | undefined {
  const { mtime, ctime } = metadata;
  if (mtime === undefined || ctime === undefined || size === undefined) return undefined;
  return { mtime, ctime, size, ...(md5 === undefined ? {} : { md5 }) };
}

export function sentAs({ mtime, ctime, size, md5 }: SentMark): SentVersion {
  return { metadata: { mtime, ctime }, md5, size };
}

/** Notes what was sent; the same once. */
export function rememberSent(sent: SentVersion[], version: SentVersion): void {
  const isKnown = ({ metadata, md5, size }: SentVersion) =>
    md5 === version.md5 && size === version.size && isSameTime(metadata, version.metadata);
  if (!sent.some(isKnown)) sent.push(version);
}

/** What a dead predecessor may have sent, if the file was not changed since. The content is looked at only when it is asked for. */
export function sentByPredecessor(metadata: UserMetadata, fd: number): SentVersion {
  return {
    metadata,
    get md5() {
      return md5Of(fd);
    },
  };
}

function md5Of(fd: number): string | undefined {
  if (fstatSync(fd).size > HASHED_BYTES) return undefined;
  const hash = createHash("md5");
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let at = 0; ; ) {
    const count = readSync(fd, chunk, 0, chunk.length, at);
    if (count === 0) return hash.digest("hex");
    hash.update(chunk.subarray(0, count));
    at += count;
  }
}

/** The present version if it is one of those that were `sent` to `key`. Throws what HEAD throws, but for "not there". */
export async function findOwnVersion(store: ObjectStore, key: string, sent: readonly SentVersion[]): Promise<ObjectInfo | undefined> {
  try {
    const there = await store.head(key);
    return sent.some((version) => isSame(version, there)) ? there : undefined;
  } catch (error) {
    if (isFault(error, "not_found")) return undefined;
    throw error;
  }
}

export async function isGone(store: ObjectStore, key: string): Promise<boolean> {
  try {
    await store.head(key);
    return false;
  } catch (error) {
    if (isFault(error, "not_found")) return true;
    throw error;
  }
}

function isSame(sent: SentVersion, { etag, metadata, size }: ObjectInfo): boolean {
  if (sent.metadata["mtime"] === undefined || !isSameTime(sent.metadata, metadata)) return false;
  if (etag.includes("-")) return true;
  return sent.md5 === undefined ? sent.size === size : etag === `"${sent.md5}"`;
}

interface Times {
  readonly mtime?: string | undefined;
  readonly ctime?: string | undefined;
}

/** The same write, as far as times to the nanosecond tell. */
export function isSameTime(a: Times, b: Times): boolean {
  return a.mtime === b.mtime && a.ctime === b.ctime;
}
