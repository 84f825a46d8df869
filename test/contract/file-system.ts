/**
 * What every `FileSystem` of this project promises to processes, as POSIX and Linux's man pages have it: one map from names to checks,
 * run on each file system that a factory makes. A check gets a fresh, empty file system and the users of it.
 */
import { describe, expect, it } from "vitest";
import { type FileSystem, RENAME_NOREPLACE, XATTR_CREATE, XATTR_REPLACE } from "#fuse/vfs/filesystem.ts";
import { faultOf, type KernelUser, O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from "../support/kernel-user.ts";

/** A file system under test. */
export interface FileSystemUnderTest {
  readonly fs: FileSystem;
  readonly user: KernelUser;
  /** What the file system believes without looking is no longer believed after this. */
  readonly letTimePass: () => void;
  readonly stop: () => Promise<void>;
}

export type FileSystemFactory = () => Promise<FileSystemUnderTest>;

type Check = (under: FileSystemUnderTest) => Promise<void>;

/** Runs every check on `factory`'s file systems. */
export function fileSystemContract(name: string, factory: FileSystemFactory): void {
  describe(`FileSystem contract: ${name}`, () => {
    for (const [group, checks] of Object.entries(GROUPS)) {
      describe(group, () => {
        for (const [title, check] of Object.entries(checks)) {
          it(title, async () => {
            const under = await factory();
            try {
              await check(under);
            } finally {
              await under.stop();
            }
          });
        }
      });
    }
  });
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

const content: Record<string, Check> = {
  "create, write and close: another open reads it": async ({ user }) => {
    await user.writeFile("f", "hello");
    expect(await user.text("f")).toBe("hello");
    expect(await user.stat("f")).toMatchObject({ size: 5, mode: 0o100644, uid: user.caller.uid, gid: user.caller.gid, nlink: 1 });
  },
  "a new file is seen before it is closed": async ({ user }) => {
    const file = await user.open("f", O_WRONLY | O_CREAT);
    await file.write(0, "abc");
    expect(await user.readdir("")).toEqual(["f"]);
    expect((await user.stat("f")).size).toBe(3);
    expect(await user.text("f")).toBe("abc");
    await file.close();
  },
  "an empty file stays empty": async ({ user, letTimePass }) => {
    await user.writeFile("f", "");
    letTimePass();
    expect((await user.stat("f")).size).toBe(0);
    expect(await user.text("f")).toBe("");
  },
  "a read beyond the end gives nothing": async ({ user }) => {
    await user.writeFile("f", "abc");
    const file = await user.open("f");
    expect((await file.read(3, 10)).length).toBe(0);
    expect((await file.read(100, 10)).length).toBe(0);
    expect(text(await file.read(1, 10))).toBe("bc");
    await file.close();
  },
  "appends go to the end": async ({ user, letTimePass }) => {
    await user.writeFile("f", "one\n");
    letTimePass();
    const file = await user.open("f", O_WRONLY | O_APPEND);
    await file.append("two\n");
    await file.append("three\n");
    await file.close();
    letTimePass();
    expect(await user.text("f")).toBe("one\ntwo\nthree\n");
  },
  "writes in the middle change only those bytes": async ({ user, letTimePass }) => {
    await user.writeFile("f", "0123456789");
    letTimePass();
    const file = await user.open("f", O_RDWR);
    await file.write(3, "abc");
    expect(text(await file.readAll())).toBe("012abc6789");
    await file.close();
    expect(await user.text("f")).toBe("012abc6789");
  },
  "writes in the middle of a large file change only those bytes": async ({ user, letTimePass }) => {
    const bytes = Buffer.alloc(300_000, "0123456789");
    await user.writeFile("f", bytes);
    letTimePass();
    const file = await user.open("f", O_RDWR);
    for (const at of [0, 131_000, 299_990]) {
      await file.write(at, "changed");
      bytes.write("changed", at);
    }
    expect((await file.readAll()).equals(bytes)).toBe(true);
    await file.close();
    letTimePass();
    expect((await user.readFile("f")).equals(bytes)).toBe(true);
  },
  "a write beyond the end leaves a hole of zeros": async ({ user, letTimePass }) => {
    const file = await user.open("f", O_WRONLY | O_CREAT);
    await file.write(0, "a");
    await file.write(10_000, "z");
    await file.close();
    letTimePass();
    const bytes = await user.readFile("f");
    expect(bytes.length).toBe(10_001);
    expect(bytes.subarray(1, 10_000).every((byte) => byte === 0)).toBe(true);
  },
  "two handles of one file see each other's writes": async ({ user }) => {
    await user.writeFile("f", "old");
    const reader = await user.open("f");
    const writer = await user.open("f", O_WRONLY);
    expect(text(await reader.readAll())).toBe("old");
    await writer.write(0, "new!");
    expect(text(await reader.readAll())).toBe("new!");
    await writer.close();
    expect(text(await reader.readAll())).toBe("new!");
    await reader.close();
  },
  "O_TRUNC empties the file at open": async ({ user, letTimePass }) => {
    await user.writeFile("f", "long content");
    letTimePass();
    const file = await user.open("f", O_WRONLY | O_TRUNC);
    expect((await file.stat()).size).toBe(0);
    await file.close();
    letTimePass();
    expect((await user.stat("f")).size).toBe(0);
    expect(await user.text("f")).toBe("");
  },
  "O_TRUNC empties what another handle has open": async ({ user }) => {
    await user.writeFile("f", "long content");
    const reader = await user.open("f");
    await user.writeFile("f", "x");
    expect(text(await reader.readAll())).toBe("x");
    await reader.close();
  },
  "O_EXCL refuses a name that is there": async ({ user }) => {
    await user.writeFile("f", "1", O_WRONLY | O_CREAT | O_EXCL);
    const { parent, name } = await user.place("f");
    expect(await faultOf(user.fs.create(parent, name, 0o100644, O_WRONLY | O_CREAT | O_EXCL, user.caller))).toBe("exists");
    expect(await user.text("f")).toBe("1");
  },
  "truncate(2) by path shortens and lengthens": async ({ user, letTimePass }) => {
    await user.writeFile("f", "0123456789");
    expect((await user.setattr("f", { size: 4 })).size).toBe(4);
    letTimePass();
    expect(await user.text("f")).toBe("0123");
    await user.setattr("f", { size: 6 });
    letTimePass();
    expect(await user.text("f")).toBe("0123\0\0");
    await user.setattr("f", { size: 0 });
    letTimePass();
    expect(await user.text("f")).toBe("");
  },
  "ftruncate(2) of an open writer is seen at once": async ({ user }) => {
    const file = await user.open("f", O_RDWR | O_CREAT);
    await file.write(0, "0123456789");
    await file.truncate(5);
    expect((await file.stat()).size).toBe(5);
    await file.write(5, "x");
    await file.close();
    expect(await user.text("f")).toBe("01234x");
  },
  "fsync, more writes, close: all of it is there": async ({ user, letTimePass }) => {
    const file = await user.open("f", O_WRONLY | O_CREAT);
    await file.write(0, "one");
    await file.fsync();
    await file.write(3, "two");
    await file.flush();
    await file.write(6, "three");
    await file.close();
    letTimePass();
    expect(await user.text("f")).toBe("onetwothree");
  },
  "a handle for reading refuses writes": async ({ user }) => {
    await user.writeFile("f", "abc");
    const file = await user.open("f", O_RDONLY);
    expect(await faultOf(user.fs.write(file.handle, 0, Buffer.from("x"), user.caller))).toBe("bad_handle");
    await file.close();
  },
  "a directory cannot be opened as a file": async ({ user }) => {
    await user.mkdir("d");
    expect(await faultOf(user.open("d"))).toBe("is_dir");
  },
  "fallocate lengthens unless told to keep the size": async ({ user }) => {
    const file = await user.open("f", O_WRONLY | O_CREAT);
    await file.write(0, "abc");
    await user.fs.fallocate(file.handle, 1, 0, 100, user.caller);
    expect((await file.stat()).size).toBe(3);
    await user.fs.fallocate(file.handle, 0, 0, 10, user.caller);
    expect((await file.stat()).size).toBe(10);
    await file.close();
    expect((await user.readFile("f")).length).toBe(10);
  },
};

const openFiles: Record<string, Check> = {
  "unlink of a file open for reading: the reader goes on": async ({ user, letTimePass }) => {
    await user.writeFile("f", "kept");
    letTimePass();
    const file = await user.open("f");
    await user.unlink("f");
    letTimePass();
    expect(text(await file.readAll())).toBe("kept");
    expect((await file.stat()).nlink).toBe(0);
    expect(await user.exists("f")).toBe(false);
    await file.close();
  },
  "unlink of a large file open for reading: the reader goes on": async ({ user, letTimePass }) => {
    const bytes = Buffer.alloc(300_000, "0123456789");
    await user.writeFile("f", bytes);
    letTimePass();
    const file = await user.open("f");
    await file.read(0, 4096);
    await user.unlink("f");
    letTimePass();
    expect((await file.readAll()).equals(bytes)).toBe(true);
    await file.close();
  },
  "unlink of a file open for writing: the name stays away after the close": async ({ user, letTimePass }) => {
    const file = await user.open("f", O_RDWR | O_CREAT);
    await file.write(0, "temporary");
    await user.unlink("f");
    await file.write(9, " file");
    expect(text(await file.readAll())).toBe("temporary file");
    await file.close();
    letTimePass();
    expect(await user.exists("f")).toBe(false);
    expect(await user.readdir("")).toEqual([]);
  },
  "unlink, then a new file of that name: both live": async ({ user }) => {
    await user.writeFile("f", "first");
    const old = await user.open("f");
    await user.unlink("f");
    await user.writeFile("f", "second");
    expect(text(await old.readAll())).toBe("first");
    expect(await user.text("f")).toBe("second");
    expect((await user.stat("f")).ino).not.toBe((await old.stat()).ino);
    await old.close();
    expect(await user.text("f")).toBe("second");
  },
  "rename of a file open for writing: what is written later is in the new name": async ({ user, letTimePass }) => {
    const file = await user.open("a", O_WRONLY | O_CREAT);
    await file.write(0, "one");
    await user.rename("a", "b");
    await file.write(3, "two");
    await file.close();
    letTimePass();
    expect(await user.readdir("")).toEqual(["b"]);
    expect(await user.text("b")).toBe("onetwo");
  },
  "rename of a changed file that is open: only the new name remains": async ({ user, letTimePass }) => {
    await user.writeFile("a", "before");
    const file = await user.open("a", O_WRONLY);
    await file.write(0, "BE");
    await user.rename("a", "b");
    await file.write(2, "FORE");
    await file.close();
    letTimePass();
    expect(await user.readdir("")).toEqual(["b"]);
    expect(await user.text("b")).toBe("BEFORE");
  },
  "rename of a file open for reading: the reader goes on": async ({ user, letTimePass }) => {
    const bytes = Buffer.alloc(300_000, "0123456789");
    await user.writeFile("a", bytes);
    letTimePass();
    const file = await user.open("a");
    await file.read(0, 100);
    await user.rename("a", "b");
    letTimePass();
    expect((await file.readAll()).equals(bytes)).toBe(true);
    await file.close();
    expect((await user.readFile("b")).equals(bytes)).toBe(true);
  },
  "rename over an open file: its reader keeps the old content": async ({ user }) => {
    await user.writeFile("a", "new");
    await user.writeFile("b", "old");
    const reader = await user.open("b");
    await user.rename("a", "b");
    expect(text(await reader.readAll())).toBe("old");
    expect(await user.text("b")).toBe("new");
    await reader.close();
    expect(await user.text("b")).toBe("new");
  },
  "rename over a file open for writing: the writer's bytes do not come back": async ({ user, letTimePass }) => {
    await user.writeFile("a", "new");
    const writer = await user.open("b", O_WRONLY | O_CREAT);
    await writer.write(0, "old");
    await user.rename("a", "b");
    await writer.write(3, "er");
    await writer.close();
    letTimePass();
    expect(await user.text("b")).toBe("new");
    expect(await user.readdir("")).toEqual(["b"]);
  },
  "write to a temporary name, then rename over the target": async ({ user, letTimePass }) => {
    await user.writeFile("target", "old");
    for (const version of ["1", "2", "3"]) {
      await user.writeFile("target.tmp", version);
      await user.rename("target.tmp", "target");
      expect(await user.text("target")).toBe(version);
    }
    letTimePass();
    expect(await user.readdir("")).toEqual(["target"]);
    expect(await user.text("target")).toBe("3");
  },
  "rename of a file open for writing over an existing one": async ({ user, letTimePass }) => {
    await user.writeFile("b", "old");
    const file = await user.open("a", O_WRONLY | O_CREAT);
    await file.write(0, "new");
    await user.rename("a", "b");
    await file.write(3, "er");
    await file.close();
    letTimePass();
    expect(await user.readdir("")).toEqual(["b"]);
    expect(await user.text("b")).toBe("newer");
  },
};

const tree: Record<string, Check> = {
  "mkdir and rmdir": async ({ user, letTimePass }) => {
    await user.mkdir("d", 0o750);
    expect(await user.stat("d")).toMatchObject({ mode: S_IFDIR | 0o750, uid: user.caller.uid });
    expect(await user.readdir("d")).toEqual([]);
    letTimePass();
    expect((await user.stat("d")).mode & 0o7777).toBe(0o750);
    expect(await faultOf(user.mkdir("d"))).toBe("exists");
    await user.rmdir("d");
    expect(await user.exists("d")).toBe(false);
    letTimePass();
    expect(await user.readdir("")).toEqual([]);
  },
  "rmdir refuses a directory with entries, and a file": async ({ user }) => {
    await user.mkdir("d");
    const file = await user.open("d/f", O_WRONLY | O_CREAT);
    expect(await faultOf(user.rmdir("d"))).toBe("not_empty");
    await file.close();
    expect(await faultOf(user.rmdir("d"))).toBe("not_empty");
    expect(await faultOf(user.rmdir("d/f"))).toBe("not_dir");
    await user.unlink("d/f");
    await user.rmdir("d");
  },
  "unlink refuses a directory and a missing name": async ({ user }) => {
    await user.mkdir("d");
    expect(await faultOf(user.unlink("d"))).toBe("is_dir");
    expect(await faultOf(user.unlink("nothing"))).toBe("not_found");
  },
  "a name in a file is not a directory's": async ({ user }) => {
    await user.writeFile("f", "x");
    expect(await faultOf(user.stat("f/x"))).toBe("not_dir");
  },
  "rename moves a file between directories": async ({ user, letTimePass }) => {
    await user.mkdir("a");
    await user.mkdir("b");
    await user.writeFile("a/f", "content");
    await user.setattr("a/f", { mode: 0o600 });
    await user.rename("a/f", "b/g");
    letTimePass();
    expect(await user.readdir("a")).toEqual([]);
    expect(await user.text("b/g")).toBe("content");
    expect((await user.stat("b/g")).mode & 0o7777).toBe(0o600);
  },
  "rename keeps the node of the file": async ({ user }) => {
    await user.writeFile("a", "content");
    const before = await user.stat("a");
    await user.rename("a", "b");
    expect((await user.stat("b")).ino).toBe(before.ino);
  },
  "rename with NOREPLACE refuses a target that is there": async ({ user }) => {
    await user.writeFile("a", "a");
    await user.writeFile("b", "b");
    expect(await faultOf(user.rename("a", "b", RENAME_NOREPLACE))).toBe("exists");
    expect([await user.text("a"), await user.text("b")]).toEqual(["a", "b"]);
    await user.rename("a", "c", RENAME_NOREPLACE);
    expect(await user.text("c")).toBe("a");
  },
  "rename checks the kinds": async ({ user }) => {
    await user.writeFile("f", "x");
    await user.mkdir("d");
    await user.mkdir("full");
    await user.writeFile("full/f", "x");
    expect(await faultOf(user.rename("f", "d"))).toBe("is_dir");
    expect(await faultOf(user.rename("d", "f"))).toBe("not_dir");
    expect(await faultOf(user.rename("d", "full"))).toBe("not_empty");
    expect(await faultOf(user.rename("missing", "x"))).toBe("not_found");
    await user.rename("full", "d");
    expect(await user.text("d/f")).toBe("x");
    expect(await user.exists("full")).toBe(false);
  },
  "rename of a name onto itself changes nothing": async ({ user }) => {
    await user.writeFile("f", "x");
    await user.rename("f", "f");
    expect(await user.text("f")).toBe("x");
  },
  "rename of a directory into itself is refused": async ({ user }) => {
    await user.mkdir("d");
    await user.mkdir("d/e");
    expect(await faultOf(user.rename("d", "d/e/f"))).toBe("bad_argument");
    expect(await faultOf(user.rename("d", "d/f"))).toBe("bad_argument");
    expect(await user.readdir("d")).toEqual(["e"]);
  },
  "rename moves a directory with all that is in it": async ({ user, letTimePass }) => {
    await user.mkdir("d");
    await user.mkdir("d/sub", 0o700);
    await user.mkdir("d/empty");
    for (let i = 0; i < 50; i++) await user.writeFile(`d/sub/f${i}`, `content ${i}`);
    await user.writeFile("d/top", "top");
    await user.symlink("d/link", "top");
    await user.rename("d", "e");
    expect(await user.exists("d")).toBe(false);
    for (const again of [false, true]) {
      if (again) letTimePass();
      expect((await user.readdir("")).sort()).toEqual(["e"]);
      expect((await user.readdir("e")).sort()).toEqual(["empty", "link", "sub", "top"]);
      expect((await user.readdir("e/sub")).length).toBe(50);
      expect(await user.text("e/sub/f7")).toBe("content 7");
      expect((await user.stat("e/sub")).mode & 0o7777).toBe(0o700);
      expect(await user.readlink("e/link")).toBe("top");
    }
  },
  "rename of a directory with files open in it: they keep working": async ({ user, letTimePass }) => {
    const bytes = Buffer.alloc(300_000, "0123456789");
    await user.mkdir("d");
    await user.writeFile("d/clean", "clean");
    await user.writeFile("d/large", bytes);
    await user.writeFile("d/changed", "before");
    letTimePass();
    const clean = await user.open("d/clean");
    const large = await user.open("d/large");
    const changed = await user.open("d/changed", O_RDWR);
    await changed.write(0, "CHANGED");
    const fresh = await user.open("d/fresh", O_WRONLY | O_CREAT);
    await fresh.write(0, "fresh");
    await large.read(0, 100);
    await user.rename("d", "e");
    letTimePass();
    expect(text(await clean.readAll())).toBe("clean");
    expect((await large.readAll()).equals(bytes)).toBe(true);
    await changed.write(7, "!");
    await fresh.write(5, "!");
    for (const file of [clean, large, changed, fresh]) await file.close();
    letTimePass();
    expect((await user.readdir("e")).sort()).toEqual(["changed", "clean", "fresh", "large"]);
    expect(await user.text("e/changed")).toBe("CHANGED!");
    expect(await user.text("e/fresh")).toBe("fresh!");
    expect(await user.exists("d")).toBe(false);
  },
  "mknod makes an empty regular file, and refuses devices": async ({ user, fs }) => {
    const { parent } = await user.place("x");
    await fs.mknod(parent, "f", 0o100640, 0, user.caller);
    expect(await user.stat("f")).toMatchObject({ mode: 0o100640, size: 0 });
    expect(await faultOf(fs.mknod(parent, "dev", 0o020600, 259, user.caller))).toBe("not_permitted");
    expect(await faultOf(fs.mknod(parent, "f", 0o100640, 0, user.caller))).toBe("exists");
  },
  "mknod makes a fifo that stays one": async ({ user, fs, letTimePass }) => {
    const { parent } = await user.place("x");
    await fs.mknod(parent, "p", 0o010600, 0, user.caller);
    letTimePass();
    expect((await user.stat("p")).mode).toBe(0o010600);
  },
  "hard links are refused": async ({ user, fs }) => {
    await user.writeFile("f", "x");
    const { parent } = await user.place("g");
    expect(await faultOf(fs.link(await user.node("f"), parent, "g", user.caller))).toBe("not_permitted");
  },
  "symlinks show their target, also one that leads nowhere": async ({ user, letTimePass }) => {
    for (const target of ["f", "/absolute/path", "../up", "naïve ünïcode %41 100%"]) {
      await user.symlink("l", target);
      expect(await user.readlink("l")).toBe(target);
      letTimePass();
      expect(await user.readlink("l")).toBe(target);
      const { mode, size } = await user.stat("l");
      expect(mode & S_IFMT).toBe(S_IFLNK);
      expect(size).toBe(Buffer.byteLength(target));
      await user.unlink("l");
    }
    await user.writeFile("f", "x");
    expect(await faultOf(user.readlink("f"))).toBe("bad_argument");
    expect(await faultOf(user.symlink("f", "x"))).toBe("exists");
  },
  "names of 255 bytes work, of 256 do not": async ({ user, letTimePass }) => {
    const longest = "é".repeat(127) + "x";
    await user.writeFile(longest, "x");
    letTimePass();
    expect(await user.readdir("")).toEqual([longest]);
    expect(await user.text(longest)).toBe("x");
    expect(await faultOf(user.writeFile(`${longest}y`, "x"))).toBe("name_too_long");
    expect(await faultOf(user.mkdir(`${longest}y`))).toBe("name_too_long");
    expect(await faultOf(user.rename(longest, `${longest}y`))).toBe("name_too_long");
  },
  "odd names work": async ({ user, letTimePass }) => {
    const names = [" ", "-rf", "a b", "a+b%20c", "x\ny", "日本語", "😀", "..x", "x..", ".hidden", "\\", "?&=#"];
    for (const name of names) await user.writeFile(name, name);
    letTimePass();
    expect((await user.readdir("")).sort()).toEqual([...names].sort());
    for (const name of names) expect(await user.text(name)).toBe(name);
  },
};

const directories: Record<string, Check> = {
  "readdir shows every entry once, however small the chunks": async ({ user, letTimePass }) => {
    await user.mkdir("d");
    for (let i = 0; i < 30; i++) await user.writeFile(`d/f${i}`, "");
    const all = Array.from({ length: 30 }, (_, i) => `f${i}`).sort();
    letTimePass();
    for (const chunk of [1, 7, 100]) {
      for (const plus of [false, true]) expect((await user.readdir("d", { chunk, plus })).sort()).toEqual(all);
    }
  },
  "readdir begins with . and ..": async ({ user, fs }) => {
    await user.mkdir("d");
    await user.mkdir("d/e");
    const handle = await fs.opendir(await user.node("d/e"), 0, user.caller);
    const names: [string, number][] = [];
    await fs.readdir(handle, 0, false, ({ name, ino }) => names.push([name, ino]) > 0, user.caller);
    expect(names).toEqual([
      [".", (await user.stat("d/e")).ino],
      ["..", (await user.stat("d")).ino],
    ]);
    await fs.releasedir(handle);
  },
  "readdir's offsets lead on from each entry": async ({ user, fs }) => {
    for (const name of ["a", "b", "c", "d"]) await user.writeFile(name, name);
    const handle = await fs.opendir(await user.node(""), 0, user.caller);
    const all = await user.stream(handle);
    for (const [i, entry] of all.entries()) {
      const rest = await user.stream(handle, { offset: entry.nextOffset, chunk: 1 });
      expect(rest.map(({ name }) => name)).toEqual(all.slice(i + 1).map(({ name }) => name));
    }
    await fs.releasedir(handle);
  },
  "removing entries while reading (rm -r) leaves none out": async ({ user, fs }) => {
    await user.mkdir("d");
    for (let i = 0; i < 40; i++) await user.writeFile(`d/f${i}`, "");
    const handle = await fs.opendir(await user.node("d"), 0, user.caller);
    const seen: string[] = [];
    for (let offset = 0; ; ) {
      const some: { name: string; nextOffset: number }[] = [];
      await fs.readdir(handle, offset, false, (entry) => some.length < 5 && some.push(entry) > 0, user.caller);
      if (some.length === 0) break;
      for (const { name } of some) if (!name.startsWith(".")) seen.push(name);
      for (const { name } of some) if (!name.startsWith(".")) await user.unlink(`d/${name}`);
      offset = some.at(-1)?.nextOffset ?? 0;
    }
    await fs.releasedir(handle);
    expect(seen.length).toBe(40);
    await user.rmdir("d");
  },
  "an entry removed while a stream is open is not shown, and not brought back": async ({ user, fs }) => {
    for (const name of ["a", "b", "c"]) await user.writeFile(name, name);
    const handle = await fs.opendir(await user.node(""), 0, user.caller);
    await user.stream(handle, { plus: true });
    await user.unlink("b");
    const left = await user.stream(handle, { plus: true, offset: 2 });
    expect(left.map(({ name }) => name)).toEqual(["a", "c"]);
    await fs.releasedir(handle);
    expect(await user.exists("b")).toBe(false);
    expect((await user.readdir("")).sort()).toEqual(["a", "c"]);
  },
  "rewinding shows the directory as it is now": async ({ user, fs }) => {
    await user.writeFile("a", "");
    const handle = await fs.opendir(await user.node(""), 0, user.caller);
    expect((await user.stream(handle)).map(({ name }) => name)).toEqual(["a"]);
    await user.writeFile("b", "");
    await user.unlink("a");
    expect((await user.stream(handle)).map(({ name }) => name)).toEqual(["b"]);
    await fs.releasedir(handle);
  },
  "readdirplus counts look-ups that forget takes back": async ({ user, fs }) => {
    await user.writeFile("f", "x");
    user.forgetAll();
    const [entry] = await user.entries("", { plus: true });
    expect(entry?.entry?.attr).toMatchObject({ size: 1, mode: 0o100644 });
    const node = entry!.entry!.node;
    await fs.getattr(node, undefined, user.caller);
    user.forgetAll();
    expect(await faultOf(fs.getattr(node, undefined, user.caller))).toBe("stale");
    expect(await user.text("f")).toBe("x");
  },
  "a directory that was removed while open is empty": async ({ user, fs }) => {
    await user.mkdir("d");
    const handle = await fs.opendir(await user.node("d"), 0, user.caller);
    await user.rmdir("d");
    expect(await user.stream(handle)).toEqual([]);
    await fs.releasedir(handle);
  },
  "nothing can be made in a directory that was removed": async ({ user, fs }) => {
    await user.mkdir("d");
    const node = await user.node("d");
    await user.rmdir("d");
    expect(await faultOf(fs.create(node, "f", 0o100644, O_WRONLY | O_CREAT, user.caller))).toBe("not_found");
    expect(await faultOf(fs.mkdir(node, "e", 0o755, user.caller))).toBe("not_found");
    expect(await user.readdir("")).toEqual([]);
  },
};

const seconds = (sec: number, nsec = 0) => ({ sec, nsec });

const attributes: Record<string, Check> = {
  "chmod, chown and utimens last": async ({ user, letTimePass }) => {
    await user.writeFile("f", "x");
    await user.mkdir("d");
    for (const path of ["f", "d"]) {
      await user.setattr(path, { mode: 0o4711 });
      await user.setattr(path, { uid: 7, gid: 8 });
      await user.setattr(path, { atime: seconds(1_000_000_000, 5), mtime: seconds(1_100_000_000, 123_456_789) });
      for (const again of [false, true]) {
        if (again) letTimePass();
        const attr = await user.stat(path);
        expect(attr.mode & 0o7777).toBe(0o4711);
        expect(attr).toMatchObject({ uid: 7, gid: 8, atime: seconds(1_000_000_000, 5), mtime: seconds(1_100_000_000, 123_456_789) });
      }
    }
    expect(await user.text("f")).toBe("x");
  },
  "chmod keeps the type": async ({ user }) => {
    await user.mkdir("d");
    expect((await user.setattr("d", { mode: 0o100600 })).mode).toBe(S_IFDIR | 0o600);
  },
  "fchmod and futimens of a file being written ride along": async ({ user, fs, letTimePass }) => {
    const file = await user.open("f", O_WRONLY | O_CREAT);
    await file.write(0, "x");
    await fs.setattr(file.node, { mode: 0o600 }, file.handle, user.caller);
    await fs.setattr(file.node, { mtime: seconds(1_100_000_000, 1) }, file.handle, user.caller);
    expect(await file.stat()).toMatchObject({ mode: 0o100600, mtime: seconds(1_100_000_000, 1), size: 1 });
    await file.close();
    letTimePass();
    expect(await user.stat("f")).toMatchObject({ mode: 0o100600, mtime: seconds(1_100_000_000, 1), size: 1 });
  },
  "a write moves mtime and ctime, a close leaves them": async ({ user }) => {
    await user.writeFile("f", "x");
    await user.setattr("f", { mtime: seconds(1_000_000_000), ctime: seconds(1_000_000_000) });
    const file = await user.open("f", O_WRONLY);
    expect((await file.stat()).mtime).toEqual(seconds(1_000_000_000));
    await file.write(0, "y");
    const written = await file.stat();
    expect(written.mtime.sec).toBeGreaterThan(1_000_000_000);
    await file.close();
    const closed = await user.stat("f");
    expect(closed.mtime).toEqual(written.mtime);
    expect(closed.ctime).toEqual(written.ctime);
  },
  "an open for writing that writes nothing leaves the mtime": async ({ user, letTimePass }) => {
    await user.writeFile("f", "x");
    await user.setattr("f", { mtime: seconds(1_000_000_000) });
    const file = await user.open("f", O_RDWR);
    await file.close();
    letTimePass();
    expect((await user.stat("f")).mtime).toEqual(seconds(1_000_000_000));
  },
  "chmod leaves the mtime and moves the ctime": async ({ user }) => {
    await user.writeFile("f", "x");
    await user.setattr("f", { mtime: seconds(1_000_000_000), ctime: seconds(1_000_000_000) });
    const after = await user.setattr("f", { mode: 0o600 });
    expect(after.mtime).toEqual(seconds(1_000_000_000));
    expect(after.ctime.sec).toBeGreaterThan(1_000_000_000);
  },
  "killSuidGid drops the privileges that a write must drop": async ({ user }) => {
    await user.writeFile("f", "x");
    await user.setattr("f", { mode: 0o6775 });
    expect((await user.setattr("f", { size: 0, killSuidGid: true })).mode & 0o7777).toBe(0o775);
    // Without group execute the setgid bit means mandatory locking and stays.
    await user.setattr("f", { mode: 0o6764 });
    expect((await user.setattr("f", { size: 1, killSuidGid: true })).mode & 0o7777).toBe(0o2764);
  },
  "a setgid directory gives its group, and to directories the bit": async ({ user, letTimePass }) => {
    await user.mkdir("d");
    await user.setattr("d", { gid: 4321 });
    await user.setattr("d", { mode: 0o2775 });
    await user.writeFile("d/f", "x");
    await user.mkdir("d/e", 0o755);
    letTimePass();
    expect(await user.stat("d/f")).toMatchObject({ gid: 4321, mode: 0o100644 });
    expect(await user.stat("d/e")).toMatchObject({ gid: 4321, mode: S_IFDIR | 0o2755 });
  },
  "extended attributes can be set, listed, read and removed": async ({ user, fs, letTimePass }) => {
    await user.writeFile("f", "x");
    await user.mkdir("d");
    for (const path of ["f", "d"]) {
      await user.setxattr(path, "user.one", "1");
      await user.setxattr(path, "user.two", Buffer.from([0, 255, 10]));
      letTimePass();
      expect([...(await fs.listxattr(await user.node(path), user.caller))].sort()).toEqual(["user.one", "user.two"]);
      expect(await user.getxattr(path, "user.one")).toBe("1");
      expect(Buffer.from(await fs.getxattr(await user.node(path), "user.two", user.caller))).toEqual(Buffer.from([0, 255, 10]));
      await fs.removexattr(await user.node(path), "user.one", user.caller);
      letTimePass();
      expect(await fs.listxattr(await user.node(path), user.caller)).toEqual(["user.two"]);
      expect(await faultOf(user.getxattr(path, "user.one"))).toBe("no_data");
      expect(await faultOf(fs.removexattr(await user.node(path), "user.one", user.caller))).toBe("no_data");
    }
    expect(await user.text("f")).toBe("x");
  },
  "setxattr obeys XATTR_CREATE and XATTR_REPLACE": async ({ user }) => {
    await user.writeFile("f", "x");
    expect(await faultOf(user.setxattr("f", "user.a", "1", XATTR_REPLACE))).toBe("no_data");
    await user.setxattr("f", "user.a", "1", XATTR_CREATE);
    expect(await faultOf(user.setxattr("f", "user.a", "2", XATTR_CREATE))).toBe("exists");
    await user.setxattr("f", "user.a", "3", XATTR_REPLACE);
    expect(await user.getxattr("f", "user.a")).toBe("3");
  },
  "extended attributes beyond the store's limit are refused and change nothing": async ({ user }) => {
    await user.writeFile("f", "x");
    await user.setxattr("f", "user.small", "1");
    expect(await faultOf(user.setxattr("f", "user.big", Buffer.alloc(4000)))).toBe("no_space");
    expect(await user.getxattr("f", "user.small")).toBe("1");
    expect(await faultOf(user.getxattr("f", "user.big"))).toBe("no_data");
    await user.setattr("f", { mode: 0o600 });
  },
  "extended attributes of a file being written ride along": async ({ user, fs, letTimePass }) => {
    const file = await user.open("f", O_WRONLY | O_CREAT);
    await fs.setxattr(file.node, "user.a", Buffer.from("1"), 0, user.caller);
    await file.write(0, "x");
    await file.close();
    letTimePass();
    expect(await user.getxattr("f", "user.a")).toBe("1");
  },
  "rename carries extended attributes along": async ({ user, letTimePass }) => {
    await user.writeFile("a", "x");
    await user.setxattr("a", "user.a", "1");
    await user.rename("a", "b");
    letTimePass();
    expect(await user.getxattr("b", "user.a")).toBe("1");
  },
  "statfs has room": async ({ fs, user }) => {
    const { bsize, bavail, namelen } = await fs.statfs(await user.node(""));
    expect(bsize * bavail).toBeGreaterThan(2 ** 40);
    expect(namelen).toBe(255);
  },
};

const GROUPS: Record<string, Record<string, Check>> = { content, "open files": openFiles, tree, directories, attributes };
