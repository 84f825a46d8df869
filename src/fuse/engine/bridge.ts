/**
 * The bridge: requests of the kernel channel become calls of the `FileSystem`, its answers become wire structs.
 *
 * `input` is a live view that is void after the first await (see wire/ops.ts): every handler reads what it needs of it first.
 */
import type { HandleId, NodeId } from "#core/brand.ts";
import type { Timespec } from "#core/clock.ts";
import { DriverError, type Fault, isFault } from "#core/errors.ts";
import type { ValuesOf } from "#core/struct.ts";
import type {
  Attr,
  AttrChanges,
  AttrReply,
  Caller,
  DirectoryEntry,
  Entry,
  FileSystem,
  MissingEntry,
  Opened,
} from "#fuse/vfs/filesystem.ts";
import type { AttrOut, CopyFileRangeIn, EntryOut, OpenOut, SetattrIn } from "#fuse/wire/abi.ts";
import { decodeForgets } from "#fuse/wire/decode.ts";
import { DirentWriter, direntType } from "#fuse/wire/dirent.ts";
import {
  FATTR,
  FOPEN,
  FUSE_FSYNC_FDATASYNC,
  FUSE_GETATTR_FH,
  FUSE_OPEN_KILL_SUIDGID,
  FUSE_SETXATTR_ACL_KILL_SGID,
  FUSE_WRITE,
} from "#fuse/wire/flags.ts";
import { encodeName } from "#fuse/wire/name-codec.ts";
import type { OpHandlers, OpRequest } from "#fuse/wire/ops.ts";

type WireAttr = ValuesOf<typeof EntryOut>["attr"];

/** A year: the kernel adds the time to its clock, and absurd values overflow. */
const MAX_TTL_MS = 365 * 24 * 3600 * 1000;

/** File types of st_mode, and open(2)'s flags, as Linux has them on x86-64 and arm64. */
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
/** renameat2(2)'s. */
const RENAME_EXCHANGE = 2;

const node = (id: number): NodeId => id as NodeId;
const handle = (id: number): HandleId => id as HandleId;

function ttl(ms: number): { readonly sec: number; readonly nsec: number } {
  const bounded = Math.min(MAX_TTL_MS, Math.max(0, ms));
  const sec = Math.floor(bounded / 1000);
  return { sec, nsec: Math.floor((bounded - sec * 1000) * 1e6) };
}

function wireAttr(attr: Attr): WireAttr {
  return {
    ino: attr.ino,
    size: attr.size,
    blocks: attr.blocks,
    atime: attr.atime.sec,
    mtime: attr.mtime.sec,
    ctime: attr.ctime.sec,
    atimensec: attr.atime.nsec,
    mtimensec: attr.mtime.nsec,
    ctimensec: attr.ctime.nsec,
    mode: attr.mode,
    nlink: attr.nlink,
    uid: attr.uid,
    gid: attr.gid,
    rdev: attr.rdev,
    blksize: attr.blksize,
    flags: 0,
  };
}

function wireAttrReply({ attr, ttlMs }: AttrReply): ValuesOf<typeof AttrOut> {
  const { sec, nsec } = ttl(ttlMs);
  return { attr_valid: sec, attr_valid_nsec: nsec, attr: wireAttr(attr) };
}

function wireEntry(entry: Entry): ValuesOf<typeof EntryOut> {
  const attr = ttl(entry.ttlMs);
  const name = ttl(entry.entryTtlMs);
  return {
    nodeid: entry.node,
    generation: 0, // node ids are never used twice
    entry_valid: name.sec,
    attr_valid: attr.sec,
    entry_valid_nsec: name.nsec,
    attr_valid_nsec: attr.nsec,
    attr: wireAttr(entry.attr),
  };
}

const NO_ATTR: WireAttr = wireAttr({
  ino: 0,
  size: 0,
  blocks: 0,
  mode: 0,
  nlink: 0,
  uid: 0,
  gid: 0,
  rdev: 0,
  blksize: 0,
  atime: { sec: 0, nsec: 0 },
  mtime: { sec: 0, nsec: 0 },
  ctime: { sec: 0, nsec: 0 },
});

/** Node id 0: in LOOKUP "absent, remember it for this long", in READDIRPLUS "attributes not given". */
function noEntry(entryTtlMs: number): ValuesOf<typeof EntryOut> {
  const { sec, nsec } = ttl(entryTtlMs);
  return { nodeid: 0, generation: 0, entry_valid: sec, attr_valid: 0, entry_valid_nsec: nsec, attr_valid_nsec: 0, attr: NO_ATTR };
}

