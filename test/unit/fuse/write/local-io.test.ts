import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DriverError } from "#core/errors.ts";
import { AT_ONCE_BYTES, copyContent, readLocal, syncFolder, writeAtOnce, writeLarge } from "#fuse/write/local-io.ts";

let dir: string;
let fd: number;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "local-io-"));
  fd = fs.openSync(join(dir, "file"), "w+");
});
afterEach(() => {
  fs.closeSync(fd);
  fs.rmSync(dir, { recursive: true });
});

describe("local-io", () => {
  it("`readLocal` reads what `writeAtOnce` and `writeLarge` wrote, at once and in the pool, up to the end of the file", async () => {
    const data = Buffer.from(Array.from({ length: AT_ONCE_BYTES + 1000 }, (_, i) => i % 251));
    expect(writeAtOnce(fd, 5, data.subarray(0, 100))).toBe(100);
    expect(await writeLarge(fd, 105, data.subarray(100))).toBe(data.length - 100);
    expect(Buffer.from(await readLocal(fd, 5, 1 << 20)).equals(data)).toBe(true);
    expect(Buffer.from(await readLocal(fd, 5, 25)).equals(data.subarray(0, 20))).toBe(true);
    expect((await readLocal(fd, 1 << 20, 2 << 20)).byteLength).toBe(0);
  });

  it("`writeAtOnce`, `writeLarge` and `readLocal` throw faults", async () => {
    const full = fs.openSync("/dev/full", "r+");
    expect(() => writeAtOnce(full, 0, Buffer.from("x"))).toThrow(expect.objectContaining({ fault: "no_space" }));
    await expect(writeLarge(full, 0, Buffer.from("x"))).rejects.toMatchObject({ fault: "no_space" });
    fs.closeSync(full);
    const folder = fs.openSync(dir, "r");
    await expect(readLocal(folder, 0, 10)).rejects.toMatchObject({ fault: "internal" });
    fs.closeSync(folder);
  });

  it("`copyContent` makes one file's content another's, of the same inode, and removes nothing when it fails", async () => {
    const to = fs.openSync(join(dir, "to"), "w+");
    const { ino } = fs.fstatSync(to);
    fs.writeSync(fd, "content");
    fs.writeSync(to, "something longer");
    await copyContent(fd, to);
    expect(fs.readFileSync(join(dir, "to"), "utf8")).toBe("content");
    expect(fs.statSync(join(dir, "to")).ino).toBe(ino);
    const full = fs.openSync("/dev/full", "r+");
    await expect(copyContent(fd, full)).rejects.toBeInstanceOf(DriverError);
    expect(fs.existsSync("/dev/full")).toBe(true);
    for (const one of [to, full]) fs.closeSync(one);
  });

  it("`syncFolder` resolves for a folder and rejects for none", async () => {
    await syncFolder(dir);
    await expect(syncFolder(join(dir, "none"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});
