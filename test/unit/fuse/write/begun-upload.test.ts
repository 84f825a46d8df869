import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Etag } from "#core/brand.ts";
import { isUnchanged } from "#fuse/write/begun-upload.ts";
import { Fingerprint } from "#fuse/write/fingerprint.ts";

let dir: string;
let fd: number;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "begun-upload-"));
  fd = fs.openSync(join(dir, "file"), "w+");
  fs.writeSync(fd, "0123456789abcdefghij");
});
afterEach(() => {
  fs.closeSync(fd);
  fs.rmSync(dir, { recursive: true });
});

describe("isUnchanged", () => {
  it("compares just the part's bytes, read in pieces, and takes a file that ends early or cannot be read for changed", async () => {
    const bytes = new Fingerprint();
    bytes.add(Buffer.from("456789abcd"));
    const sent = { partNumber: 2, etag: '"e"' as Etag };
    const ahead = { part: { number: 2, start: 4, end: 14 }, sent, fingerprint: bytes.value() };
    const check = () => isUnchanged(fd, ahead, Buffer.alloc(3));
    expect(await check()).toBe(true);
    fs.writeSync(fd, "X", 3);
    fs.writeSync(fd, "X", 14);
    expect(await check()).toBe(true);
    fs.writeSync(fd, "X", 13);
    expect(await check()).toBe(false);
    fs.writeSync(fd, "d", 13);
    expect(await check()).toBe(true);
    fs.ftruncateSync(fd, 13);
    expect(await check()).toBe(false);
    expect(await isUnchanged(-1, ahead, Buffer.alloc(3)).catch(() => "threw")).toBe(false);
  });
});