function wireOpened(opened: Opened): ValuesOf<typeof OpenOut> {
  const flags =
    (opened.backingId === undefined ? 0 : FOPEN.PASSTHROUGH) |
    (opened.keepCache ? FOPEN.KEEP_CACHE : 0) |
    (opened.directIo ? FOPEN.DIRECT_IO : 0) |
    (opened.noFlush ? FOPEN.NOFLUSH : 0);
  return { fh: opened.handle, open_flags: flags, backing_id: opened.backingId ?? 0 };
}

function time(valid: number, now: number, set: number, value: Timespec): Timespec | "now" | undefined {
  if (valid & now) return "now";
  return valid & set ? value : undefined;
}

/** What a SETATTR asks for. */
export function attrChanges(input: ValuesOf<typeof SetattrIn>): AttrChanges {
  const { valid } = input;
  const atime = time(valid, FATTR.ATIME_NOW, FATTR.ATIME, { sec: input.atime, nsec: input.atimensec });
  const mtime = time(valid, FATTR.MTIME_NOW, FATTR.MTIME, { sec: input.mtime, nsec: input.mtimensec });
  return {
    ...(valid & FATTR.MODE ? { mode: input.mode } : {}),
    ...(valid & FATTR.UID ? { uid: input.uid } : {}),
    ...(valid & FATTR.GID ? { gid: input.gid } : {}),
    ...(valid & FATTR.SIZE ? { size: input.size } : {}),
    ...(atime === undefined ? {} : { atime }),
    ...(mtime === undefined ? {} : { mtime }),
    ...(valid & FATTR.CTIME ? { ctime: { sec: input.ctime, nsec: input.ctimensec } } : {}),
    ...(valid & FATTR.KILL_SUIDGID ? { killSuidGid: true } : {}),
  };
}

/**
 * A repeated request may have been carried out by the engine that died before it could answer. Then "it exists already" means
 * "we made it": the name is looked up and answered as if made now. (Another client may have made it meanwhile; that cannot be
 * told apart, and the caller gets what it asked for: a thing of that name.)
 */
async function orExisting(request: OpRequest, fs: FileSystem, name: string, making: Promise<Entry>): Promise<Entry> {
  try {
    return await making;
  } catch (error) {
    if (!request.resent || !isFault(error, "exists")) throw error;
    const entry = await fs.lookup(node(request.nodeid), name, request);
    if (entry.node === 0) throw error;
    return entry as Entry;
  }
}

/** As above for what takes a name away: "there is no such name" (`fault`) of a repeated request means "we removed it". */
async function unlessResent(request: OpRequest, fault: Fault, doing: Promise<void>): Promise<void> {
  try {
    await doing;
  } catch (error) {
    if (!request.resent || !isFault(error, fault)) throw error;
  }
}

/** The size-0 protocol of getxattr(2) and listxattr(2): size 0 asks for the size; too small a buffer is ERANGE. */
function sizedValue(value: Uint8Array, size: number): Uint8Array | { size: number } {
  if (size === 0) return { size: value.length };
  if (value.length > size) throw new DriverError("range", `${value.length} bytes do not fit in ${size}`);
  return value;
}

/** NUL-terminated names on end, as listxattr(2) gives them. */
function nameList(names: readonly string[]): Uint8Array {
  return encodeName(names.map((name) => `${name}\0`).join(""));
}

/**
 * Which handles have had their setuid and setgid bits dropped. With HANDLE_KILLPRIV_V2 every write of an unprivileged process
 * carries the demand; the first write of a handle after the last chmod is enough.
 */
class KilledPrivileges {
  readonly #handles = new Set<number>();

