/**
 * What every `ContentCache` must do. `open` opens the cache on the same storage each time, as a successor process would;
 * `limitBytes` of the cache is what the suite asks for.
 */
import { existsSync, fstatSync, readFileSync, readSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Etag } from "#core/brand.ts";
import type { ContentCache, ContentId, WholeFile } from "#fuse/cache/content-cache.ts";

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** A version of `size` bytes. */
export function version(key: string, size: number, etag = `"${key}-1"`): ContentId {
  return { key, etag: etag as Etag, size };
}

/** Bytes that differ from place to place and from seed to seed. */
export function pattern(size: number, seed = 1): Uint8Array {
  const data = new Uint8Array(size);
  for (let at = 0, state = seed * 2654435761; at < size; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[at] = state >>> 24;
  }
  return data;
}

/** All bytes of an open cached file. */
export function contentOf(file: WholeFile): Uint8Array {
  const data = new Uint8Array(file.id.size);
  const count = readSync(file.fd, data, 0, data.length, 0);
  return data.subarray(0, count);
}

/** Repeats a check until it holds: eviction runs behind. The test's own time limit ends it. */
export async function eventually(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setTimeout(resolve, 5));
}

export function contentCacheContract(name: string, open: (dir: string, limitBytes: number) => ContentCache): void {
  describe(`ContentCache: ${name}`, () => {
    let dir: string;
    let cache: ContentCache;
    const reopen = async (limitBytes = 64 * MIB) => {
      await cache.close();
      cache = open(join(dir, "cache"), limitBytes);
    };
    const keep = async (id: ContentId, data: Uint8Array) => (await cache.store(id, data)).close();

    beforeEach(async () => {
      dir = await mkdtemp(join(tmpdir(), "content-cache-"));
      cache = open(join(dir, "cache"), 64 * MIB);
    });
    afterEach(async () => {
      await cache.close();
      await rm(dir, { recursive: true });
    });

    describe("whole files", () => {
      test("`openWhole` misses when the version was never stored, and hits after `store`", async () => {
        const id = version("a", 5);
        expect(cache.openWhole(id)).toBeUndefined();
        const stored = await cache.store(id, [Buffer.from("he"), Buffer.from("llo")]);
        expect(Buffer.from(contentOf(stored)).toString()).toBe("hello");
        stored.close();
        const file = cache.openWhole(id);
        expect(file && Buffer.from(contentOf(file)).toString()).toBe("hello");
        file?.close();
        expect(cache.stats()).toMatchObject({ hits: 1, misses: 1, files: 1 });
      });

      test("`openWhole` keeps versions apart that differ in key, ETag or size only", async () => {
        await keep(version("a", 3), Buffer.from("one"));
        expect(cache.openWhole(version("b", 3))).toBeUndefined();
        expect(cache.openWhole(version("a", 3, '"other"'))).toBeUndefined();
        expect(cache.openWhole(version("a", 4))).toBeUndefined();
      });

      test("`store` works for an empty version", async () => {
        const id = version("empty", 0);
        await keep(id, new Uint8Array(0));
        await reopen();
        const file = cache.openWhole(id);
        expect(file && fstatSync(file.fd).size).toBe(0);
        file?.close();
      });

      test("`store` refuses data that has another size than the version", async () => {
        await expect(cache.store(version("a", 5), Buffer.from("four"))).rejects.toMatchObject({ fault: "corrupt" });
        expect(cache.openWhole(version("a", 5))).toBeUndefined();
      });

      test("`store` twice at the same time leaves one right file", async () => {
        const id = version("twice", 300 * KIB);
        const data = pattern(id.size);
        const files = await Promise.all([cache.store(id, data), cache.store(id, data)]);
        for (const file of files) {
          expect(Buffer.compare(contentOf(file), data)).toBe(0);
          file.close();
        }
        expect(cache.stats().files).toBe(1);
      });

      test("`openWhole` finds what an earlier run stored", async () => {
        const id = version("kept", 100 * KIB);
        const data = pattern(id.size);
        await keep(id, data);
        await reopen();
        const file = cache.openWhole(id);
        expect(file && Buffer.compare(contentOf(file), data)).toBe(0);
        file?.close();
        await eventually(() => cache.stats().bytes >= id.size);
      });

      test("`openWhole` drops a file whose size is not the version's", async () => {
        const id = version("cut", 10);
        const file = await cache.store(id, pattern(10));
        file.close();
        writeFileSync(file.path, "short");
        expect(cache.openWhole(id)).toBeUndefined();
        expect(existsSync(file.path)).toBe(false);
      });

      test("`discard` removes at once when nobody has it open, else at the last close", async () => {
        const id = version("old", 10);
        const first = await cache.store(id, pattern(10));
        const second = cache.openWhole(id);
        cache.discard(id);
        first.close();
        expect(existsSync(first.path)).toBe(true);
        second?.close();
        expect(existsSync(first.path)).toBe(false);
        await keep(id, pattern(10));
        cache.discard(id);
        expect(cache.openWhole(id)).toBeUndefined();
        expect(cache.stats()).toMatchObject({ bytes: 0, files: 0 });
      });
    });

    describe("surrender and adopt", () => {
      test("`surrender` moves the file away with its inode; open descriptors go on meaning it", async () => {
        const id = version("given", 8);
        const file = await cache.store(id, pattern(8));
        const inode = fstatSync(file.fd).ino;
        const target = join(dir, "spooled");
        expect(cache.surrender(id, target)).toBe(true);
        expect(fstatSync(file.fd).ino).toBe(inode);
        expect(Buffer.compare(readFileSync(target), pattern(8))).toBe(0);
        expect(cache.openWhole(id)).toBeUndefined();
        expect(cache.stats()).toMatchObject({ bytes: 0, files: 0 });
        const { ctimeMs, mtimeMs } = statSync(target);
        file.close();
        expect(statSync(target)).toMatchObject({ ctimeMs, mtimeMs });
      });

      test("`surrender` answers false when the version is not here whole", () => {
        const id = version("partly", 8);
        const partial = cache.openPartial(id);
        expect(cache.surrender(id, join(dir, "target"))).toBe(false);
        expect(existsSync(join(dir, "target"))).toBe(false);
        partial.close();
      });

      test("`adopt` makes a file from elsewhere the version's, with its inode", () => {
        const path = join(dir, "uploaded");
        writeFileSync(path, "content");
        const id = version("adopted", 7);
        cache.adopt(id, path);
        expect(existsSync(path)).toBe(false);
        const file = cache.openWhole(id);
        expect(file && Buffer.from(contentOf(file)).toString()).toBe("content");
        file?.close();
        expect(cache.stats().files).toBe(1);
      });

      test("`adopt` refuses a file of another size and leaves it", () => {
        const path = join(dir, "changed");
        writeFileSync(path, "longer content");
        expect(() => cache.adopt(version("adopted", 7), path)).toThrow(/cannot be adopted,/);
        expect(existsSync(path)).toBe(true);
      });
    });

    describe("surrenderPartial and adoptPartial", () => {
      test("`surrenderPartial` moves a partial file away and tells its ranges; `adoptPartial` makes it another version's", async () => {
        const id = version("sparse", 1000);
        const partial = cache.openPartial(id);
        await partial.write(100, pattern(50));
        const path = join(dir, "spooled");
        expect(cache.surrenderPartial(id, path)).toBeUndefined();
        partial.close();
        expect(cache.surrenderPartial(id, path)).toEqual([[100, 150]]);
        expect(cache.stats()).toMatchObject({ bytes: 0, files: 0 });
        const empty = cache.openPartial(id);
        expect(empty.missing(0, 1000)).toEqual([[0, 1000]]);
        empty.close();
        const next = version("sparse", 1000, '"next"');
        expect(cache.adoptPartial(next, path, [[100, 150]])).toBe(true);
        expect(existsSync(path)).toBe(false);
        await reopen();
        const again = cache.openPartial(next);
        expect(again.missing(0, 1000)).toEqual([
          [0, 100],
          [150, 1000],
        ]);
        expect(Buffer.compare(await again.read(100, 150), pattern(50))).toBe(0);
        again.close();
        expect(cache.stats().files).toBe(1);
      });

      test("`surrenderPartial` answers undefined when nothing of the version is here", () => {
        expect(cache.surrenderPartial(version("none", 10), join(dir, "target"))).toBeUndefined();
        expect(existsSync(join(dir, "target"))).toBe(false);
      });

      test("`adoptPartial` leaves the file when something of the version is here, and refuses one of another size", async () => {
        const path = join(dir, "uploaded");
        writeFileSync(path, "0123456789");
        const [partly, whole] = [version("partly", 10), version("whole", 10)];
        const partial = cache.openPartial(partly);
        expect(cache.adoptPartial(partly, path, [[0, 5]])).toBe(false);
        partial.close();
        await keep(whole, pattern(10));
        expect(cache.adoptPartial(whole, path, [[0, 5]])).toBe(false);
        expect(() => cache.adoptPartial(version("other", 11), path, [])).toThrow(expect.objectContaining({ fault: "corrupt" }));
        expect(existsSync(path)).toBe(true);
      });
    });

    describe("partial files", () => {
      test("`write` makes ranges present; `read` gives exactly them; `missing` names the rest", async () => {
        const id = version("sparse", 1000);
        const partial = cache.openPartial(id);
        expect(await partial.write(100, [pattern(50, 1), pattern(50, 2)])).toBe(true);
        expect(partial.has(100, 200)).toBe(true);
        expect(partial.has(99, 200)).toBe(false);
        expect(partial.missing(0, 1000)).toEqual([
          [0, 100],
          [200, 1000],
        ]);
        expect(Buffer.compare(await partial.read(150, 200), pattern(50, 2))).toBe(0);
        await expect(partial.read(150, 201)).rejects.toMatchObject({ fault: "internal" });
        expect(partial.promote()).toBeUndefined();
        partial.close();
      });

      test("`openPartial` gives users of one version the same ranges", async () => {
        const id = version("shared", 1000);
        const [one, other] = [cache.openPartial(id), cache.openPartial(id)];
        await one.write(0, pattern(10));
        one.close();
        expect(other.has(0, 10)).toBe(true);
        other.close();
      });

      test("`openPartial` finds the ranges that an earlier run wrote", async () => {
        const id = version("resumed", 1000);
        const partial = cache.openPartial(id);
        await partial.write(10, pattern(20));
        partial.close();
        await reopen();
        const again = cache.openPartial(id);
        expect(again.missing(0, 1000)).toEqual([
          [0, 10],
          [30, 1000],
        ]);
        expect(Buffer.compare(await again.read(10, 30), pattern(20))).toBe(0);
        again.close();
      });

      test("`promote` turns a complete file into a whole one, for later openings too", async () => {
        const id = version("grown", 1000);
        const partial = cache.openPartial(id);
        await partial.write(500, pattern(1000).subarray(500));
        expect(partial.complete).toBe(false);
        await partial.write(0, pattern(1000).subarray(0, 500));
        expect(partial.complete).toBe(true);
        const file = partial.promote();
        expect(file && Buffer.compare(contentOf(file), pattern(1000))).toBe(0);
        expect(Buffer.compare(await partial.read(0, 1000), pattern(1000))).toBe(0);
        partial.close();
        file?.close();
        await reopen();
        const found = cache.openWhole(id);
        expect(found).toBeDefined();
        found?.close();
        await eventually(() => cache.stats().files === 1);
      });

      test("`close` of a complete file keeps it as a whole one", async () => {
        const id = version("completed", 10);
        const partial = cache.openPartial(id);
        await partial.write(0, pattern(10));
        partial.close();
        const file = cache.openWhole(id);
        expect(file && Buffer.compare(contentOf(file), pattern(10))).toBe(0);
        file?.close();
      });

      test("`close` while a write is under way keeps what was written", async () => {
        const id = version("busy", 200 * KIB);
        const partial = cache.openPartial(id);
        const writing = partial.write(0, pattern(100 * KIB));
        partial.close();
        await writing;
        const again = cache.openPartial(id);
        expect(again.has(0, 100 * KIB)).toBe(true);
        again.close();
      });

      test("`close` of a file that got nothing leaves nothing", () => {
        cache.openPartial(version("unused", 10)).close();
        expect(cache.stats()).toMatchObject({ bytes: 0, files: 0 });
      });

      test("`write` outside the version throws", async () => {
        const partial = cache.openPartial(version("bounds", 10));
        await expect(partial.write(5, pattern(6))).rejects.toThrow(RangeError);
        partial.close();
      });
    });

    describe("limit", () => {
      test("the cache evicts the least recently used files when it is over its limit", async () => {
        await reopen(10 * 64 * KIB);
        const ids = Array.from({ length: 10 }, (_, i) => version(`f${i}`, 64 * KIB));
        for (const id of ids) await keep(id, pattern(id.size));
        cache.openWhole(version("f0", 64 * KIB))?.close();
        await keep(version("new", 64 * KIB), pattern(64 * KIB));
        await eventually(() => cache.stats().bytes <= 10 * 64 * KIB);
        expect(cache.stats().evictions).toBeGreaterThan(0);
        const here = (key: string) => {
          const file = cache.openWhole(version(key, 64 * KIB));
          file?.close();
          return file !== undefined;
        };
        expect([here("f0"), here("new"), here("f9"), here("f1")]).toEqual([true, true, true, false]);
      });

      test("the cache never evicts a file that is open", async () => {
        await reopen(4 * 64 * KIB);
        const open = await cache.store(version("open", 64 * KIB), pattern(64 * KIB, 7));
        for (let i = 0; i < 20; i++) await keep(version(`f${i}`, 64 * KIB), pattern(64 * KIB));
        await eventually(() => cache.stats().bytes <= 4 * 64 * KIB);
        const again = cache.openWhole(version("open", 64 * KIB));
        expect(again && Buffer.compare(contentOf(again), pattern(64 * KIB, 7))).toBe(0);
        again?.close();
        open.close();
      });

      test("the cache evicts what earlier runs left when its limit became smaller", async () => {
        for (let i = 0; i < 20; i++) await keep(version(`f${i}`, 64 * KIB), pattern(64 * KIB));
        await reopen(5 * 64 * KIB);
        await eventually(() => cache.stats().files > 0 && cache.stats().bytes <= 5 * 64 * KIB);
        const newest = cache.openWhole(version("f19", 64 * KIB));
        newest?.close();
        expect(cache.openWhole(version("f0", 64 * KIB))).toBeUndefined();
      });

      test("`write` keeps nothing and says so when the cache is full of open files", async () => {
        await reopen(256 * KIB);
        const open = await cache.store(version("open", 200 * KIB), pattern(200 * KIB));
        const partial = cache.openPartial(version("large", MIB));
        expect(await partial.write(0, pattern(128 * KIB))).toBe(false);
        expect(partial.has(0, 1)).toBe(false);
        open.close();
        expect(await partial.write(0, pattern(128 * KIB))).toBe(true);
        expect(cache.stats().bytes).toBeLessThanOrEqual(256 * KIB);
        partial.close();
      });
    });
  });
}
