/** File type bits of st_mode (<bits/stat.h>, inode(7)) and what follows from them. */
import type { NodeKind } from "#fuse/journal/state-store.ts";

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_IXGRP = 0o010;
/** The bits chmod(2) changes. */
export const PERMISSIONS = 0o7777;

const TYPES = new Set([S_IFSOCK, S_IFLNK, S_IFREG, S_IFBLK, S_IFDIR, S_IFCHR, S_IFIFO]);

/** True when the type bits are one of the seven types that exist. */
export function hasType(mode: number): boolean {
  return TYPES.has(mode & S_IFMT);
}

export function kindOf(mode: number): NodeKind {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "dir";
    case S_IFLNK:
      return "symlink";
    case S_IFREG:
    case 0:
      return "file";
    default:
      return "special";
  }
}

/**
 * The mode after a write or truncate by somebody without CAP_FSETID: setuid goes, and setgid too where group
 * execute is set (without it the bit means mandatory locking). As file_remove_privs of the kernel does.
 */
export function withoutPrivileges(mode: number): number {
  const cleared = mode & ~S_ISUID;
  return (cleared & S_IXGRP) === 0 ? cleared : cleared & ~S_ISGID;
}

/** open(2) flags that matter to a file system, as Linux numbers them on x86-64 and arm64 alike. */
export const O_ACCMODE = 0o3;
export const O_RDONLY = 0o0;
export const O_RDWR = 0o2;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;

export function wantsWrite(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
}