  /** Drops the bits if this handle has not done so since the last chmod. */
  async drop(fs: FileSystem, id: number, handleId: number, caller: Caller): Promise<void> {
    if (this.#handles.has(handleId)) return;
    await fs.setattr(node(id), { killSuidGid: true }, handle(handleId), caller);
    this.#handles.add(handleId);
  }

  /** Some mode was changed: any handle's file may have the bits again. */
  forgetAll(): void {
    this.#handles.clear();
  }

  release(handleId: number): void {
    this.#handles.delete(handleId);
  }
}

/** Lookups, attributes, links and extended attributes. */
function nodeHandlers(fs: FileSystem, killed: KilledPrivileges) {
  return {
    async lookup(request, name) {
      const entry: Entry | MissingEntry = await fs.lookup(node(request.nodeid), name, request);
      if (entry.node !== 0) return wireEntry(entry as Entry);
      if (entry.entryTtlMs <= 0) throw new DriverError("not_found", "no such name");
      return noEntry(entry.entryTtlMs);
    },
    forget(request, { nlookup }) {
      fs.forget(node(request.nodeid), nlookup);
    },
    batchForget(_request, { count }, payload) {
      for (const { nodeid, nlookup } of decodeForgets(payload, count)) fs.forget(node(nodeid), nlookup);
    },
    async getattr(request, { getattr_flags, fh }) {
      const open = getattr_flags & FUSE_GETATTR_FH ? handle(fh) : undefined;
      return wireAttrReply(await fs.getattr(node(request.nodeid), open, request));
    },
    async setattr(request, input) {
      const open = input.valid & FATTR.FH ? handle(input.fh) : undefined;
      const changes = attrChanges(input);
      if (changes.mode !== undefined) killed.forgetAll();
      return wireAttrReply(await fs.setattr(node(request.nodeid), changes, open, request));
    },
    async readlink(request) {
      return encodeName(await fs.readlink(node(request.nodeid), request));
    },
    async getxattr(request, { size }, name) {
      return sizedValue(await fs.getxattr(node(request.nodeid), name, request), size);
    },
    async listxattr(request, { size }) {
      return sizedValue(nameList(await fs.listxattr(node(request.nodeid), request)), size);
    },
    setxattr(request, { flags, size, setxattr_flags }, name, payload) {
      const killSetGid = (setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) !== 0;
      const set = fs.setxattr(node(request.nodeid), name, payload.subarray(0, size), flags, request, killSetGid);
      return unlessResent(request, "exists", set); // XATTR_CREATE, done before
    },
    removexattr: (request, name) => unlessResent(request, "no_data", fs.removexattr(node(request.nodeid), name, request)),
    async statfs(request) {
      const stat = await fs.statfs(node(request.nodeid));
      return { st: { ...stat, frsize: stat.bsize } };
    },
  } satisfies Partial<OpHandlers>;
}

/** Who makes something. */
function maker(request: OpRequest, umask: number): Caller {
  const { uid, gid, pid } = request;
  return {
    ...{ uid, gid, pid, umask },
    get signal() {
      return request.signal;
    },
  };
}

/** What makes and removes names. */
function nameHandlers(fs: FileSystem) {
  const rename = (request: OpRequest, newdir: number, flags: number, name: string, newName: string): Promise<void> => {
    // Done twice it is undone, and half done nobody can tell: the engine that died knew.
    if (request.resent && (flags & RENAME_EXCHANGE) !== 0) {
      return Promise.reject(new DriverError("unavailable", "the engine died while it exchanged two names: look at both"));
    }
    const renaming = fs.rename(node(request.nodeid), name, node(newdir), newName, flags, request);
    return unlessResent(request, "not_found", renaming);
  };
  return {
    async symlink(request, name, target) {
      const making = fs.symlink(node(request.nodeid), name, target, request);
      return wireEntry(await orExisting(request, fs, name, making));
    },
    async mknod(request, { mode, rdev, umask }, name) {
      const making = fs.mknod(node(request.nodeid), name, mode, rdev, maker(request, umask));
      return wireEntry(await orExisting(request, fs, name, making));
    },
    async mkdir(request, { mode, umask }, name) {
      const making = fs.mkdir(node(request.nodeid), name, S_IFDIR | mode, maker(request, umask));
      return wireEntry(await orExisting(request, fs, name, making));
    },
    async link(request, { oldnodeid }, name) {
      const making = fs.link(node(oldnodeid), node(request.nodeid), name, request);
      return wireEntry(await orExisting(request, fs, name, making));
    },
    unlink: (request, name) => unlessResent(request, "not_found", fs.unlink(node(request.nodeid), name, request)),
    rmdir: (request, name) => unlessResent(request, "not_found", fs.rmdir(node(request.nodeid), name, request)),
    rename: (request, { newdir }, name, newName) => rename(request, newdir, 0, name, newName),
    rename2: (request, { newdir, flags }, name, newName) => rename(request, newdir, flags, name, newName),
  } satisfies Partial<OpHandlers>;
}

/** Opening, reading, writing and closing files. */
function fileHandlers(fs: FileSystem, killed: KilledPrivileges) {
  const create = async (
    request: OpRequest,
    name: string,
    umask: number,
    mode: number,
    flags: number,
  ): Promise<{ entry: Entry; opened: Opened }> => {
    try {
      return await fs.create(node(request.nodeid), name, mode, flags, maker(request, umask));
    } catch (error) {
      if (!request.resent || !isFault(error, "exists")) throw error;
      const entry = await fs.lookup(node(request.nodeid), name, request); // made before, see orExisting
      if (entry.node === 0) throw error;
      return { entry: entry as Entry, opened: await fs.open(entry.node, flags & ~(O_CREAT | O_EXCL), request) };
    }
  };
  const copyRange: (request: OpRequest, range: ValuesOf<typeof CopyFileRangeIn>) => Promise<number> = (request, range) => {
    const { fh_in, off_in, fh_out, off_out, len } = range;
    const length = Math.min(Number(len), Number.MAX_SAFE_INTEGER);
    return fs.copyFileRange({ handle: handle(fh_in), offset: off_in }, { handle: handle(fh_out), offset: off_out }, length, request);
  };
  return {
    async open(request, { flags, open_flags }) {
      const opened = await fs.open(node(request.nodeid), flags, request);
      if (open_flags & FUSE_OPEN_KILL_SUIDGID) await killed.drop(fs, request.nodeid, opened.handle, request);
      return wireOpened(opened);
    },
    async create(request, { flags, mode, umask }, name) {
      const { entry, opened } = await create(request, name, umask, S_IFREG | mode, flags);
      return [wireEntry(entry), wireOpened(opened)] as const;
    },
    async tmpfile(request, { flags, mode, umask }) {
      const { entry, opened } = await fs.tmpfile(node(request.nodeid), S_IFREG | mode, flags, maker(request, umask));
      return [wireEntry(entry), wireOpened(opened)] as const;
    },
    read: (request, { fh, offset, size }) => fs.read(handle(fh), offset, size, request),
    async write(request, { fh, offset, write_flags }, payload) {
      if (write_flags & FUSE_WRITE.KILL_SUIDGID) await killed.drop(fs, request.nodeid, fh, request);
      return { size: await fs.write(handle(fh), offset, payload, request) };
    },
    flush: (request, { fh }) => fs.flush(handle(fh), request),
    fsync: (request, { fh, fsync_flags }) => fs.fsync(handle(fh), (fsync_flags & FUSE_FSYNC_FDATASYNC) !== 0, request),
    release(_request, { fh }) {
      killed.release(fh);
      return fs.release(handle(fh));
    },
    fallocate: (request, { fh, offset, length, mode }) => fs.fallocate(handle(fh), mode, offset, length, request),
    async copyFileRange(request, range) {
      return { size: await copyRange(request, range) };
    },
    async copyFileRange64(request, range) {
      return { bytes_copied: await copyRange(request, range) };
    },
    async lseek(request, { fh, offset, whence }) {
      return { offset: await fs.lseek(handle(fh), offset, whence, request) };
    },
    syncfs: () => fs.syncAll(),
  } satisfies Partial<OpHandlers>;
}

/** Directory streams. */
function directoryHandlers(fs: FileSystem) {
  const list = async (request: OpRequest, fh: number, offset: number, size: number, plus: boolean): Promise<Uint8Array> => {
    const writer = new DirentWriter(size);
    const sink = (entry: DirectoryEntry): boolean => {
      const dirent = { ino: entry.ino, off: entry.nextOffset, type: direntType(entry.type), name: entry.name };
      return plus ? writer.addPlus(dirent, entry.entry === undefined ? noEntry(0) : wireEntry(entry.entry)) : writer.add(dirent);
    };
    await fs.readdir(handle(fh), offset, plus, sink, request);
    return writer.finish();
  };
  return {
    async opendir(request, { flags }) {
      return { fh: await fs.opendir(node(request.nodeid), flags, request), open_flags: 0, backing_id: 0 };
    },
    readdir: (request, { fh, offset, size }) => list(request, fh, offset, size, false),
    readdirplus: (request, { fh, offset, size }) => list(request, fh, offset, size, true),
    releasedir: (_request, { fh }) => fs.releasedir(handle(fh)),
    fsyncdir: (request, { fh }) => fs.fsyncdir(handle(fh), request),
  } satisfies Partial<OpHandlers>;
}

/** The handlers that serve `fs`. */
export function createBridge(fs: FileSystem): OpHandlers {
  const killed = new KilledPrivileges();
  return { ...nodeHandlers(fs, killed), ...nameHandlers(fs), ...fileHandlers(fs, killed), ...directoryHandlers(fs) };
}
