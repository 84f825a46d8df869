/**
 * `KernelUser`: calls a `FileSystem` as Linux does for a process: look-ups name by name, O_CREAT resolved into CREATE or OPEN, one
 * retry after ESTALE, appends at the end that getattr tells, and in passthrough reads and writes of the backing file without a call.
 *
 * It checks the kernel's own rule on the way: all opens of a node share the mode and the backing file, or the kernel answers EIO.
 * Nothing is cached: each path is walked anew, so what is seen is what the file system says now.
 */
import { readSync, writeSync } from "node:fs";
import { type HandleId, type NodeId, ROOT_NODE } from "#core/brand.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { Attr, AttrChanges, Caller, DirectoryEntry, Entry, FileSystem, Opened } from "#fuse/vfs/filesystem.ts";

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;

/** Descriptors of registered backing files, by id. */
export type BackingFiles = (backingId: number) => number;

/** Bindings of a node to a backing file while it is open. */
interface Binding {
  readonly backingId: number | undefined;
  opens: number;
}

export const ALICE: Caller = { uid: 1000, gid: 1000, pid: 77 };

export class KernelUser {
  readonly fs: FileSystem;
  readonly caller: Caller;
  readonly #backing: BackingFiles;
  readonly #bindings: Map<NodeId, Binding>;
  /** Look-ups that the file system counted and `forget` has not taken back. */
  readonly #held = new Map<NodeId, number>();

  constructor(
    fs: FileSystem,
    { caller = ALICE, backing = noBacking, like }: { caller?: Caller; backing?: BackingFiles; like?: KernelUser } = {},
  ) {
    this.fs = fs;
    this.caller = caller;
    this.#backing = backing;
    this.#bindings = like === undefined ? new Map() : like.#bindings;
  }

  /** The entry at `path`; counted once more with each call. Throws `not_found`. */
  async entry(path: string): Promise<Entry> {
    const names = path.split("/").filter((name) => name !== "");
    const last = names.pop();
    const parent = await this.#walk(names);
    if (last === undefined) return { ...(await this.fs.getattr(ROOT_NODE, undefined, this.caller)), node: ROOT_NODE, entryTtlMs: 0 };
    return this.#lookup(parent, last);
  }

  async node(path: string): Promise<NodeId> {
    return (await this.entry(path)).node;
  }

  /** The directory's node and the last name of `path`. */
  async place(path: string): Promise<{ parent: NodeId; name: string }> {
    const at = path.lastIndexOf("/");
    const { node, attr } = await this.entry(at < 0 ? "" : path.slice(0, at));
    if ((attr.mode & S_IFMT) !== S_IFDIR) throw new DriverError("not_dir", `${path}: its parent is not a directory`);
    return { parent: node, name: path.slice(at + 1) };
  }

  async #walk(names: readonly string[]): Promise<NodeId> {
    let at: NodeId = ROOT_NODE;
    for (const name of names) at = (await this.#lookup(at, name)).node;
    return at;
  }

