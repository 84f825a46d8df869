/** Bytes: create, read, write, truncate. */
import { expect } from "vitest";
import { faultOf, O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from "../../support/kernel-user.ts";
import type { Checks } from "./checks.ts";

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

export const content: Checks = {
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
  "fallocate punches holes and zeroes ranges": async ({ user, letTimePass }) => {
    const [KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO_RANGE] = [1, 2, 8, 16];
    for (const size of [10, 300_000]) {
      const bytes = Buffer.alloc(size, "0123456789");
      await user.writeFile("f", bytes);
      letTimePass();
      const file = await user.open("f", O_RDWR);
      await user.fs.fallocate(file.handle, PUNCH_HOLE | KEEP_SIZE, 2, 3, user.caller);
      bytes.fill(0, 2, 5);
      expect((await file.readAll()).equals(bytes)).toBe(true);
      await user.fs.fallocate(file.handle, ZERO_RANGE | KEEP_SIZE, size - 1, 100, user.caller);
      bytes.fill(0, size - 1);
      await user.fs.fallocate(file.handle, ZERO_RANGE, size, 5, user.caller);
      expect(await faultOf(user.fs.fallocate(file.handle, COLLAPSE, 0, 4096, user.caller))).toBe("unsupported");
      await file.close();
      letTimePass();
      expect((await user.readFile("f")).equals(Buffer.concat([bytes, Buffer.alloc(5)]))).toBe(true);
    }
  },
  "beyond 8 PiB nothing is written, truncated or allocated, and nothing else is touched": async ({ user }) => {
    await user.writeFile("f", "abc");
    const file = await user.open("f", O_RDWR);
    const tooFar = 2 ** 60;
    // Not through the stand-in for the kernel, which would write to a passed-through file itself.
    expect(await faultOf(user.fs.write(file.handle, tooFar, Buffer.from("x"), user.caller))).toBe("too_big");
    expect(await faultOf(user.fs.fallocate(file.handle, 0, tooFar, 1, user.caller))).toBe("too_big");
    expect(await faultOf(file.truncate(tooFar))).toBe("too_big");
    expect(text(await file.readAll())).toBe("abc");
    await file.close();
  },
  "fallocate lengthens unless told to keep the size": async ({ user }) => {
    const file = await user.open("f", O_WRONLY | O_CREAT);
    await file.write(0, "abc");
    const { mtime, ctime } = await file.stat();
    await user.fs.fallocate(file.handle, 1, 0, 100, user.caller);
    await user.fs.fallocate(file.handle, 0, 0, 3, user.caller);
    expect(await file.stat()).toMatchObject({ size: 3, mtime, ctime });
    await user.fs.fallocate(file.handle, 0, 0, 10, user.caller);
    expect((await file.stat()).size).toBe(10);
    await file.close();
    expect((await user.readFile("f")).length).toBe(10);
  },
};
