/** Names: directories, rename, symlinks, special files. */
import { expect } from "vitest";
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from "#fuse/vfs/filesystem.ts";
import { faultOf, O_CREAT, O_RDWR, O_WRONLY } from "../../support/kernel-user.ts";
import type { Checks } from "./checks.ts";

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

export const tree: Checks = {
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
  "rename moves the ctime and leaves the mtime, of files and directories": async ({ user, letTimePass }) => {
    const old = { sec: 1_000_000_000, nsec: 7 };
    await user.mkdir("d");
    await user.writeFile("f", "x");
    for (const [from, to] of [
      ["d", "e"],
      ["f", "g"],
    ] as const) {
      await user.setattr(from, { mtime: old, ctime: old });
      await user.rename(from, to);
      for (const again of [false, true]) {
        if (again) letTimePass();
        const { mtime, ctime } = await user.stat(to);
        expect(mtime).toEqual(old);
        expect(ctime.sec).toBeGreaterThan(old.sec);
      }
    }
  },
  "a directory counts its subdirectories as links": async ({ user }) => {
    await user.mkdir("a");
    await user.mkdir("b");
    await user.mkdir("a/d");
    await user.writeFile("a/f", "x");
    expect([(await user.stat("a")).nlink, (await user.stat("b")).nlink]).toEqual([3, 2]);
    await user.rename("a/d", "b/d");
    expect([(await user.stat("a")).nlink, (await user.stat("b")).nlink]).toEqual([2, 3]);
    await user.rmdir("b/d");
    expect((await user.stat("b")).nlink).toBe(2);
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
  "rename with EXCHANGE swaps two files, open ones included": async ({ user, letTimePass }) => {
    await user.mkdir("d");
    await user.writeFile("a", "content of a");
    await user.writeFile("d/b", "b");
    await user.setattr("a", { mode: 0o600 });
    const [before, reader] = [await user.stat("a"), await user.open("a")];
    await user.rename("a", "d/b", RENAME_EXCHANGE);
    expect((await user.stat("d/b")).ino).toBe(before.ino);
    expect(text(await reader.readAll())).toBe("content of a");
    for (const again of [false, true]) {
      if (again) letTimePass();
      expect([await user.text("a"), await user.text("d/b")]).toEqual(["b", "content of a"]);
      expect((await user.stat("d/b")).mode & 0o7777).toBe(0o600);
      expect([(await user.readdir("")).sort(), await user.readdir("d")]).toEqual([["a", "d"], ["b"]]);
    }
    await reader.close();
    expect(await faultOf(user.rename("a", "missing", RENAME_EXCHANGE))).toBe("not_found");
    await user.rename("a", "a", RENAME_EXCHANGE);
    expect(await user.text("a")).toBe("b");
  },
  "rename with EXCHANGE swaps directories, with each other and with a file": async ({ user, letTimePass }) => {
    for (const dir of ["a", "a/deep", "d", "d/b"]) await user.mkdir(dir);
    for (const [path, content] of [
      ["a/deep/one", "1"],
      ["a/both", "of a"],
      ["d/b/two", "2"],
      ["d/b/both", "of b"],
      ["f", "f"],
    ] as const)
      await user.writeFile(path, content);
    await user.setattr("a", { mode: 0o700 });
    const [before, reader] = [await user.stat("a"), await user.open("a/both")];
    await user.rename("a", "d/b", RENAME_EXCHANGE);
    expect((await user.stat("d/b")).ino).toBe(before.ino);
    for (const again of [false, true]) {
      if (again) letTimePass();
      expect([(await user.readdir("")).sort(), await user.readdir("d")]).toEqual([["a", "d", "f"], ["b"]]);
      expect([(await user.readdir("a")).sort(), (await user.readdir("d/b")).sort()]).toEqual([
        ["both", "two"],
        ["both", "deep"],
      ]);
      expect([await user.text("a/two"), await user.text("a/both"), await user.text("d/b/both")]).toEqual(["2", "of b", "of a"]);
      expect([await user.text("d/b/deep/one"), (await user.stat("d/b")).mode & 0o7777]).toEqual(["1", 0o700]);
    }
    expect(text(await reader.readAll())).toBe("of a");
    await reader.close();
    expect(await faultOf(user.rename("d", "d/b", RENAME_EXCHANGE))).toBe("bad_argument");
    expect(await faultOf(user.rename("d/b", "d", RENAME_EXCHANGE))).toBe("bad_argument");
    await user.rename("f", "d/b", RENAME_EXCHANGE);
    for (const again of [false, true]) {
      if (again) letTimePass();
      expect([await user.text("d/b"), await user.text("f/both"), await user.text("f/deep/one")]).toEqual(["f", "of a", "1"]);
      expect([(await user.readdir("")).sort(), await user.readdir("d")]).toEqual([["a", "d", "f"], ["b"]]);
    }
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
  "mknod makes an empty regular file": async ({ user, fs }) => {
    const { parent } = await user.place("x");
    await fs.mknod(parent, "f", 0o100640, 0, user.caller);
    expect(await user.stat("f")).toMatchObject({ mode: 0o100640, size: 0 });
    expect(await faultOf(fs.mknod(parent, "f", 0o100640, 0, user.caller))).toBe("exists");
  },
  "mknod makes fifos, sockets and devices that stay what they are": async ({ user, fs, letTimePass }) => {
    const { parent } = await user.place("x");
    for (const [name, mode, rdev] of [
      ["fifo", 0o010600, 0],
      ["socket", 0o140700, 0],
      ["block", 0o060660, 0x801],
      ["char", 0o020666, 0x4_0000_105],
    ] as const) {
      await fs.mknod(parent, name, mode, rdev, user.caller);
      letTimePass();
      expect(await user.stat(name)).toMatchObject({ mode, rdev, size: 0 });
    }
  },
  "symlinks show their target, also one that leads nowhere": async ({ user, letTimePass }) => {
    for (const target of ["f", "/absolute/path", "../up", "naïve ünïcode %41 100%", "long/".repeat(800)]) {
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
    const longest = `${"é".repeat(127)}x`;
    await user.writeFile(longest, "x");
    letTimePass();
    expect(await user.readdir("")).toEqual([longest]);
    expect(await user.text(longest)).toBe("x");
    expect(await faultOf(user.writeFile(`${longest}y`, "x"))).toBe("name_too_long");
    expect(await faultOf(user.stat(`${longest}y`))).toBe("name_too_long");
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
