/**
 * libfuse's operations, which name files by path, on handlers, which name them by node: each path is walked down from the root by
 * LOOKUP, the operation done on what is found, and every lookup given back by FORGET some time later. Open files keep theirs until RELEASE.
 *
 * Operations get neither the caller's uid nor open(2)'s flags at creation from the library: `owner` is told to the handlers.
 */
import { DriverError } from "#core/errors.ts";
import type { ValuesOf } from "#core/struct.ts";
import type { AttrOut, EntryOut, GetattrIn, OpenOut, SetattrIn, StatfsOut } from "#fuse/wire/abi.ts";
import { type DirentValues, decodeDirents } from "#fuse/wire/dirent.ts";
import { FATTR, FUSE_FSYNC_FDATASYNC } from "#fuse/wire/flags.ts";
import { decodeName } from "#fuse/wire/name-codec.ts";
import type { Bytes, OpHandlers, OpRequest } from "#fuse/wire/ops.ts";
import { KeptLookups } from "./kept-lookups.ts";

const ROOT = 1;
const O_RDWR = 2;
const READDIR_BYTES = 128 << 10;
const NO_LOCK = 0n;
/** Nodes that are not forgotten yet, about a kilobyte each: what a walk of a large tree comes back to keeps its number. */
const KEPT_NODES = 1 << 15;
/** chown(2)'s "leave it". */
const UNCHANGED = 0xffff_ffff;

type Attr = ValuesOf<typeof EntryOut>["attr"];

/** stat(2)'s fields in the library's order of names; times in milliseconds. */
export interface PathStat extends Pick<Attr, "mode" | "uid" | "gid" | "size" | "nlink" | "ino" | "rdev" | "blksize" | "blocks"> {
  readonly atime: number;
  readonly mtime: number;
  readonly ctime: number;
}

export class PathOperations {
  readonly #handlers: OpHandlers;
  readonly #owner: { readonly uid: number; readonly gid: number };
  /** Nodes that open files keep. */
  readonly #opened = new Map<number, number>();
  readonly #signal = new AbortController().signal;
  readonly #lookups: KeptLookups;
  #requests = 0;

  constructor(handlers: OpHandlers, owner: { readonly uid: number; readonly gid: number }, keptNodes = KEPT_NODES) {
    this.#handlers = handlers;
    this.#owner = owner;
    this.#lookups = new KeptLookups(keptNodes, (node, nlookup) => void handlers.forget(this.#request(node), { nlookup }));
  }

  async getattr(path: string): Promise<PathStat> {
    return this.#at(path, async (node) => statOf((await this.#handlers.getattr(this.#request(node), GETATTR)).attr));
  }

  async setattr(path: string, changes: Partial<ValuesOf<typeof SetattrIn>> & { readonly valid: number }): Promise<void> {
    await this.#at(path, async (node) => this.#handlers.setattr(this.#request(node), { ...NO_CHANGES, ...changes }));
  }

  truncate(path: string, size: number): Promise<void> {
    return this.setattr(path, { valid: FATTR.SIZE, size });
  }

  chmod(path: string, mode: number): Promise<void> {
    return this.setattr(path, { valid: FATTR.MODE, mode });
  }

  chown(path: string, uid: number, gid: number): Promise<void> {
    const valid = (uid === UNCHANGED ? 0 : FATTR.UID) | (gid === UNCHANGED ? 0 : FATTR.GID);
    return this.setattr(path, { valid, uid, gid });
  }

  utimens(path: string, atimeMs: number, mtimeMs: number): Promise<void> {
    const [atime, mtime] = [timeOf(atimeMs), timeOf(mtimeMs)];
    const valid = FATTR.ATIME | FATTR.MTIME;
    return this.setattr(path, { valid, atime: atime.sec, atimensec: atime.nsec, mtime: mtime.sec, mtimensec: mtime.nsec });
  }

  async ftruncate(fh: number, size: number): Promise<void> {
    await this.#handlers.setattr(this.#ofOpen(fh), { ...NO_CHANGES, valid: FATTR.SIZE | FATTR.FH, size, fh });
  }

  readlink(path: string): Promise<string> {
    return this.#at(path, async (node) => decodeName(joined(await this.#handlers.readlink(this.#request(node)))));
  }

