// The workloads, on a mounted folder, in a process of their own: node work.ts write|cold|rand FOLDER
//
// One JSON line each: {"row", "seconds"} or {"row", "error"}. All calls are synchronous, one after the other, as cp, tar and a compiler
// make them. The caller mounts anew between the phases, with an empty cache.
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

const MIB = 1 << 20;
const BIG_MIB = Number(process.env["BENCH_BIG_MIB"] ?? 512);
const SMALL_FILES = Number(process.env["BENCH_SMALL_FILES"] ?? 1000);
const RENAMED_FILES = 200;
const FOLDERS = 20;
const RANDOM_READS = 200;
const MISSING_NAMES = 500;

const [phase, root = ""] = process.argv.slice(2);
const big = join(root, "big");
const small = join(root, "small");

function timed(row: string, work: () => void): void {
  const started = performance.now();
  try {
    work();
    console.log(JSON.stringify({ row, seconds: (performance.now() - started) / 1000 }));
  } catch (error) {
    console.log(JSON.stringify({ row, error: error instanceof Error ? error.message : String(error) }));
  }
}

function expectEqual(found: number, expected: number, what: string): void {
  if (found !== expected) throw new Error(`${what}: ${found}, not ${expected}`);
}

/** Empties the kernel's page cache, dentries and inodes. */
function dropCaches(): void {
  writeFileSync("/proc/sys/vm/drop_caches", "3");
}

/** Each MiB ends with its number, so that a read can be checked anywhere. */
function bigWrite(): void {
  const block = randomBytes(MIB);
  const fd = openSync(big, "w");
  for (let index = 0; index < BIG_MIB; index += 1) {
    block.writeBigUInt64BE(BigInt(index), MIB - 8);
    for (let at = 0; at < MIB; ) at += writeSync(fd, block, at);
  }
  fsyncSync(fd);
  closeSync(fd);
}

function bigRead(): void {
  const buffer = Buffer.allocUnsafe(MIB);
  const fd = openSync(big, "r");
  let total = 0;
  for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) total += read;
  closeSync(fd);
  expectEqual(total, BIG_MIB * MIB, "bytes read");
}

function randomReads(): void {
  const fd = openSync(big, "r");
  const buffer = Buffer.alloc(8);
  let seed = 1;
  for (let count = 0; count < RANDOM_READS; count += 1) {
    seed = (seed * 48_271) % 2_147_483_647; // Park and Miller's generator: the same places for everybody
    const index = seed % BIG_MIB;
    readSync(fd, buffer, 0, 8, index * MIB + MIB - 8);
    expectEqual(Number(buffer.readBigUInt64BE()), index, "block number");
  }
  closeSync(fd);
}

function smallWrite(): void {
  for (let index = 0; index < SMALL_FILES; index += 1) {
    const folder = join(small, String(index % FOLDERS));
    if (index < FOLDERS) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `f${index}`), randomBytes(4096));
  }
}

/** The pattern of Maven, npm and git: a temporary file, then a rename. */
function smallWriteAndRename(): void {
  const folder = join(root, "renamed");
  mkdirSync(folder);
  for (let index = 0; index < RENAMED_FILES; index += 1) {
    writeFileSync(join(folder, `f${index}.tmp`), randomBytes(4096));
    renameSync(join(folder, `f${index}.tmp`), join(folder, `f${index}`));
  }
}

function forEachSmall(visit: (path: string) => void): number {
  let count = 0;
  for (const folder of readdirSync(small)) {
    for (const name of readdirSync(join(small, folder))) {
      visit(join(small, folder, name));
      count += 1;
    }
  }
  return count;
}

function smallRead(): void {
  let bytes = 0;
  forEachSmall((path) => {
    bytes += readFileSync(path).length;
  });
  expectEqual(bytes, SMALL_FILES * 4096, "bytes read");
}

function statAll(): void {
  expectEqual(
    forEachSmall((path) => statSync(path)),
    SMALL_FILES,
    "files",
  );
}

function statMissing(): void {
  for (let index = 0; index < MISSING_NAMES; index += 1) {
    if (statSync(join(small, String(index % FOLDERS), `nope${index}`), { throwIfNoEntry: false }))
      throw new Error("a missing file is there");
  }
}

function writePhase(): void {
  timed("write big, fsync", bigWrite);
  timed("write small files", smallWrite);
  timed("write small, rename", smallWriteAndRename);
}

function coldPhase(): void {
  dropCaches();
  timed("stat all, cold", statAll);
  timed("stat missing names", statMissing);
  dropCaches();
  timed("read small files, cold", smallRead);
  timed("read big, cold", bigRead);
  dropCaches();
  timed("read big, cached", bigRead);
  timed("read big, page cache", bigRead);
  timed("read small files, warm", smallRead);
  timed("stat all, warm", statAll);
  timed("rename a directory", () => renameSync(join(small, "0"), join(small, "moved")));
  timed("delete a directory", () => rmSync(join(small, "1"), { recursive: true }));
}

if (phase === "write") writePhase();
if (phase === "cold") coldPhase();
if (phase === "rand") {
  dropCaches();
  timed("random reads, cold", randomReads);
}
