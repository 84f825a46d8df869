/**
 * A `FileSystem` in memory: proves the channel and the bridge on a real mount without a bucket, and measures what they cost.
 *
 * Handle numbers contain their node's number, so that a second instance with the same `prepare` serves handles that were opened
 * in a first one: a take-over without a journal. Lookup counts are checked, not used: nodes live while they have a name.
 */
import { setTimeout } from "node:timers/promises";
import { type HandleId, type NodeId, ROOT_NODE } from "../../src/core/brand.ts";
import { timespecOfMs } from "../../src/core/clock.ts";
import { DriverError } from "../../src/core/errors.ts";
import {
  type Attr,
  type AttrChanges,
  type AttrReply,
  type Caller,
  type DirectorySink,
  type Entry,
  type FileSystem,
  type MissingEntry,
  type Opened,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  type StatFs,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "../../src/fuse/vfs/filesystem.ts";
import { type MemoryInode as Inode, isWithin, patternBytes } from "./memory-inode.ts";

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const HANDLES_PER_NODE = 2 ** 20;

export interface MemoryFileSystemOptions {
  /** How long the kernel may keep entries and attributes, milliseconds. */
  readonly ttlMs?: number;
  /** How long it may keep absences. */
  readonly negativeTtlMs?: number;
  /** Gives the backing id for a descriptor, or undefined. */
  readonly backingId?: (fd: number) => number | undefined;
  /** Leave attributes out of READDIRPLUS. */
  readonly plainEntries?: boolean;
}

function fail(...args: ConstructorParameters<typeof DriverError>): never {
  throw new DriverError(...args);
}

export class MemoryFileSystem implements FileSystem {
  readonly #options: Required<MemoryFileSystemOptions>;
  readonly #nodes = new Map<number, Inode>();
  readonly #root: Inode;
  #nextNode: number = ROOT_NODE;
  #nextHandle = 0;
  /** Calls by method, for tests. */
  readonly calls: Record<string, number> = {};

  constructor(options: MemoryFileSystemOptions = {}) {
    this.#options = { ttlMs: 1000, negativeTtlMs: 0, backingId: () => undefined, plainEntries: false, ...options };
    this.#root = this.#makeNode(S_IFDIR | 0o755, { uid: 0, gid: 0, pid: 0 });
  }

  /** Puts a file of `patternBytes` under the root. */
  addPattern(name: string, size: number, delayMs: number): void {
    const inode = this.#add(this.#root, name, S_IFREG | 0o644, { uid: 0, gid: 0, pid: 0 });
    inode.size = size;
    inode.patternDelayMs = delayMs;
  }

  /** Puts a file under the root whose content the kernel takes from `fd`. */
  addBacked(name: string, size: number, fd: number): void {
    const inode = this.#add(this.#root, name, S_IFREG | 0o666, { uid: 0, gid: 0, pid: 0 });
    inode.size = size;
    inode.backingFd = fd;
  }

  #count(method: string): void {
    this.calls[method] = (this.calls[method] ?? 0) + 1;
  }

  #makeNode(mode: number, caller: Caller): Inode {
    const now = timespecOfMs(Date.now());
    const inode = {
      id: this.#nextNode++ as NodeId,
      mode,
      uid: caller.uid,
      gid: caller.gid,
      rdev: 0,
      nlink: 1,
      atime: now,
      mtime: now,
      ctime: now,
      size: 0,
      data: new Uint8Array(0),
      target: "",
      children: new Map(),
      xattrs: new Map(),
    } as unknown as Inode;
    inode.parent = inode;
    this.#nodes.set(inode.id, inode);
    return inode;
  }

  #node(id: number): Inode {
    return this.#nodes.get(id) ?? fail("stale", `no node ${id}`);
  }

  #open(handle: HandleId): Inode {
    return this.#node(Math.floor(handle / HANDLES_PER_NODE));
  }

  #child(parent: NodeId, name: string): Inode {
    return this.#node(parent).children.get(name) ?? fail("not_found", `no ${name}`);
  }

  #add(parent: Inode, name: string, mode: number, caller: Caller): Inode {
    if (parent.children.has(name)) fail("exists", name);
    const inode = this.#makeNode(mode, caller);
    inode.parent = parent;
    parent.children.set(name, inode);
    parent.mtime = timespecOfMs(Date.now());
    return inode;
  }

  #attr(inode: Inode): Attr {
    return {
      ino: inode.id,
      size: inode.size,
      blocks: Math.ceil(inode.size / 512),
      mode: inode.mode,
      nlink: inode.nlink,
      uid: inode.uid,
      gid: inode.gid,
      rdev: inode.rdev,
      blksize: 4096,
      atime: inode.atime,
      mtime: inode.mtime,
      ctime: inode.ctime,
    };
  }

  #entry(inode: Inode): Entry {
    return { node: inode.id, attr: this.#attr(inode), ttlMs: this.#options.ttlMs, entryTtlMs: this.#options.ttlMs };
  }

  #resize(inode: Inode, size: number): void {
    if (size > inode.data.length) {
      const grown = new Uint8Array(Math.max(size, inode.data.length * 2));
      grown.set(inode.data.subarray(0, inode.size));
      inode.data = grown;
    }
    if (size < inode.size) inode.data.fill(0, size, inode.size);
    inode.size = size;
  }

  #opened(inode: Inode): Opened {
    const handle = (inode.id * HANDLES_PER_NODE + this.#nextHandle++) as HandleId;
    if (inode.patternDelayMs) return { handle, directIo: true };
    const backingId = inode.backingFd === undefined ? undefined : this.#options.backingId(inode.backingFd);
    return backingId === undefined ? { handle } : { handle, backingId };
  }

  async lookup(parent: NodeId, name: string): Promise<Entry | MissingEntry> {
    this.#count("lookup");
    const inode = this.#node(parent).children.get(name);
    return inode === undefined ? { node: 0, entryTtlMs: this.#options.negativeTtlMs } : this.#entry(inode);
  }

  forget(): void {
    this.#count("forget");
  }

  async getattr(node: NodeId): Promise<AttrReply> {
    this.#count("getattr");
    return { attr: this.#attr(this.#node(node)), ttlMs: this.#options.ttlMs };
  }

  async setattr(node: NodeId, changes: AttrChanges): Promise<AttrReply> {
    const inode = this.#node(node);
    const now = timespecOfMs(Date.now());
    if (changes.mode !== undefined) inode.mode = (inode.mode & S_IFMT) | (changes.mode & 0o7777);
    if (changes.uid !== undefined) inode.uid = changes.uid;
    if (changes.gid !== undefined) inode.gid = changes.gid;
    if (changes.killSuidGid) inode.mode &= ~(inode.mode & 0o010 ? 0o6000 : 0o4000);
    if (changes.size !== undefined) {
      this.#resize(inode, changes.size);
      inode.mtime = now;
    }
    if (changes.atime !== undefined) inode.atime = changes.atime === "now" ? now : changes.atime;
    if (changes.mtime !== undefined) inode.mtime = changes.mtime === "now" ? now : changes.mtime;
    inode.ctime = changes.ctime ?? now;
    return this.getattr(node);
  }

  async readlink(node: NodeId): Promise<string> {
    return this.#node(node).target;
  }

  async symlink(parent: NodeId, name: string, target: string, caller: Caller): Promise<Entry> {
    const inode = this.#add(this.#node(parent), name, S_IFLNK | 0o777, caller);
    inode.target = target;
    inode.size = Buffer.byteLength(target);
    return this.#entry(inode);
  }

  async mknod(parent: NodeId, name: string, mode: number, rdev: number, caller: Caller): Promise<Entry> {
    const inode = this.#add(this.#node(parent), name, mode, caller);
    inode.rdev = rdev;
    return this.#entry(inode);
  }

  async mkdir(parent: NodeId, name: string, mode: number, caller: Caller): Promise<Entry> {
    return this.#entry(this.#add(this.#node(parent), name, S_IFDIR | (mode & 0o7777), caller));
  }

  async unlink(parent: NodeId, name: string): Promise<void> {
    const inode = this.#child(parent, name);
    inode.nlink--;
    this.#node(parent).children.delete(name);
  }

  async rmdir(parent: NodeId, name: string): Promise<void> {
    if (this.#child(parent, name).children.size > 0) fail("not_empty", name);
    this.#node(parent).children.delete(name);
  }

  async rename(parent: NodeId, name: string, newParent: NodeId, newName: string, flags: number): Promise<void> {
    const inode = this.#child(parent, name);
    const from = this.#node(parent);
    const to = this.#node(newParent);
    const there = to.children.get(newName);
    if (flags & RENAME_NOREPLACE && there !== undefined) fail("exists", newName);
    if (there !== undefined && there.children.size > 0 && !(flags & RENAME_EXCHANGE)) fail("not_empty", newName);
    if (flags & RENAME_EXCHANGE) {
      const other = there ?? fail("not_found", newName);
      if (isWithin(from, other) || isWithin(to, inode)) fail("bad_argument", newName);
      from.children.set(name, other);
      other.parent = from;
    } else from.children.delete(name);
    to.children.set(newName, inode);
    inode.parent = to;
  }

  async link(node: NodeId, newParent: NodeId, newName: string): Promise<Entry> {
    const inode = this.#node(node);
    if (this.#node(newParent).children.has(newName)) fail("exists", newName);
    this.#node(newParent).children.set(newName, inode);
    inode.nlink++;
    return this.#entry(inode);
  }

  async open(node: NodeId, flags: number): Promise<Opened> {
    this.#count("open");
    const inode = this.#node(node);
    if (flags & O_TRUNC) this.#resize(inode, 0);
    return this.#opened(inode);
  }

  tmpfile(): Promise<never> {
    return Promise.reject(new DriverError("unsupported", "no files without names here"));
  }

  async create(parent: NodeId, name: string, mode: number, flags: number, caller: Caller): Promise<{ entry: Entry; opened: Opened }> {
    const there = this.#node(parent).children.get(name);
    if (there !== undefined && flags & O_EXCL) fail("exists", name);
    const inode = there ?? this.#add(this.#node(parent), name, S_IFREG | (mode & 0o7777), caller);
    return { entry: this.#entry(inode), opened: this.#opened(inode) };
  }

  async read(handle: HandleId, offset: number, size: number, caller: Caller): Promise<readonly Uint8Array[]> {
    this.#count("read");
    const inode = this.#open(handle);
    const end = Math.min(inode.size, offset + size);
    if (offset >= end) return [];
    if (inode.patternDelayMs === undefined) return [inode.data.subarray(offset, end)];
    if (inode.patternDelayMs > 0)
      await setTimeout(inode.patternDelayMs, undefined, { ...(caller.signal === undefined ? {} : { signal: caller.signal }) });
    return [patternBytes(offset, end - offset)];
  }

  async write(handle: HandleId, offset: number, data: Uint8Array): Promise<number> {
    this.#count("write");
    const inode = this.#open(handle);
    if (offset + data.length > inode.size) this.#resize(inode, offset + data.length);
    inode.data.set(data, offset);
    inode.mtime = timespecOfMs(Date.now());
    return data.length;
  }

  async flush(): Promise<void> {
    this.#count("flush");
  }

  async fsync(): Promise<void> {
    this.#count("fsync");
  }

  async release(): Promise<void> {
    this.#count("release");
  }

  async fallocate(handle: HandleId, mode: number, offset: number, length: number): Promise<void> {
    const inode = this.#open(handle);
    if (mode !== 0) fail("unsupported", "fallocate mode");
    if (offset + length > inode.size) this.#resize(inode, offset + length);
  }

  copyFileRange = async (): Promise<number> => fail("unsupported", "copy_file_range");

  async lseek(handle: HandleId, offset: number, whence: number): Promise<number> {
    const SEEK_HOLE = 4;
    return whence === SEEK_HOLE ? this.#open(handle).size : offset;
  }

  async opendir(node: NodeId): Promise<HandleId> {
    return this.#opened(this.#node(node)).handle;
  }

  async readdir(handle: HandleId, offset: number, plus: boolean, sink: DirectorySink): Promise<void> {
    this.#count(plus ? "readdirplus" : "readdir");
    const inode = this.#open(handle);
    const dots: [string, Inode][] = [
      [".", inode],
      ["..", inode.parent],
    ];
    let place = 0;
    for (const [name, child] of [...dots, ...inode.children]) {
      if (place++ < offset) continue;
      const entry = plus && place > 2 && !this.#options.plainEntries ? this.#entry(child) : undefined;
      if (!sink({ name, ino: child.id, type: child.mode & S_IFMT, nextOffset: place, entry })) return;
    }
  }

  async releasedir(): Promise<void> {
    this.#count("releasedir");
  }

  async fsyncdir(): Promise<void> {
    this.#count("fsyncdir");
  }

  async statfs(): Promise<StatFs> {
    return { blocks: 1 << 30, bfree: 1 << 29, bavail: 1 << 29, files: 1e6, ffree: 1e6, bsize: 4096, namelen: 255 };
  }

  async getxattr(node: NodeId, name: string): Promise<Uint8Array> {
    return this.#node(node).xattrs.get(name) ?? fail("no_data", name);
  }

  async setxattr(node: NodeId, name: string, value: Uint8Array, flags: number): Promise<void> {
    const { xattrs } = this.#node(node);
    if (flags & XATTR_CREATE && xattrs.has(name)) fail("exists", name);
    if (flags & XATTR_REPLACE && !xattrs.has(name)) fail("no_data", name);
    xattrs.set(name, Uint8Array.from(value));
  }

  async listxattr(node: NodeId): Promise<readonly string[]> {
    return [...this.#node(node).xattrs.keys()];
  }

  async removexattr(node: NodeId, name: string): Promise<void> {
    if (!this.#node(node).xattrs.delete(name)) fail("no_data", name);
  }

  async syncAll(): Promise<void> {
    this.#count("syncAll");
  }

  async destroy(): Promise<void> {
    this.#count("destroy");
  }
}