  async readdir(path: string): Promise<DirentValues[]> {
    return this.#at(path, async (node) => {
      const { fh } = await this.#handlers.opendir(this.#request(node), { flags: 0, open_flags: 0 });
      try {
        return await this.#entries(node, fh);
      } finally {
        await this.#handlers.releasedir(this.#request(node), { fh, flags: 0, release_flags: 0, lock_owner: NO_LOCK });
      }
    });
  }

  async mknod(path: string, mode: number, rdev: number): Promise<void> {
    await this.#make(path, (request, name) => this.#handlers.mknod(request, { mode, rdev, umask: 0 }, name));
  }

  async mkdir(path: string, mode: number): Promise<void> {
    await this.#make(path, (request, name) => this.#handlers.mkdir(request, { mode, umask: 0 }, name));
  }

  async symlink(target: string, path: string): Promise<void> {
    await this.#make(path, (request, name) => this.#handlers.symlink(request, name, target));
  }

  async link(source: string, path: string): Promise<void> {
    await this.#at(source, (oldnodeid) => this.#make(path, (request, name) => this.#handlers.link(request, { oldnodeid }, name)));
  }

  async unlink(path: string): Promise<void> {
    await this.#below(path, (request, name) => this.#handlers.unlink(request, name));
  }

  async rmdir(path: string): Promise<void> {
    await this.#below(path, (request, name) => this.#handlers.rmdir(request, name));
  }

  async rename(path: string, target: string): Promise<void> {
    await this.#below(target, ({ nodeid: newdir }, newName) =>
      this.#below(path, (request, name) => this.#handlers.rename(request, { newdir }, name, newName)),
    );
  }

  async open(path: string, flags: number): Promise<number> {
    const node = await this.#walk(path);
    try {
      return this.#keep(node, await this.#handlers.open(this.#request(node), { flags, open_flags: 0 }));
    } catch (error) {
      this.#forget(node);
      throw error;
    }
  }

  async create(path: string, mode: number): Promise<number> {
    return this.#below(path, async (request, name) => {
      const [entry, opened] = await this.#handlers.create(request, { flags: O_RDWR, mode, umask: 0, open_flags: 0 }, name);
      return this.#keep(entry.nodeid, opened);
    });
  }

  async read(fh: number, size: number, offset: number): Promise<Uint8Array> {
    const input = { fh, offset, size, read_flags: 0, lock_owner: NO_LOCK, flags: 0 };
    return joined(await this.#handlers.read(this.#ofOpen(fh), input));
  }

  async write(fh: number, data: Uint8Array, offset: number): Promise<number> {
    const input = { fh, offset, size: data.length, write_flags: 0, lock_owner: NO_LOCK, flags: 0 };
    return (await this.#handlers.write(this.#ofOpen(fh), input, data)).size;
  }

  async flush(fh: number): Promise<void> {
    await this.#handlers.flush(this.#ofOpen(fh), { fh, lock_owner: NO_LOCK });
  }

  async fsync(fh: number, dataOnly: boolean): Promise<void> {
    await this.#handlers.fsync(this.#ofOpen(fh), { fh, fsync_flags: dataOnly ? FUSE_FSYNC_FDATASYNC : 0 });
  }

  async release(fh: number): Promise<void> {
    const node = this.#opened.get(fh);
    await this.#handlers.release(this.#ofOpen(fh), { fh, flags: 0, release_flags: 0, lock_owner: NO_LOCK });
    this.#opened.delete(fh);
    if (node !== undefined) this.#forget(node);
  }

  async statfs(): Promise<ValuesOf<typeof StatfsOut>["st"]> {
    return (await this.#handlers.statfs(this.#request(ROOT))).st;
  }

  async getxattr(path: string, name: string): Promise<Uint8Array> {
    return this.#at(path, async (node) => bytesOf(await this.#handlers.getxattr(this.#request(node), ANY_SIZE, name)));
  }

  async listxattr(path: string): Promise<string[]> {
    const names = await this.#at(path, async (node) => bytesOf(await this.#handlers.listxattr(this.#request(node), ANY_SIZE)));
    return decodeName(names).split("\0").slice(0, -1);
  }

  async setxattr(path: string, name: string, value: Uint8Array, flags: number): Promise<void> {
    const input = { size: value.length, flags, setxattr_flags: 0 };
    await this.#at(path, async (node) => this.#handlers.setxattr(this.#request(node), input, name, value));
  }

  async removexattr(path: string, name: string): Promise<void> {
    await this.#at(path, async (node) => this.#handlers.removexattr(this.#request(node), name));
  }

  #request(nodeid: number): OpRequest {
    this.#requests += 1;
    return { unique: this.#requests, resent: false, nodeid, ...this.#owner, pid: 0, signal: this.#signal };
  }

  #ofOpen(fh: number): OpRequest {
    const node = this.#opened.get(fh);
    if (node === undefined) throw new DriverError("bad_handle", `no file is open as ${fh}`);
    return this.#request(node);
  }

  #keep(node: number, { fh }: ValuesOf<typeof OpenOut>): number {
    this.#opened.set(fh, node);
    return fh;
  }

  #forget(node: number): void {
    if (node !== ROOT) this.#lookups.giveBack(node);
  }

  /** The node of a path, with one lookup that the caller gives back. */
  async #walk(path: string): Promise<number> {
    let node = ROOT;
    for (const name of path.split("/").filter((part) => part !== "")) {
      const parent = node;
      try {
        node = (await this.#handlers.lookup(this.#request(parent), name)).nodeid;
      } finally {
        this.#forget(parent);
      }
      if (node === 0) throw new DriverError("not_found", `${path}: no such name`);
    }
    return node;
  }

  async #at<T>(path: string, act: (node: number) => Promise<T>): Promise<T> {
    const node = await this.#walk(path);
    try {
      return await act(node);
    } finally {
      this.#forget(node);
    }
  }

  /** With the directory of the path, and its last name. */
  #below<T>(path: string, act: (request: OpRequest, name: string) => T | Promise<T>): Promise<T> {
    const slash = path.lastIndexOf("/");
    return this.#at(path.slice(0, slash), async (node) => act(this.#request(node), path.slice(slash + 1)));
  }

  async #make(
    path: string,
    make: (request: OpRequest, name: string) => ValuesOf<typeof EntryOut> | Promise<ValuesOf<typeof EntryOut>>,
  ): Promise<void> {
    const entry = await this.#below(path, make);
    this.#forget(entry.nodeid);
  }

  async #entries(node: number, fh: number): Promise<DirentValues[]> {
    const all: DirentValues[] = [];
    for (let offset = 0; ; offset = all.at(-1)?.off ?? 0) {
      const input = { fh, offset, size: READDIR_BYTES, read_flags: 0, lock_owner: NO_LOCK, flags: 0 };
      const some = decodeDirents(joined(await this.#handlers.readdir(this.#request(node), input)));
      if (some.length === 0) return all;
      all.push(...some);
    }
  }
}

