/** What an inode's attributes are now, for the kernel and for the bucket. */

import type { Timespec } from "#core/clock.ts";
import { DriverError } from "#core/errors.ts";
import type { UserMetadata } from "#s3/object-store.ts";
import type { Attr } from "./filesystem.ts";
import type { Inode } from "./inode.ts";
import { S_IFLNK, S_IFMT } from "./mode.ts";
import { type Attributes, encodeAttributes, METADATA_LIMIT_BYTES, metadataBytes } from "./object-metadata.ts";

const BLOCK_BYTES = 512;
/** st_blksize: what cp and others take as their buffer size. Larger means fewer calls. */
const PREFERRED_IO_BYTES = 1 << 17;

/** stat(2) of the inode. Size and mtime of a file being written come from its spool file, which the kernel may write to itself. */
export function attrOf(inode: Inode): Attr {
  const attributes = attributesOf(inode);
  const now = inode.content?.dirty?.stat();
  const size = inode.kind === "dir" ? 0 : (now?.size ?? sizeOf(inode));
  const { mode, uid, gid, rdev, atime } = attributes;
  const mtime = now?.mtime ?? attributes.mtime;
  return {
    ino: inode.node,
    size,
    blocks: now?.blocks ?? Math.ceil(size / BLOCK_BYTES),
    mode,
    nlink: linksOf(inode),
    uid,
    gid,
    rdev,
    blksize: PREFERRED_IO_BYTES,
    atime,
    mtime,
    ctime: now !== undefined && inode.content?.dirty?.changed() ? later(now.ctime, attributes.ctime) : attributes.ctime,
  };
}

/**
 * Of a directory: 2 and one for each subdirectory once it was seen whole; before that 1, which find(1) and others know as "not counted".
 */
function linksOf(inode: Inode): number {
  if (inode.detached) return 0;
  const subdirectories = inode.kind === "dir" ? inode.directory?.subdirectories() : undefined;
  return subdirectories === undefined ? 1 + (inode.others?.length ?? 0) : 2 + subdirectories;
}

function later(a: Timespec, b: Timespec): Timespec {
  return a.sec > b.sec || (a.sec === b.sec && a.nsec > b.nsec) ? a : b;
}

export function attributesOf(inode: Inode): Attributes {
  if (inode.attributes === undefined) throw new DriverError("stale", `the attributes of ${inode.name} are not known`);
  return inode.attributes;
}

function sizeOf(inode: Inode): number {
  if ((attributesOf(inode).mode & S_IFMT) === S_IFLNK && inode.symlinkTarget !== undefined) return Buffer.byteLength(inode.symlinkTarget);
  return inode.version?.size ?? 0;
}

/** The user metadata to store the inode with, everything foreign of its present version kept. */
export function storedMetadata(inode: Inode): UserMetadata {
  const { mtime, ctime } = attrOf(inode);
  const attributes = { ...attributesOf(inode), mtime, ctime };
  const extra = { previous: inode.version?.metadata ?? {}, xattrs: inode.xattrs };
  const metadata = encodeAttributes(attributes, { ...extra, symlinkTarget: inode.symlinkTarget });
  // The object's body has the target too, and is where s3fs reads it.
  return metadataBytes(metadata) > METADATA_LIMIT_BYTES ? encodeAttributes(attributes, extra) : metadata;
}

/** In memory only: a directory's times move with its entries, but storing that would cost a request per entry. */
export function touch(inode: Inode, time: Timespec): void {
  if (inode.attributes !== undefined) inode.attributes = { ...inode.attributes, mtime: time, ctime: time };
}
