import { closeSync, fsyncSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BackingReadAhead, residentBytes } from "#fuse/channel/backing-read-ahead.ts";
import { blockingCall } from "#fuse/channel/libc.ts";

const MIB = 1 << 20;
const FILE_BYTES = 160 * MIB;
const POSIX_FADV_RANDOM = 1;
const POSIX_FADV_DONTNEED = 4;
const fadvise = blockingCall("int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)");

let folder: string;
let fd: number;
let ahead: BackingReadAhead;

/** On the project's own disk: where temporary files are, memory may be all there is. */
beforeEach(async (test) => {
  folder = mkdtempSync(join(import.meta.dirname, ".read-ahead-"));
  fd = openSync(join(folder, "file"), "w+");
  const piece = Buffer.alloc(MIB, 7);
  for (let at = 0; at < FILE_BYTES; at += MIB) writeSync(fd, piece, 0, MIB, at);
  fsyncSync(fd);
  const written = resident();
  await fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  if (written < FILE_BYTES || resident() > 0) {
    console.warn("SKIPPED: the project's folder is on a file system without pages that cachestat(2) sees and posix_fadvise(2) drops");
    test.skip();
  }
  ahead = new BackingReadAhead();
});

afterEach(() => {
  ahead.stop(1);
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

const resident = () => residentBytes(fd, 0, FILE_BYTES);

/** Reads [start, end) in steps, as a program does. */
function readThrough(start: number, end: number): void {
  const bytes = Buffer.alloc(MIB);
  for (let at = start; at < end; at += MIB) readSync(fd, bytes, 0, MIB, at);
}

describe("BackingReadAhead", () => {
  it("has a window in memory ahead of who reads from the start on, and goes on with the reader", async () => {
    ahead.start(1, fd);
    readThrough(0, 8 * MIB);
    await expect.poll(() => residentBytes(fd, 0, 64 * MIB), { timeout: 60_000 }).toBe(64 * MIB);
    expect(resident()).toBeLessThan(100 * MIB);
    readThrough(8 * MIB, 72 * MIB);
    await expect.poll(() => residentBytes(fd, 0, 128 * MIB), { timeout: 60_000 }).toBe(128 * MIB);
  });

  it("reads nothing for who reads here and there", async () => {
    await fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    ahead.start(1, fd);
    const bytes = Buffer.alloc(4096);
    for (let at = 0; at < FILE_BYTES; at += MIB) readSync(fd, bytes, 0, bytes.length, at);
    await sleep(300);
    expect(resident()).toBeLessThan(16 * MIB);
  });

  it("reads nothing when it was stopped, or nobody reads", async () => {
    ahead.start(1, fd);
    ahead.stop(1);
    const before = resident();
    await sleep(100);
    expect(resident()).toBe(before);
    ahead.start(1, fd);
    await sleep(100);
    expect(resident()).toBe(before);
  });
});
