/**
 * `FileSystem`: the operations of a mounted file system, free of any kernel protocol.
 *
 * The engine's bridge calls it for requests of the kernel channel; a test may call it directly. The rules:
 * - A method either returns or throws a DriverError; the bridge turns the fault into an errno.
 * - Names are single path components, 1 to 255 bytes, never "." or "..". Bytes that are not UTF-8 arrive as
 *   lone surrogates U+DC80 to U+DCFF (one a byte), so that every name survives the way through a string.
 * - `Entry`-returning methods add one to the node's lookup count; `forget` takes counts away.
 * - Handles live from open/create/opendir to release/releasedir; `flush` may come more than once between.
 */
import type { HandleId, NodeId } from "#core/brand.ts";
import type { Timespec } from "#core/clock.ts";

/** Who asks. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Where something is made: the maker's umask, which the kernel has applied unless ACLs are on. */
  readonly umask?: number | undefined;
  /** Aborted when the kernel sends INTERRUPT for the request. */
  readonly signal?: AbortSignal | undefined;
}

/** stat(2)'s fields. `mode` has the type bits; `ino` is the node id. */
export interface Attr {
  readonly ino: number;
  readonly size: number;
  /** In units of 512 bytes. */
  readonly blocks: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly atime: Timespec;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
}

export interface AttrReply {
  readonly attr: Attr;
  /** How long the kernel may keep it. */
  readonly ttlMs: number;
}

export interface Entry extends AttrReply {
  readonly node: NodeId;
  readonly entryTtlMs: number;
}

/** "There is no such name", with how long the kernel may remember that (0: not at all). */
export interface MissingEntry {
  readonly node: 0;
  readonly entryTtlMs: number;
}

/** What setattr changes; absent fields stay. */
export interface AttrChanges {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly atime?: Timespec | "now";
  readonly mtime?: Timespec | "now";
  readonly ctime?: Timespec;
  /** The kernel asks to drop setuid and setgid bits as write and truncate by the unprivileged do (FATTR_KILL_SUIDGID). */
  readonly killSuidGid?: boolean;
}

/** How the kernel shall treat an opened file (FOPEN_* of linux/fuse.h). */
export interface Opened {
  readonly handle: HandleId;
  /** Set: reads, writes and mmap go to the backing file of this id inside the kernel (FOPEN_PASSTHROUGH). */
  readonly backingId?: number;
  /** The kernel's cached pages of this file are still right (FOPEN_KEEP_CACHE). */
  readonly keepCache?: boolean;
  /** Every read and write comes to us (FOPEN_DIRECT_IO). */
  readonly directIo?: boolean;
  /** A close needs no flush call (FOPEN_NOFLUSH). */
  readonly noFlush?: boolean;
}

/** A place in an open file. */
export interface FilePlace {
  readonly handle: HandleId;
  readonly offset: number;
}

/** One entry of a directory stream. */
export interface DirectoryEntry {
  readonly name: string;
  readonly ino: number;
  /** File type bits of st_mode, or 0 where they are not known yet (DT_UNKNOWN). */
  readonly type: number;
  /** Cookie of the place after this entry; stable while the handle is open. */
  readonly nextOffset: number;
  /** READDIRPLUS only: the entry as lookup gives it. Undefined where its attributes are not known yet. */
  readonly entry?: Entry | undefined;
}

/** Takes entries until it is full: false means the entry was not taken. */
export type DirectorySink = (entry: DirectoryEntry) => boolean;

export interface StatFs {
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  readonly bsize: number;
  readonly namelen: number;
}

/** Rename flags of renameat2(2). */
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

/** setxattr(2)'s flags. */
export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

