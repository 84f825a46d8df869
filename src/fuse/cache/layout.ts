/**
 * Names inside the cache folder. A file's name says all that is needed to find it again, so there is no index on the disk:
 *
 *   whole/<2 hex>/<64 hex>             a complete version
 *   partial/<2 hex>/<64 hex>           a sparse file, and
 *   partial/<2 hex>/<64 hex>.ranges    which ranges of it are valid
 *   temp/<64 hex>.<stamp>-<n>          being written, or on its way out
 *
 * The 64 digits are the SHA-256 of key, ETag and size. Whatever does not match these patterns is not ours and is left alone.
 */
import { hash } from "node:crypto";
import type { ContentId } from "./content-cache.ts";

export const AREAS = ["whole", "partial", "temp"] as const;
export type ContentArea = "whole" | "partial";

const NAME = /^[0-9a-f]{64}$/;
const BUCKET = /^[0-9a-f]{2}$/;
const TEMP = /^[0-9a-f]{64}\.([0-9a-z]+)-[0-9]+$/;
const RECORD_SUFFIX = ".ranges";
const UNFINISHED_SUFFIX = ".new";
const KIND_OF_SUFFIX: ReadonlyMap<string, FoundName["kind"]> = new Map([
  ["", "content"],
  [RECORD_SUFFIX, "record"],
  [RECORD_SUFFIX + UNFINISHED_SUFFIX, "unfinished"],
]);

/** The version's name. NUL cannot be part of a key or an ETag that travelled in a header. */
export function contentName({ key, etag, size }: ContentId): string {
  return hash("sha256", `${key}\0${etag}\0${size}`);
}

/** Path of a content file inside the cache folder. */
export function contentPath(area: ContentArea, name: string): string {
  return `${area}/${name.slice(0, 2)}/${name}`;
}

/** Path of the record that says which ranges of a partial file are valid. */
export function recordPath(partial: string): string {
  return partial + RECORD_SUFFIX;
}

/** Where a record is written before it takes its name. */
export function unfinishedPath(record: string): string {
  return record + UNFINISHED_SUFFIX;
}

/** A name in temp/: `stamp` tells this run's files from those that a crash left. */
export function tempPath(name: string, stamp: string, count: number): string {
  return `temp/${name}.${stamp}-${count}`;
}

/** Is this one of the 256 folders that content files are spread over. */
export function isBucketName(name: string): boolean {
  return BUCKET.test(name);
}

export interface FoundName {
  readonly name: string;
  /** `unfinished`: a record that was being written. */
  readonly kind: "content" | "record" | "unfinished";
}

/** What a file found in folder `bucket` is, or undefined when this cache did not make it. */
export function classify(bucket: string, file: string): FoundName | undefined {
  const name = file.slice(0, 64);
  if (!NAME.test(name) || !name.startsWith(bucket)) return undefined;
  const kind = KIND_OF_SUFFIX.get(file.slice(64));
  return kind && { name, kind };
}

/** True for a file of temp/ that another run of this cache left there. */
export function isLeftover(file: string, stamp: string): boolean {
  const match = TEMP.exec(file);
  return match !== null && match[1] !== stamp;
}
