/**
 * The flag words of <linux/fuse.h>, under the kernel's names. The number after each is the protocol minor version that
 * brought it; a kernel ignores flags it does not know.
 */

/** A flag of INIT: bits 0 to 31 are in `flags`, 32 to 63 in `flags2`, which counts only beside FUSE_INIT_EXT. */
export interface InitFlag {
  readonly bit: number;
  readonly since: number;
}

export const FUSE_INIT_FLAGS = {
  ASYNC_READ: { bit: 0, since: 6 },
  POSIX_LOCKS: { bit: 1, since: 7 },
  FILE_OPS: { bit: 2, since: 9 },
  ATOMIC_O_TRUNC: { bit: 3, since: 9 },
  EXPORT_SUPPORT: { bit: 4, since: 10 },
  BIG_WRITES: { bit: 5, since: 9 },
  DONT_MASK: { bit: 6, since: 12 },
  SPLICE_WRITE: { bit: 7, since: 14 },
  SPLICE_MOVE: { bit: 8, since: 14 },
  SPLICE_READ: { bit: 9, since: 14 },
  FLOCK_LOCKS: { bit: 10, since: 17 },
  HAS_IOCTL_DIR: { bit: 11, since: 18 },
  AUTO_INVAL_DATA: { bit: 12, since: 20 },
  DO_READDIRPLUS: { bit: 13, since: 21 },
  READDIRPLUS_AUTO: { bit: 14, since: 21 },
  ASYNC_DIO: { bit: 15, since: 22 },
  WRITEBACK_CACHE: { bit: 16, since: 23 },
  NO_OPEN_SUPPORT: { bit: 17, since: 23 },
  PARALLEL_DIROPS: { bit: 18, since: 25 },
  HANDLE_KILLPRIV: { bit: 19, since: 26 },
  POSIX_ACL: { bit: 20, since: 26 },
  ABORT_ERROR: { bit: 21, since: 27 },
  MAX_PAGES: { bit: 22, since: 28 },
  CACHE_SYMLINKS: { bit: 23, since: 28 },
  NO_OPENDIR_SUPPORT: { bit: 24, since: 29 },
  EXPLICIT_INVAL_DATA: { bit: 25, since: 30 },
  MAP_ALIGNMENT: { bit: 26, since: 31 },
  SUBMOUNTS: { bit: 27, since: 32 },
  HANDLE_KILLPRIV_V2: { bit: 28, since: 33 },
  SETXATTR_EXT: { bit: 29, since: 33 },
  INIT_EXT: { bit: 30, since: 36 },
  SECURITY_CTX: { bit: 32, since: 36 },
  HAS_INODE_DAX: { bit: 33, since: 36 },
  CREATE_SUPP_GROUP: { bit: 34, since: 38 },
  HAS_EXPIRE_ONLY: { bit: 35, since: 38 },
  DIRECT_IO_ALLOW_MMAP: { bit: 36, since: 39 },
  PASSTHROUGH: { bit: 37, since: 40 },
  NO_EXPORT_SUPPORT: { bit: 38, since: 40 },
  HAS_RESEND: { bit: 39, since: 40 },
  ALLOW_IDMAP: { bit: 40, since: 41 },
  OVER_IO_URING: { bit: 41, since: 42 },
  REQUEST_TIMEOUT: { bit: 42, since: 43 },
} as const satisfies Record<string, InitFlag>;

export type InitFlagName = keyof typeof FUSE_INIT_FLAGS;

/** The two flag words of an INIT message. */
export interface InitFlagWords {
  readonly flags: number;
  readonly flags2: number;
}

/** True when the words have the flag. Without INIT_EXT the second word means nothing. */
export function hasInitFlag(words: InitFlagWords, name: InitFlagName): boolean {
  const { bit } = FUSE_INIT_FLAGS[name];
  if (bit < 32) return (words.flags & (1 << bit)) !== 0;
  return (words.flags & (1 << FUSE_INIT_FLAGS.INIT_EXT.bit)) !== 0 && (words.flags2 & (1 << (bit - 32))) !== 0;
}

/** The words that have exactly these flags. */
export function initFlagWords(names: Iterable<InitFlagName>): InitFlagWords {
  let flags = 0;
  let flags2 = 0;
  for (const name of names) {
    const { bit } = FUSE_INIT_FLAGS[name];
    if (bit < 32) flags |= 1 << bit;
    else flags2 |= 1 << (bit - 32);
  }
  return { flags: flags >>> 0, flags2: flags2 >>> 0 };
}

/** fuse_setattr_in.valid: which fields count. */
export const FATTR = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7, // 7.9
  MTIME_NOW: 1 << 8, // 7.9
  LOCKOWNER: 1 << 9, // 7.9
  CTIME: 1 << 10, // 7.23
  KILL_SUIDGID: 1 << 11, // 7.33
} as const;

/** fuse_open_out.open_flags: how the kernel treats the open file. */
export const FOPEN = {
  DIRECT_IO: 1 << 0, // 7.2
  KEEP_CACHE: 1 << 1, // 7.2
  NONSEEKABLE: 1 << 2, // 7.10
  CACHE_DIR: 1 << 3, // 7.28
  STREAM: 1 << 4, // 7.31
  NOFLUSH: 1 << 5, // 7.35
  PARALLEL_DIRECT_WRITES: 1 << 6, // 7.38
  PASSTHROUGH: 1 << 7, // 7.40
} as const;

/** fuse_open_in.open_flags and fuse_create_in.open_flags (7.33): the caller may not keep setuid and setgid. */
export const FUSE_OPEN_KILL_SUIDGID = 1 << 0;

/** fuse_getattr_in.getattr_flags (7.9): `fh` counts. */
export const FUSE_GETATTR_FH = 1 << 0;

/** fuse_write_in.write_flags. */
export const FUSE_WRITE = {
  /** Written back from the page cache (a shared mapping): the handle is a guess, uid and pid are not the writer's. */
  CACHE: 1 << 0, // 7.9
  LOCKOWNER: 1 << 1, // 7.9
  KILL_SUIDGID: 1 << 2, // 7.31, meaning changed in 7.33
} as const;

/** fuse_fsync_in.fsync_flags: fdatasync(2). */
export const FUSE_FSYNC_FDATASYNC = 1 << 0;

/** fuse_release_in.release_flags. */
export const FUSE_RELEASE = { FLUSH: 1 << 0, FLOCK_UNLOCK: 1 << 1 /* 7.17 */ } as const;

/** fuse_setxattr_in.setxattr_flags (7.33). */
export const FUSE_SETXATTR_ACL_KILL_SGID = 1 << 0;

/** fuse_notify_inval_entry_out.flags (7.38): revalidate at next use rather than drop. */
export const FUSE_EXPIRE_ONLY = 1 << 0;
