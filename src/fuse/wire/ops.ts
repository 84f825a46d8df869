/**
 * The operations of the protocol: one row per opcode says what a request carries, what answers it, and which handler
 * method serves it. Decoding, encoding, dispatch, the debug print and the type `OpHandlers` all derive from this table.
 *
 * A request is a header, the `in` struct, `names` NUL-terminated strings, then `payload` bytes, each only where its row says so.
 */
import type { Struct, Values, ValuesOf } from "#core/struct.ts";
import {
  AttrOut,
  BatchForgetIn,
  CopyFileRangeIn,
  CopyFileRangeOut,
  CreateIn,
  EntryOut,
  FallocateIn,
  FlushIn,
  ForgetIn,
  FsyncIn,
  GetattrIn,
  GetxattrIn,
  type GetxattrOut,
  InitIn,
  InitOut,
  InterruptIn,
  LinkIn,
  LseekIn,
  LseekOut,
  MkdirIn,
  MknodIn,
  OpenIn,
  OpenOut,
  ReadIn,
  ReleaseIn,
  Rename2In,
  RenameIn,
  SetattrIn,
  SetxattrIn,
  StatfsOut,
  SyncfsIn,
  WriteIn,
  WriteOut,
} from "./abi.ts";

// biome-ignore lint/suspicious/noExplicitAny: rows hold structs of any shape
type AnyStruct = Struct<any>;

/**
 * What answers a request: nothing at all, an empty success, one struct, two structs on end, bytes, or (the size-0 protocol
 * of xattrs) either the size or the bytes. An error is always an out header alone.
 */
export type ReplyKind = "none" | "empty" | "bytes" | "size-or-bytes" | AnyStruct | readonly [AnyStruct, AnyStruct];

export interface OpRow {
  readonly opcode: number;
  readonly method: string;
  readonly in?: AnyStruct;
  readonly names: 0 | 1 | 2;
  readonly payload: boolean;
  readonly reply: ReplyKind;
  /** The channel answers it itself: there is no handler. */
  readonly channel?: true;
}