const GETATTR: ValuesOf<typeof GetattrIn> = { getattr_flags: 0, fh: 0 };

const NO_CHANGES: ValuesOf<typeof SetattrIn> = {
  ...{ valid: 0, fh: 0, size: 0, lock_owner: NO_LOCK, atime: 0, mtime: 0, ctime: 0 },
  ...{ atimensec: 0, mtimensec: 0, ctimensec: 0, mode: 0, uid: 0, gid: 0 },
};

/** Any value fits: XATTR_SIZE_MAX and XATTR_LIST_MAX are 64 KiB. */
const ANY_SIZE = { size: 1 << 16 };

function statOf(attr: ValuesOf<typeof AttrOut>["attr"]): PathStat {
  const { mode, uid, gid, size, nlink, ino, rdev, blksize, blocks } = attr;
  return {
    ...{ mode, uid, gid, size, nlink, ino, rdev, blksize, blocks },
    atime: msOf(attr.atime, attr.atimensec),
    mtime: msOf(attr.mtime, attr.mtimensec),
    ctime: msOf(attr.ctime, attr.ctimensec),
  };
}

/** The library has no times before 1970. */
function msOf(sec: number, nsec: number): number {
  return Math.max(0, sec * 1000 + Math.floor(nsec / 1e6));
}

function timeOf(ms: number): { sec: number; nsec: number } {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: (ms - sec * 1000) * 1e6 };
}

function joined(bytes: Bytes): Uint8Array {
  return bytes instanceof Uint8Array ? bytes : Buffer.concat(bytes);
}

function bytesOf(value: Uint8Array | { readonly size: number }): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0);
}
