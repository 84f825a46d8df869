import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ContentCache } from "#fuse/cache/content-cache.ts";
import { createDiskContentCache } from "#fuse/cache/disk-cache.ts";
import { contentName, contentPath, recordPath } from "#fuse/cache/layout.ts";
import { contentOf, eventually, KIB, MIB, pattern, version } from "../../../contract/content-cache.contract.ts";

let dir: string;
let cache: ContentCache;
const open: ContentCache[] = [];

/** A cache on the folder; the one before is left as a killed process leaves it. */
function start(limitBytes = 64 * MIB): ContentCache {
  cache = createDiskContentCache({ dir, limitBytes });
  open.push(cache);
  return cache;
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "disk-cache-"));
  start();
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
  rmSync(dir, { recursive: true });
});

/** Writes a file under the cache folder as an earlier run could have left it. */
function leave(path: string, data: string | Uint8Array): string {
  const full = join(dir, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, data);
  return full;
}

describe("createDiskContentCache", () => {
  test("a partial file whose writer was killed has what its last record says, and the bytes for it", async () => {
    const id = version("killed", 100);
    const partial = cache.openPartial(id);
    await partial.write(0, pattern(40));
    partial.close();
    const again = cache.openPartial(id);
    await again.write(40, pattern(20));
    const successor = start();
    const found = successor.openPartial(id);
    expect(found.missing(0, 100)).toEqual([[40, 100]]);
    expect(Buffer.compare(await found.read(0, 40), pattern(40))).toBe(0);
    found.close();
    again.close();
  });

  test("a partial file without a record, or with a damaged one, counts as empty", async () => {
    const id = version("damaged", 100);
    const path = contentPath("partial", contentName(id));
    leave(path, pattern(100));
    const first = cache.openPartial(id);
    expect(first.missing(0, 100)).toEqual([[0, 100]]);
    await first.write(0, pattern(10));
    first.close();
    writeFileSync(join(dir, recordPath(path)), "{}");
    const second = cache.openPartial(id);
    expect(second.missing(0, 100)).toEqual([[0, 100]]);
    second.close();
  });

  test("a record whose file is gone does not make a new file's holes content", async () => {
    const id = version("orphan", 100);
    const path = contentPath("partial", contentName(id));
    const partial = cache.openPartial(id);
    await partial.write(0, pattern(50));
    partial.close();
    rmSync(join(dir, path));
    expect(existsSync(join(dir, recordPath(path)))).toBe(true);
    const again = cache.openPartial(id);
    expect(again.missing(0, 100)).toEqual([[0, 100]]);
    again.close();
  });

  test("a partial file of another size than the version counts as empty", async () => {
    const id = version("resized", 100);
    const partial = cache.openPartial(id);
    await partial.write(0, pattern(50));
    partial.close();
    truncateSync(join(dir, contentPath("partial", contentName(id))), 99);
    const again = cache.openPartial(id);
    expect(again.missing(0, 100)).toEqual([[0, 100]]);
    again.close();
  });

  test("the scan removes what a crash left, and nothing that is not the cache's", async () => {
    const name = contentName(version("x", 1));
    const bucket = name.slice(0, 2);
    const leftovers = [
      leave(`temp/${name}.oldrun-3`, "half"),
      leave(`partial/${bucket}/${name}`, "no record"),
      leave(`partial/${bucket}/${contentName(version("x", 1)).slice(0, 63)}0.ranges`, "{}"),
      leave(`partial/${bucket}/${name}.ranges.new`, "{}"),
    ];
    const foreign = [
      leave("temp/notes.txt", "mine"),
      leave("whole/readme", "mine"),
      leave(`whole/${bucket}/a`, "mine"),
      leave("other/b", "mine"),
    ];
    start();
    await eventually(() => !leftovers.some(existsSync));
    expect(foreign.every(existsSync)).toBe(true);
  });

  test("the scan counts what is there, and the oldest by last use goes first", async () => {
    for (const key of ["a", "b", "c"]) (await cache.store(version(key, 100 * KIB), pattern(100 * KIB))).close();
    await cache.close();
    const path = (key: string) => join(dir, contentPath("whole", contentName(version(key, 100 * KIB))));
    // The ctime is what counts, and it can only be moved by a change: "a" is touched last, whatever times it claims.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    utimesSync(path("b"), 1, 1);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    utimesSync(path("a"), 1, 1);
    start(250 * KIB);
    await eventually(() => cache.stats().files === 2);
    expect([existsSync(path("a")), existsSync(path("b")), existsSync(path("c"))]).toEqual([true, true, false]);
  });

  test("many files in the folder do not hold up the event loop while they are scanned", async () => {
    for (let i = 0; i < 5000; i++) leave(contentPath("whole", contentName(version(`f${i}`, 1))), "x");
    const fresh = start();
    let turns = 0;
    while (fresh.stats().files < 5000) {
      await new Promise((resolve) => setImmediate(resolve));
      turns++;
    }
    expect(turns).toBeGreaterThan(100);
    expect(fresh.stats().bytes).toBe(5000 * 4096);
  });

  test("files that are used while the scan runs are counted once", async () => {
    for (let i = 0; i < 500; i++) leave(contentPath("whole", contentName(version(`f${i}`, 1))), "x");
    const fresh = start();
    for (let i = 0; i < 500; i += 5) {
      fresh.openWhole(version(`f${i}`, 1))?.close();
      fresh.discard(version(`f${i + 1}`, 1));
      expect(fresh.surrender(version(`f${i + 2}`, 1), join(dir, `given-${i}`))).toBe(true);
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => fresh.stats().files === 300);
    expect(fresh.stats().bytes).toBe(300 * 4096);
  });

  test("`store` leaves no temporary file, and no file at all when the data is refused", async () => {
    (await cache.store(version("a", 3), Buffer.from("abc"))).close();
    await expect(cache.store(version("b", 3), Buffer.from("abcd"))).rejects.toMatchObject({ fault: "corrupt" });
    expect(readdirSync(join(dir, "temp"))).toEqual([]);
  });

  test("files of the cache are readable by their owner only", async () => {
    const file = await cache.store(version("secret", 3), Buffer.from("abc"));
    expect(statSync(file.path).mode & 0o777).toBe(0o600);
    file.close();
  });

  test("`createDiskContentCache` throws a DriverError when the folder cannot be made", () => {
    const path = leave("file", "not a folder");
    expect(() => createDiskContentCache({ dir: path, limitBytes: MIB })).toThrow(/as a cache folder/);
  });

  test("`promote` and `store` of one version leave one whole file with the right bytes", async () => {
    const id = version("both", 100 * KIB);
    const partial = cache.openPartial(id);
    await partial.write(0, pattern(id.size));
    (await cache.store(id, pattern(id.size))).close();
    partial.promote()?.close();
    partial.close();
    const file = cache.openWhole(id);
    expect(file && Buffer.compare(contentOf(file), pattern(id.size))).toBe(0);
    file?.close();
    expect(cache.stats()).toMatchObject({ files: 1, bytes: 100 * KIB });
  });
});