export const OPS = {
  /** Path walk, one component. Answering nodeid 0 caches the absence for entry_valid. */
  LOOKUP: { opcode: 1, method: "lookup", names: 1, payload: false, reply: EntryOut },
  FORGET: { opcode: 2, method: "forget", in: ForgetIn, names: 0, payload: false, reply: "none" },
  GETATTR: { opcode: 3, method: "getattr", in: GetattrIn, names: 0, payload: false, reply: AttrOut },
  SETATTR: { opcode: 4, method: "setattr", in: SetattrIn, names: 0, payload: false, reply: AttrOut },
  READLINK: { opcode: 5, method: "readlink", names: 0, payload: false, reply: "bytes" },
  /** Names: the new link, then its target. */
  SYMLINK: { opcode: 6, method: "symlink", names: 2, payload: false, reply: EntryOut },
  MKNOD: { opcode: 8, method: "mknod", in: MknodIn, names: 1, payload: false, reply: EntryOut },
  MKDIR: { opcode: 9, method: "mkdir", in: MkdirIn, names: 1, payload: false, reply: EntryOut },
  UNLINK: { opcode: 10, method: "unlink", names: 1, payload: false, reply: "empty" },
  RMDIR: { opcode: 11, method: "rmdir", names: 1, payload: false, reply: "empty" },
  /** renameat2 with flags comes as RENAME2; without, as RENAME. */
  RENAME: { opcode: 12, method: "rename", in: RenameIn, names: 2, payload: false, reply: "empty" },
  LINK: { opcode: 13, method: "link", in: LinkIn, names: 1, payload: false, reply: EntryOut },
  OPEN: { opcode: 14, method: "open", in: OpenIn, names: 0, payload: false, reply: OpenOut },
  READ: { opcode: 15, method: "read", in: ReadIn, names: 0, payload: false, reply: "bytes" },
  /** The only request of many bytes: its payload is read in place. */
  WRITE: { opcode: 16, method: "write", in: WriteIn, names: 0, payload: true, reply: WriteOut },
  STATFS: { opcode: 17, method: "statfs", names: 0, payload: false, reply: StatfsOut },
  RELEASE: { opcode: 18, method: "release", in: ReleaseIn, names: 0, payload: false, reply: "empty" },
  FSYNC: { opcode: 20, method: "fsync", in: FsyncIn, names: 0, payload: false, reply: "empty" },
  SETXATTR: { opcode: 21, method: "setxattr", in: SetxattrIn, names: 1, payload: true, reply: "empty" },
  GETXATTR: { opcode: 22, method: "getxattr", in: GetxattrIn, names: 1, payload: false, reply: "size-or-bytes" },
  LISTXATTR: { opcode: 23, method: "listxattr", in: GetxattrIn, names: 0, payload: false, reply: "size-or-bytes" },
  REMOVEXATTR: { opcode: 24, method: "removexattr", names: 1, payload: false, reply: "empty" },
  /** Every close(2), also of a descriptor that dup or fork made. */
  FLUSH: { opcode: 25, method: "flush", in: FlushIn, names: 0, payload: false, reply: "empty" },
  /** First request of a connection, once. */
  INIT: { opcode: 26, method: "init", in: InitIn, names: 0, payload: false, reply: InitOut, channel: true },
  OPENDIR: { opcode: 27, method: "opendir", in: OpenIn, names: 0, payload: false, reply: OpenOut },
  READDIR: { opcode: 28, method: "readdir", in: ReadIn, names: 0, payload: false, reply: "bytes" },
  RELEASEDIR: { opcode: 29, method: "releasedir", in: ReleaseIn, names: 0, payload: false, reply: "empty" },
  FSYNCDIR: { opcode: 30, method: "fsyncdir", in: FsyncIn, names: 0, payload: false, reply: "empty" },
  CREATE: { opcode: 35, method: "create", in: CreateIn, names: 1, payload: false, reply: [EntryOut, OpenOut] },
  /** A signal reached the process that waits for another request. Never answered with success. */
  INTERRUPT: { opcode: 36, method: "interrupt", in: InterruptIn, names: 0, payload: false, reply: "none", channel: true },
  /** Sent at unmount to block-device mounts only; ours learn of it by ENODEV. */
  DESTROY: { opcode: 38, method: "destroy", names: 0, payload: false, reply: "empty", channel: true },
  BATCH_FORGET: { opcode: 42, method: "batchForget", in: BatchForgetIn, names: 0, payload: true, reply: "none" },
  FALLOCATE: { opcode: 43, method: "fallocate", in: FallocateIn, names: 0, payload: false, reply: "empty" },
  READDIRPLUS: { opcode: 44, method: "readdirplus", in: ReadIn, names: 0, payload: false, reply: "bytes" },
  RENAME2: { opcode: 45, method: "rename2", in: Rename2In, names: 2, payload: false, reply: "empty" },
  LSEEK: { opcode: 46, method: "lseek", in: LseekIn, names: 0, payload: false, reply: LseekOut },
  /** On EOPNOTSUPP the kernel copies through the page cache, and asks again for the next call. At most 4 GiB; before Linux 6.18. */
  COPY_FILE_RANGE: { opcode: 47, method: "copyFileRange", in: CopyFileRangeIn, names: 0, payload: false, reply: WriteOut },
  COPY_FILE_RANGE_64: { opcode: 53, method: "copyFileRange64", in: CopyFileRangeIn, names: 0, payload: false, reply: CopyFileRangeOut },
  /** O_TMPFILE; the name means nothing. */
  TMPFILE: { opcode: 51, method: "tmpfile", in: CreateIn, names: 1, payload: false, reply: [EntryOut, OpenOut] },
  SYNCFS: { opcode: 50, method: "syncfs", in: SyncfsIn, names: 0, payload: false, reply: "empty" },
} as const satisfies Record<string, OpRow>;

/** An opcode's kernel name without its prefix. */
export type OpName = keyof typeof OPS;

