/**
 * Notices: what the file system tells the kernel without being asked. An out header with `unique` 0 and the code in the
 * place of the error.
 */
import type { Struct } from "#core/struct.ts";
import { NotifyDeleteOut, NotifyInvalEntryOut, NotifyInvalInodeOut, OutHeader } from "./abi.ts";
import { encodeName } from "./name-codec.ts";

/** enum fuse_notify_code, with the protocol minor version of each. */
export const FUSE_NOTIFY = {
  POLL: 1, // 7.11
  INVAL_INODE: 2, // 7.12
  INVAL_ENTRY: 3, // 7.12
  STORE: 4, // 7.15
  RETRIEVE: 5, // 7.15
  DELETE: 6, // 7.18
  RESEND: 7, // 7.40
  INC_EPOCH: 8, // 7.44
  PRUNE: 9, // 7.45
} as const;

function notice(code: number, bodySize: number): { readonly bytes: Uint8Array; readonly view: DataView } {
  const bytes = new Uint8Array(OutHeader.size + bodySize);
  const view = new DataView(bytes.buffer);
  OutHeader.write(view, 0, { len: bytes.length, error: code, unique: 0n });
  return { bytes, view };
}

// biome-ignore lint/suspicious/noExplicitAny: any struct whose values fit
function named<S extends Struct<any>>(
  code: number,
  struct: S,
  name: string,
  values: (namelen: number) => Parameters<S["write"]>[2],
): Uint8Array {
  const encoded = encodeName(name);
  const { bytes, view } = notice(code, struct.size + encoded.length + 1); // the NUL counts in the length, not in namelen
  struct.write(view, OutHeader.size, values(encoded.length));
  bytes.set(encoded, OutHeader.size + struct.size);
  return bytes;
}

/** Attributes of `ino` are void, and its cached pages from `off` for `len` bytes (0: to the end). A negative `off`: attributes only. */
export function encodeInvalInode(ino: number, off: number, len: number): Uint8Array {
  const { bytes, view } = notice(FUSE_NOTIFY.INVAL_INODE, NotifyInvalInodeOut.size);
  NotifyInvalInodeOut.write(view, OutHeader.size, { ino, off, len });
  return bytes;
}

/** The kernel drops the entry `name` of the directory `parent`, taking the directory's lock. */
export function encodeInvalEntry(parent: number, name: string, flags = 0): Uint8Array {
  return named(FUSE_NOTIFY.INVAL_ENTRY, NotifyInvalEntryOut, name, (namelen) => ({ parent, namelen, flags }));
}

/** As invalEntry when the entry still is `child`; watchers (inotify) see a deletion. */
export function encodeDelete(parent: number, child: number, name: string): Uint8Array {
  return named(FUSE_NOTIFY.DELETE, NotifyDeleteOut, name, (namelen) => ({ parent, child, namelen }));
}

/** The kernel queues again, marked, every request that was read and not answered. Refused with EINVAL before Linux 6.9. */
export function encodeResend(): Uint8Array {
  return notice(FUSE_NOTIFY.RESEND, 0).bytes;
}
