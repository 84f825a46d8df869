/**
 * The table of operations that `fuse-native` calls. Each ends by its callback: 0 or more, or minus the errno, then what was asked for.
 */
import { ERRNO } from "#core/errno.ts";
import type { Logger } from "#core/log.ts";
import type { ValuesOf } from "#core/struct.ts";
import type { Kstatfs } from "#fuse/wire/abi.ts";
import { errnoOf } from "./errno-of.ts";
import type { PathOperations } from "./path-operations.ts";

type Done = (result: number, ...values: unknown[]) => void;
type Table = Readonly<Record<string, (...args: never[]) => void>>;

const MOST = 2 ** 32 - 1;

/** The package passes statfs(2)'s numbers on in 32 bits: blocks become larger where there are more, and files no more than fit. */
export function inThirtyTwoBits(st: Omit<ValuesOf<typeof Kstatfs>, "padding" | "spare">) {
  const unit = 2 ** Math.max(0, Math.ceil(Math.log2(st.blocks / MOST)));
  const [blocks, bfree, bavail] = [st.blocks, st.bfree, st.bavail].map((count) => Math.floor(count / unit));
  const [files, ffree] = [st.files, st.ffree].map((count) => Math.min(count, MOST));
  return { blocks, bfree, bavail, files, ffree, favail: ffree, bsize: st.bsize * unit, frsize: st.frsize * unit, namemax: st.namelen };
}

/**
 * A value as the package takes it: it calls `copy` with the caller's buffer, which it shows nobody else, and answers `length`. So a buffer that
 * is too small can still be told (getxattr(2): ERANGE, and the caller asks again); the package itself would say that all of it was copied.
 */
export class XattrValue {
  length: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.length = bytes.length;
  }

  copy(target: Uint8Array): void {
    // Without a buffer only the size is asked for.
    if (target.length === 0) return;
    if (target.length < this.#bytes.length) this.length = -ERRNO.ERANGE;
    else target.set(this.#bytes);
  }
}

export class LibfuseOperations {
  readonly #paths: PathOperations;
  readonly #log: Logger;
  readonly #underWay = new Set<Promise<void>>();

  constructor(paths: PathOperations, log: Logger) {
    this.#paths = paths;
    this.#log = log;
  }

  table(): Table {
    return { ...this.#nodes(), ...this.#names(), ...this.#files(), ...this.#xattrs() };
  }

  /** Resolves when all that was asked is answered. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  #nodes(): Table {
    const paths = this.#paths;
    return {
      getattr: this.#asking("getattr", (path: string) => paths.getattr(path)),
      readlink: this.#asking("readlink", (path: string) => paths.readlink(path)),
      readdir: this.#asking("readdir", async (path: string) => (await paths.readdir(path)).map(({ name }) => name)),
      statfs: this.#asking("statfs", async () => inThirtyTwoBits(await paths.statfs())),
      truncate: this.#doing("truncate", (path: string, size: number) => paths.truncate(path, size)),
      utimens: this.#doing("utimens", (path: string, atimeMs: number, mtimeMs: number) => paths.utimens(path, atimeMs, mtimeMs)),
      chown: this.#doing("chown", (path: string, uid: number, gid: number) => paths.chown(path, uid, gid)),
      chmod: this.#doing("chmod", (path: string, mode: number) => paths.chmod(path, mode)),
    };
  }

  #names(): Table {
    const paths = this.#paths;
    return {
      mknod: this.#doing("mknod", (path: string, mode: number, rdev: number) => paths.mknod(path, mode, rdev)),
      mkdir: this.#doing("mkdir", (path: string, mode: number) => paths.mkdir(path, mode)),
      symlink: this.#doing("symlink", (target: string, path: string) => paths.symlink(target, path)),
      link: this.#doing("link", (source: string, path: string) => paths.link(source, path)),
      unlink: this.#doing("unlink", (path: string) => paths.unlink(path)),
      rmdir: this.#doing("rmdir", (path: string) => paths.rmdir(path)),
      rename: this.#doing("rename", (path: string, target: string) => paths.rename(path, target)),
    };
  }

  #files(): Table {
    const paths = this.#paths;
    return {
      open: this.#asking("open", (path: string, flags: number) => paths.open(path, flags)),
      create: this.#asking("create", (path: string, mode: number) => paths.create(path, mode)),
      read: (_path: string, fh: number, buffer: Buffer, size: number, offset: number, done: Done) =>
        this.#answer("read", done, async () => {
          const bytes = await paths.read(fh, size, offset);
          done(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).copy(buffer));
        }),
      write: (_path: string, fh: number, buffer: Buffer, size: number, offset: number, done: Done) =>
        this.#answer("write", done, async () => done(await paths.write(fh, buffer.subarray(0, size), offset))),
      ftruncate: this.#doing("ftruncate", (_path: string, fh: number, size: number) => paths.ftruncate(fh, size)),
      flush: this.#doing("flush", (_path: string, fh: number) => paths.flush(fh)),
      fsync: this.#doing("fsync", (_path: string, dataOnly: number, fh: number) => paths.fsync(fh, dataOnly !== 0)),
      release: this.#doing("release", (_path: string, fh: number) => paths.release(fh)),
    };
  }

  #xattrs(): Table {
    const paths = this.#paths;
    return {
      setxattr: this.#doing("setxattr", (path: string, name: string, value: Buffer, _position: number, flags: number) =>
        paths.setxattr(path, name, value, flags),
      ),
      getxattr: this.#asking(
        "getxattr",
        async (path: string, name: string, _position: number) => new XattrValue(await paths.getxattr(path, name)),
      ),
      listxattr: this.#asking("listxattr", (path: string) => paths.listxattr(path)),
      removexattr: this.#doing("removexattr", (path: string, name: string) => paths.removexattr(path, name)),
    };
  }

  /** An operation that answers a value; its last argument is the callback. */
  #asking<A extends unknown[], T>(op: string, act: (...args: A) => Promise<T>) {
    return (...args: [...A, Done]): void => {
      const done = args.pop() as Done;
      this.#answer(op, done, async () => done(0, await act(...(args as unknown as A))));
    };
  }

  #doing<A extends unknown[]>(op: string, act: (...args: A) => Promise<void>) {
    return (...args: [...A, Done]): void => {
      const done = args.pop() as Done;
      this.#answer(op, done, async () => {
        await act(...(args as unknown as A));
        done(0);
      });
    };
  }

  #answer(op: string, done: Done, work: () => Promise<void>): void {
    const answered = work().catch((error: unknown) => done(-errnoOf(error, { op }, this.#log)));
    this.#underWay.add(answered);
    void answered.finally(() => this.#underWay.delete(answered));
  }
}