export interface FileSystem {
  lookup(parent: NodeId, name: string, caller: Caller): Promise<Entry | MissingEntry>;
  /** Takes `count` from the node's lookup count; the node dies at zero. */
  forget(node: NodeId, count: number): void;
  getattr(node: NodeId, handle: HandleId | undefined, caller: Caller): Promise<AttrReply>;
  setattr(node: NodeId, changes: AttrChanges, handle: HandleId | undefined, caller: Caller): Promise<AttrReply>;
  readlink(node: NodeId, caller: Caller): Promise<string>;
  symlink(parent: NodeId, name: string, target: string, caller: Caller): Promise<Entry>;
  /**
   * `mode` has the type bits: regular files, fifos, sockets, devices. `rdev` is as stat(2) of Linux packs it into 32 bits.
   * Who may make a device the kernel has checked.
   */
  mknod(parent: NodeId, name: string, mode: number, rdev: number, caller: Caller): Promise<Entry>;
  mkdir(parent: NodeId, name: string, mode: number, caller: Caller): Promise<Entry>;
  unlink(parent: NodeId, name: string, caller: Caller): Promise<void>;
  rmdir(parent: NodeId, name: string, caller: Caller): Promise<void>;
  rename(parent: NodeId, name: string, newParent: NodeId, newName: string, flags: number, caller: Caller): Promise<void>;
  link(node: NodeId, newParent: NodeId, newName: string, caller: Caller): Promise<Entry>;

  /** `flags` are open(2)'s, O_TRUNC included (ATOMIC_O_TRUNC). */
  open(node: NodeId, flags: number, caller: Caller): Promise<Opened>;
  create(parent: NodeId, name: string, mode: number, flags: number, caller: Caller): Promise<{ entry: Entry; opened: Opened }>;
  /** A file without a name (O_TMPFILE), with no links: `link` may give it one. */
  tmpfile(parent: NodeId, mode: number, flags: number, caller: Caller): Promise<{ entry: Entry; opened: Opened }>;
  /** Bytes from `offset`: `size` of them, fewer only at the end of the file. Pieces are written to the kernel as they are, without a copy. */
  read(handle: HandleId, offset: number, size: number, caller: Caller): Promise<readonly Uint8Array[]>;
  /** `data` is valid until the promise settles. Answers the bytes written. */
  write(handle: HandleId, offset: number, data: Uint8Array, caller: Caller): Promise<number>;
  /** close(2) of one descriptor: with `durability=remote` the object is in the bucket when it returns. */
  flush(handle: HandleId, caller: Caller): Promise<void>;
  fsync(handle: HandleId, dataOnly: boolean, caller: Caller): Promise<void>;
  /** The last descriptor is gone. Its error reaches nobody. */
  release(handle: HandleId): Promise<void>;
  fallocate(handle: HandleId, mode: number, offset: number, length: number, caller: Caller): Promise<void>;
  /**
   * Copies up to `length` bytes between two open files; answers how many. Throws `unsupported` where nothing is gained over copying by
   * read and write, which the kernel does then.
   */
  copyFileRange(from: FilePlace, to: FilePlace, length: number, caller: Caller): Promise<number>;
  lseek(handle: HandleId, offset: number, whence: number, caller: Caller): Promise<number>;

  opendir(node: NodeId, flags: number, caller: Caller): Promise<HandleId>;
  /** Sends entries from `offset` on (0: the first), "." and ".." included, until `sink` is full or the stream ends. */
  readdir(handle: HandleId, offset: number, plus: boolean, sink: DirectorySink, caller: Caller): Promise<void>;
  releasedir(handle: HandleId): Promise<void>;
  fsyncdir(handle: HandleId, caller: Caller): Promise<void>;

  statfs(node: NodeId): Promise<StatFs>;
  getxattr(node: NodeId, name: string, caller: Caller): Promise<Uint8Array>;
  /** `killSetGid`: an access ACL takes the set-group-id bit away (FUSE_SETXATTR_ACL_KILL_SGID). */
  setxattr(node: NodeId, name: string, value: Uint8Array, flags: number, caller: Caller, killSetGid?: boolean): Promise<void>;
  listxattr(node: NodeId, caller: Caller): Promise<readonly string[]>;
  removexattr(node: NodeId, name: string, caller: Caller): Promise<void>;

  /** Uploads everything that is dirty; resolves when all is in the bucket, rejects with the first failure (after trying all). */
  syncAll(): Promise<void>;
  /** After the unmount: uploads what is left and lets everything go. */
  destroy(): Promise<void>;
}
