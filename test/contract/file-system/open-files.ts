/** Open files whose name is removed, changed or taken. */
import { expect } from "vitest";
import { O_CREAT, O_RDWR, O_WRONLY } from "../../support/kernel-user.ts";
import type { Checks } from "./checks.ts";

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

export const openFiles: Checks = {
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
  "O_TMPFILE: a file without a name that ends with its handle": async ({ user, letTimePass }) => {
    await user.mkdir("d");
    const file = await user.tmpfile("d");
    await file.write(0, "temporary");
    expect(text(await file.readAll())).toBe("temporary");
    expect(await file.stat()).toMatchObject({ nlink: 0, size: 9, mode: 0o100600, uid: user.caller.uid });
    expect(await user.readdir("d")).toEqual([]);
    await file.fsync();
    await file.close();
    letTimePass();
    expect(await user.readdir("d")).toEqual([]);
    await user.rmdir("d");
  },
  "O_TMPFILE, then link: the file appears with all that was written": async ({ user, fs, letTimePass }) => {
    await user.mkdir("d");
    await user.writeFile("d/taken", "x");
    const file = await user.tmpfile("d");
    await file.write(0, "one");
    const { parent } = await user.place("d/f");
    await expect(fs.link(file.node, parent, "taken", user.caller)).rejects.toMatchObject({ fault: "exists" });
    await fs.link(file.node, parent, "f", user.caller);
    expect((await file.stat()).nlink).toBe(1);
    expect(await user.text("d/f")).toBe("one");
    await file.write(3, "two");
    await file.close();
    letTimePass();
    expect((await user.readdir("d")).sort()).toEqual(["f", "taken"]);
    expect(await user.text("d/f")).toBe("onetwo");
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