  async #lookup(parent: NodeId, name: string): Promise<Entry> {
    const entry = await this.fs.lookup(parent, name, this.caller);
    if (entry.node === 0) throw new DriverError("not_found", `no ${name}`);
    return this.#hold(entry as Entry);
  }

  #hold(entry: Entry): Entry {
    this.#held.set(entry.node, (this.#held.get(entry.node) ?? 0) + 1);
    return entry;
  }

  /** Forgets everything, as under memory pressure. */
  forgetAll(): void {
    for (const [node, count] of this.#held) this.fs.forget(node, count);
    this.#held.clear();
  }

  /** One retry after ESTALE, as the kernel does for operations on paths. */
  async #retrying<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isFault(error, "stale")) throw error;
      return work();
    }
  }

  async open(path: string, flags = O_RDONLY, mode = 0o644): Promise<OpenFile> {
    return this.#retrying(async () => {
      const { parent, name } = await this.place(path);
      const found = await this.fs.lookup(parent, name, this.caller);
      if (found.node === 0) {
        if ((flags & O_CREAT) === 0) throw new DriverError("not_found", `no ${path}`);
        const { entry, opened } = await this.fs.create(parent, name, 0o100000 | mode, flags, this.caller);
        return this.#opened(this.#hold(entry).node, opened, flags);
      }
      const entry = this.#hold(found as Entry);
      if ((flags & O_CREAT) !== 0 && (flags & O_EXCL) !== 0) throw new DriverError("exists", `${path} is there`);
      return this.openNode(entry.node, flags & ~(O_CREAT | O_EXCL));
    });
  }

  /** open(2) of a directory with O_TMPFILE; the name it may be linked from is its node. */
  async tmpfile(directory: string, flags = O_RDWR, mode = 0o600): Promise<OpenFile> {
    const { entry, opened } = await this.fs.tmpfile(await this.node(directory), 0o100000 | mode, flags, this.caller);
    return this.#opened(this.#hold(entry).node, opened, flags);
  }

  async openNode(node: NodeId, flags = O_RDONLY): Promise<OpenFile> {
    return this.#opened(node, await this.fs.open(node, flags, this.caller), flags);
  }

  #opened(node: NodeId, opened: Opened, flags: number): OpenFile {
    const binding = this.#bindings.get(node) ?? { backingId: opened.backingId, opens: 0 };
    if (binding.backingId !== opened.backingId) {
      throw new Error(`EIO: node ${node} is open with backing file ${binding.backingId}, now ${opened.backingId}`);
    }
    binding.opens += 1;
    this.#bindings.set(node, binding);
    const released = () => {
      binding.opens -= 1;
      if (binding.opens === 0) this.#bindings.delete(node);
    };
    const fd = opened.backingId === undefined ? undefined : this.#backing(opened.backingId);
    return new OpenFile(this, { node, opened, flags, fd, released });
  }

  async writeFile(path: string, data: string | Uint8Array, flags = O_WRONLY | O_CREAT | O_TRUNC): Promise<void> {
    const file = await this.open(path, flags);
    try {
      await file.write(0, data);
    } finally {
      await file.close();
    }
  }

  async readFile(path: string): Promise<Buffer> {
    const file = await this.open(path);
    try {
      return await file.readAll();
    } finally {
      await file.close();
    }
  }

  async text(path: string): Promise<string> {
    return (await this.readFile(path)).toString();
  }

  async stat(path: string): Promise<Attr> {
    return this.#retrying(async () => (await this.entry(path)).attr);
  }

  async exists(path: string): Promise<boolean> {
    try {
      await this.stat(path);
      return true;
    } catch (error) {
      if (isFault(error, "not_found")) return false;
      throw error;
    }
  }

  async setattr(path: string, changes: AttrChanges): Promise<Attr> {
    return this.#retrying(async () => (await this.fs.setattr(await this.node(path), changes, undefined, this.caller)).attr);
  }

  async mkdir(path: string, mode = 0o755): Promise<Entry> {
    const { parent, name } = await this.place(path);
    return this.#hold(await this.fs.mkdir(parent, name, mode, this.caller));
  }

  async symlink(path: string, target: string): Promise<Entry> {
    const { parent, name } = await this.place(path);
    return this.#hold(await this.fs.symlink(parent, name, target, this.caller));
  }

  async link(from: string, to: string): Promise<Entry> {
    const { parent, name } = await this.place(to);
    return this.#hold(await this.fs.link(await this.node(from), parent, name, this.caller));
  }

  async readlink(path: string): Promise<string> {
    return this.fs.readlink(await this.node(path), this.caller);
  }

  async unlink(path: string): Promise<void> {
    const { parent, name } = await this.place(path);
    await this.#retrying(() => this.fs.unlink(parent, name, this.caller));
  }

  async rmdir(path: string): Promise<void> {
    const { parent, name } = await this.place(path);
    await this.fs.rmdir(parent, name, this.caller);
  }

  async rename(from: string, to: string, flags = 0): Promise<void> {
    await this.#retrying(async () => {
      const source = await this.place(from);
      const target = await this.place(to);
      await this.fs.rename(source.parent, source.name, target.parent, target.name, flags, this.caller);
    });
  }

  /** Names of a directory without "." and "..", as readdir gives them, in calls that take `chunk` entries each. */
  async readdir(path: string, { plus = false, chunk = 100 } = {}): Promise<string[]> {
    return (await this.entries(path, { plus, chunk })).map(({ name }) => name);
  }

  async entries(path: string, { plus = false, chunk = 100 } = {}): Promise<DirectoryEntry[]> {
    const handle = await this.fs.opendir(await this.node(path), O_RDONLY, this.caller);
    try {
      return await this.stream(handle, { plus, chunk });
    } finally {
      await this.fs.releasedir(handle);
    }
  }

  /** What the stream of an open directory shows from `offset` on. */
  async stream(handle: HandleId, { plus = false, chunk = 100, offset = 0 } = {}): Promise<DirectoryEntry[]> {
    const found: DirectoryEntry[] = [];
    for (let at = offset; ; ) {
      const some: DirectoryEntry[] = [];
      const sink = (entry: DirectoryEntry) => some.length < chunk && some.push(entry) > 0;
      await this.fs.readdir(handle, at, plus, sink, this.caller);
      if (some.length === 0) return found.filter(({ name }) => name !== "." && name !== "..");
      for (const { entry } of some) if (entry !== undefined) this.#hold(entry);
      found.push(...some);
      at = some.at(-1)?.nextOffset ?? 0;
    }
  }

  async setxattr(path: string, name: string, value: string | Uint8Array, flags = 0): Promise<void> {
    await this.fs.setxattr(await this.node(path), name, Buffer.from(value), flags, this.caller);
  }

  async getxattr(path: string, name: string): Promise<string> {
    return Buffer.from(await this.fs.getxattr(await this.node(path), name, this.caller)).toString();
  }
}

