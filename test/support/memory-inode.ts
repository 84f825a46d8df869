/** An inode of `MemoryFileSystem`. */
import type { NodeId } from "../../src/core/brand.ts";
import type { Timespec } from "../../src/core/clock.ts";

/** A file whose bytes nobody keeps: byte i is that of `pattern`. */
export function patternBytes(offset: number, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let at = 0; at < size; ) {
    const page = Math.floor((offset + at) / 4096);
    const end = Math.min(size, (page + 1) * 4096 - offset);
    bytes.fill((page * 31 + 7) & 0xff, at, end);
    at = end;
  }
  return bytes;
}

export interface MemoryInode {
  readonly id: NodeId;
  mode: number;
  uid: number;
  gid: number;
  rdev: number;
  nlink: number;
  atime: Timespec;
  mtime: Timespec;
  ctime: Timespec;
  size: number;
  data: Uint8Array;
  target: string;
  /** Content by `patternBytes`, this many milliseconds late. */
  patternDelayMs?: number;
  /** Opened by passthrough of this descriptor. */
  backingFd?: number;
  parent: MemoryInode;
  readonly children: Map<string, MemoryInode>;
  readonly xattrs: Map<string, Uint8Array>;
}

/** True for `ancestor` itself. The root is its own parent. */
export function isWithin(inode: MemoryInode, ancestor: MemoryInode): boolean {
  let at = inode;
  while (at !== ancestor && at.parent !== at) at = at.parent;
  return at === ancestor;
}
