/** Files with several names. */
import { expect } from "vitest";
import { faultOf, O_CREAT, O_RDWR, O_WRONLY } from "../../support/kernel-user.ts";
import type { Checks } from "./checks.ts";

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

export const hardLinks: Checks = {
  "link gives a file a further name: one node, two links": async ({ user, letTimePass }) => {
    await user.mkdir("d");
    await user.writeFile("f", "content");
    await user.link("f", "d/g");
    for (const again of [false, true]) {
      if (again) letTimePass();
      const { ino, nlink } = await user.stat("f");
      expect(nlink).toBe(2);
      expect(await user.stat("d/g")).toMatchObject({ ino, nlink: 2, size: 7 });
      expect(await user.text("d/g")).toBe("content");
      expect([await user.readdir(""), await user.readdir("d")]).toEqual([["d", "f"], ["g"]]);
    }
  },
  "link refuses a directory, and a name that is there": async ({ user }) => {
    await user.mkdir("d");
    await user.writeFile("f", "x");
    await user.writeFile("g", "y");
    expect(await faultOf(user.link("d", "e"))).toBe("not_permitted");
    expect(await faultOf(user.link("f", "g"))).toBe("exists");
    expect(await faultOf(user.link("f", "d"))).toBe("exists");
    expect((await user.stat("f")).nlink).toBe(1);
  },
  "what is written through one name is read through the others": async ({ user, letTimePass }) => {
    await user.writeFile("a", "one");
    await user.link("a", "b");
    await user.link("b", "c");
    for (const [index, name] of ["a", "b", "c"].entries()) {
      await user.writeFile(name, `version ${index}`);
      for (const again of [false, true]) {
        if (again) letTimePass();
        for (const other of ["a", "b", "c"]) expect(await user.text(other)).toBe(`version ${index}`);
        expect((await user.stat(name)).nlink).toBe(3);
      }
    }
  },
  "attributes are those of the file, not of a name": async ({ user, letTimePass }) => {
    await user.writeFile("a", "x");
    await user.link("a", "b");
    await user.setattr("b", { mode: 0o600, uid: 7 });
    await user.setxattr("a", "user.x", "1");
    letTimePass();
    for (const name of ["a", "b"]) {
      expect(await user.stat(name)).toMatchObject({ mode: 0o100600, uid: 7 });
      expect(await user.getxattr(name, "user.x")).toBe("1");
    }
  },
  "unlink takes one name, whichever, and moves the ctime": async ({ user, letTimePass }) => {
    for (const [gone, left] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      await user.writeFile("a", "content");
      await user.link("a", "b");
      await user.setattr("a", { ctime: { sec: 1, nsec: 0 } });
      await user.unlink(gone);
      expect((await user.stat(left)).ctime.sec).toBeGreaterThan(1);
      for (const again of [false, true]) {
        if (again) letTimePass();
        expect(await user.readdir("")).toEqual([left]);
        expect((await user.stat(left)).nlink).toBe(1);
        expect(await user.text(left)).toBe("content");
      }
      await user.writeFile(left, "changed");
      letTimePass();
      expect(await user.text(left)).toBe("changed");
      await user.unlink(left);
    }
  },
  "unlink of the name that an open file was opened by: readers and writers go on": async ({ user, letTimePass }) => {
    const bytes = Buffer.alloc(300_000, "0123456789");
    await user.writeFile("a", bytes);
    await user.link("a", "b");
    letTimePass();
    const reader = await user.open("a");
    await reader.read(0, 100);
    await user.unlink("a");
    letTimePass();
    expect((await reader.readAll()).equals(bytes)).toBe(true);
    await reader.close();
    await user.link("b", "a");
    const writer = await user.open("b", O_RDWR);
    await writer.write(0, "changed");
    await user.unlink("b");
    await writer.write(7, "!");
    await writer.close();
    letTimePass();
    expect(await user.readdir("")).toEqual(["a"]);
    expect(text((await user.readFile("a")).subarray(0, 10))).toBe("changed!89");
  },
  "a file that is being written can be linked": async ({ user, letTimePass }) => {
    const file = await user.open("a", O_WRONLY | O_CREAT);
    await file.write(0, "one");
    await user.link("a", "b");
    await file.write(3, "two");
    await file.close();
    letTimePass();
    for (const name of ["a", "b"]) expect(await user.text(name)).toBe("onetwo");
  },
  "write to a temporary name, link, unlink: as git and mail folders do": async ({ user, letTimePass }) => {
    await user.mkdir("objects");
    for (let i = 0; i < 5; i++) {
      await user.writeFile("objects/tmp", `object ${i}`);
      await user.link("objects/tmp", `objects/${i}`);
      await user.unlink("objects/tmp");
    }
    letTimePass();
    expect(await user.readdir("objects")).toEqual(["0", "1", "2", "3", "4"]);
    for (let i = 0; i < 5; i++)
      expect([await user.text(`objects/${i}`), (await user.stat(`objects/${i}`)).nlink]).toEqual([`object ${i}`, 1]);
  },
  "rename moves one name of several": async ({ user, letTimePass }) => {
    await user.mkdir("d");
    await user.writeFile("a", "content");
    await user.link("a", "b");
    await user.rename("a", "d/a");
    await user.rename("b", "d/b");
    for (const again of [false, true]) {
      if (again) letTimePass();
      expect((await user.readdir("d")).sort()).toEqual(["a", "b"]);
      expect((await user.stat("d/a")).ino).toBe((await user.stat("d/b")).ino);
    }
    await user.writeFile("d/a", "changed");
    letTimePass();
    expect(await user.text("d/b")).toBe("changed");
    expect(await user.readdir("")).toEqual(["d"]);
  },
  "rename of a name onto another one of the same file changes nothing": async ({ user }) => {
    await user.writeFile("a", "content");
    await user.link("a", "b");
    await user.rename("a", "b");
    expect([await user.text("a"), await user.text("b")]).toEqual(["content", "content"]);
  },
  "rename over one name of several leaves the others": async ({ user, letTimePass }) => {
    for (const over of ["a", "b"]) {
      const left = over === "a" ? "b" : "a";
      await user.writeFile("a", "linked");
      await user.link("a", "b");
      await user.writeFile("new", "new");
      await user.rename("new", over);
      for (const again of [false, true]) {
        if (again) letTimePass();
        expect([await user.text(over), await user.text(left)]).toEqual(["new", "linked"]);
        expect([(await user.stat(over)).nlink, (await user.stat(left)).nlink]).toEqual([1, 1]);
      }
      await user.unlink("a");
      await user.unlink("b");
    }
  },
  "rename of a directory takes names in it along": async ({ user, letTimePass }) => {
    await user.mkdir("d");
    await user.writeFile("a", "content");
    await user.link("a", "d/b");
    await user.link("a", "d/c");
    await user.rename("d", "e");
    letTimePass();
    expect([await user.text("e/b"), await user.text("e/c")]).toEqual(["content", "content"]);
    await user.writeFile("e/b", "changed");
    letTimePass();
    for (const name of ["a", "e/b", "e/c"]) expect(await user.text(name)).toBe("changed");
  },
  "symlinks and special files can be linked": async ({ user, fs, letTimePass }) => {
    await user.symlink("l", "target");
    await user.link("l", "m");
    const { parent } = await user.place("p");
    await fs.mknod(parent, "p", 0o010600, 0, user.caller);
    await user.link("p", "q");
    letTimePass();
    expect(await user.readlink("m")).toBe("target");
    expect(await user.stat("q")).toMatchObject({ mode: 0o010600, nlink: 2, ino: (await user.stat("p")).ino });
  },
};