interface OpenParts {
  readonly node: NodeId;
  readonly opened: Opened;
  readonly flags: number;
  /** The backing file, in passthrough. */
  readonly fd: number | undefined;
  readonly released: () => void;
}

/** One open file of a process. */
export class OpenFile {
  readonly node: NodeId;
  readonly handle: HandleId;
  readonly opened: Opened;
  readonly #user: KernelUser;
  readonly #parts: OpenParts;

  constructor(user: KernelUser, parts: OpenParts) {
    this.#user = user;
    this.#parts = parts;
    this.node = parts.node;
    this.handle = parts.opened.handle;
    this.opened = parts.opened;
  }

  async stat(): Promise<Attr> {
    return (await this.#user.fs.getattr(this.node, this.handle, this.#user.caller)).attr;
  }

  async read(offset: number, size: number): Promise<Buffer> {
    const { fd } = this.#parts;
    if (fd !== undefined) {
      const bytes = Buffer.alloc(size);
      return bytes.subarray(0, readSync(fd, bytes, 0, size, offset));
    }
    return Buffer.concat(await this.#user.fs.read(this.handle, offset, size, this.#user.caller));
  }

  async readAll(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (let at = 0; ; ) {
      const piece = await this.read(at, 128 << 10);
      if (piece.length === 0) return Buffer.concat(pieces);
      pieces.push(piece);
      at += piece.length;
    }
  }

  async write(offset: number, data: string | Uint8Array): Promise<number> {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    if (bytes.byteLength === 0) return 0;
    const { fd } = this.#parts;
    if (fd !== undefined) return writeSync(fd, bytes, 0, bytes.byteLength, offset);
    return this.#user.fs.write(this.handle, offset, bytes, this.#user.caller);
  }

  /** write(2) of a descriptor opened with O_APPEND. */
  async append(data: string | Uint8Array): Promise<number> {
    return this.write((await this.stat()).size, data);
  }

  async truncate(size: number): Promise<void> {
    await this.#user.fs.setattr(this.node, { size }, this.handle, this.#user.caller);
  }

  fsync(): Promise<void> {
    return this.#user.fs.fsync(this.handle, false, this.#user.caller);
  }

  flush(): Promise<void> {
    return this.#user.fs.flush(this.handle, this.#user.caller);
  }

  async release(): Promise<void> {
    await this.#user.fs.release(this.handle);
    this.#parts.released();
  }

  /** close(2): the flush's error reaches the caller, and the release comes all the same. */
  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.release();
    }
  }
}

function noBacking(backingId: number): number {
  throw new Error(`backing file ${backingId} on a kernel without passthrough`);
}

/** The fault with which `work` is refused; "done" when it is not. */
export async function faultOf(work: Promise<unknown> | (() => Promise<unknown>)): Promise<string> {
  try {
    await (typeof work === "function" ? work() : work);
    return "done";
  } catch (error) {
    if (error instanceof DriverError) return error.fault;
    throw error;
  }
}
