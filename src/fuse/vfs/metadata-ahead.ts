/**
 * `MetadataAhead`: what the object of an upload was said to carry when its first parts went ahead, while the file was still being
 * written (fuse/write/early-parts.ts). S3 fixes it then; at the end the file and the object must agree all the same.
 */
import { isDeepStrictEqual } from "node:util";
import type { Timespec } from "#core/clock.ts";
import type { UserMetadata } from "#s3/object-store.ts";
import type { Attributes } from "./object-metadata.ts";

export interface MetadataAhead {
  readonly metadata: UserMetadata;
  /** The inode's then, and the times that the metadata tells. */
  readonly attributes: Attributes;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
}

/**
 * True when since then nobody set anything (`attributes` are the inode's now): writing only moved the times on. Then the file may take the object's times, which lie
 * within the time of its writing. `wanted` is what would be stored now.
 */
export function onlyTimesAdvanced(ahead: MetadataAhead, attributes: Attributes | undefined, wanted: UserMetadata): boolean {
  const { mtime, ctime } = ahead.metadata;
  return attributes === ahead.attributes && isDeepStrictEqual({ ...wanted, mtime, ctime }, ahead.metadata);
}