/** Opcodes of linux/fuse.h that are answered ENOSYS, with the reason. The kernel remembers ENOSYS and then does what is said here. */
export const UNSUPPORTED: Readonly<Record<string, { readonly opcode: number; readonly reason: string }>> = {
  GETLK: { opcode: 31, reason: "no lock flags are announced: the kernel keeps fcntl locks itself" },
  SETLK: { opcode: 32, reason: "as GETLK" },
  SETLKW: { opcode: 33, reason: "as GETLK" },
  ACCESS: { opcode: 34, reason: "mounts have default_permissions: the kernel checks modes" },
  BMAP: { opcode: 37, reason: "there is no block device" },
  IOCTL: { opcode: 39, reason: "no ioctl is defined; callers get ENOTTY" },
  POLL: { opcode: 40, reason: "regular files are always ready, as the kernel then assumes" },
  NOTIFY_REPLY: { opcode: 41, reason: "answers FUSE_NOTIFY_RETRIEVE, which is never sent" },
  SETUPMAPPING: { opcode: 48, reason: "DAX of virtiofs" },
  REMOVEMAPPING: { opcode: 49, reason: "DAX of virtiofs" },
  STATX: { opcode: 52, reason: "birth times are not kept; the kernel uses GETATTR" },
  CUSE_INIT: { opcode: 4096, reason: "character devices in user space, not file systems" },
};

/** One request, as its handler sees it. Serves as the `Caller` of the vfs. */
export interface OpRequest {
  /** The kernel's number of the request, without the mark of `resent`. */
  readonly unique: number;
  /** The kernel repeats it because an earlier engine on this connection did not answer; that engine may have carried it out all the same. */
  readonly resent: boolean;
  readonly nodeid: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Aborted when the kernel sends INTERRUPT. The controller behind it is made when this is first read. */
  readonly signal: AbortSignal;
}

/** Reply bytes: one piece, or several that are written on end without a copy. */
export type Bytes = Uint8Array | readonly Uint8Array[];

type Rows = typeof OPS;
type InArgs<R> = R extends { readonly in: Struct<infer S> } ? [input: Values<S>] : [];
type NameArgs<R> = R extends { readonly names: 1 } ? [name: string] : R extends { readonly names: 2 } ? [name: string, second: string] : [];
type PayloadArgs<R> = R extends { readonly payload: true } ? [payload: Uint8Array] : [];
type ReplyOf<K> = K extends "none" | "empty"
  ? // biome-ignore lint/suspicious/noConfusingVoidType: it is the return type of a handler
    void
  : K extends "bytes"
    ? Bytes
    : K extends "size-or-bytes"
      ? ValuesOf<typeof GetxattrOut> | Uint8Array
      : K extends Struct<infer S>
        ? Values<S>
        : K extends readonly [Struct<infer A>, Struct<infer B>]
          ? readonly [Values<A>, Values<B>]
          : never;

/**
 * One handler: answers or throws (a DriverError becomes its fault's errno). `input` is a live view of the request's bytes
 * and valid only until the handler first returns or awaits; names are strings of its own; `payload` is valid until the
 * answer settles.
 */
export type Handler<R extends OpRow> = (
  request: OpRequest,
  ...args: [...InArgs<R>, ...NameArgs<R>, ...PayloadArgs<R>]
) => ReplyOf<R["reply"]> | Promise<ReplyOf<R["reply"]>>;

/** One handler for each operation the channel does not answer itself, by the `method` of its row. */
export type OpHandlers = {
  readonly [N in OpName as Rows[N] extends { readonly channel: true } ? never : Rows[N]["method"]]: Handler<Rows[N]>;
};

/** A row by its opcode; undefined for an opcode that is not served. */
export const OP_BY_CODE: readonly (OpRow | undefined)[] = Array.from({ length: 64 }, (_, opcode) =>
  Object.values<OpRow>(OPS).find((row) => row.opcode === opcode),
);

const NAME_BY_CODE = new Map<number, string>(
  [...Object.entries<{ readonly opcode: number }>(OPS), ...Object.entries(UNSUPPORTED)].map(([name, row]) => [row.opcode, name]),
);

/** An opcode's kernel name without its prefix, or its number. */
export function opcodeName(opcode: number): string {
  return NAME_BY_CODE.get(opcode) ?? String(opcode);
}
