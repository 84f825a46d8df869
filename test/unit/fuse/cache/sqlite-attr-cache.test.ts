import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Etag } from "#core/brand.ts";
import type { AttrCache, CachedAttr } from "#fuse/cache/attr-cache.ts";
import { createAttrCache } from "#fuse/cache/sqlite-attr-cache.ts";

let dir: string;
let cache: AttrCache;
const reopen = async (options: { maxRows?: number; maxInMemory?: number } = {}) => {
  await cache.close();
  cache = createAttrCache({ path: join(dir, "attr.db"), ...options });
};
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "attr-cache-"));
  cache = createAttrCache({ path: join(dir, "attr.db") });
});
afterEach(async () => {
  await cache.close();
  rmSync(dir, { recursive: true });
});

function attr(lastModified: number, etag = '"e"'): CachedAttr {
  return { etag: etag as Etag, size: 10, lastModified, headers: { contentType: "text/plain" }, metadata: { mode: "33188", ä: "ü" } };
}
const listed = (lastModified: number, etag = '"e"', size = 10) => ({ etag: etag as Etag, lastModified, size });

describe("createAttrCache", () => {
  test("`get` gives what was put, also after a restart", async () => {
    cache.put("a/b", attr(5000));
    expect(cache.get("a/b", listed(5000))).toMatchObject(attr(5000));
    await reopen();
    expect(cache.get("a/b", listed(5000))).toMatchObject(attr(5000));
    expect(cache.get("a/c", listed(5000))).toBeUndefined();
  });

  test("`get` misses when ETag or size are not the listed ones", () => {
    cache.put("a", attr(5000));
    expect(cache.get("a", listed(5000, '"other"'))).toBeUndefined();
    expect(cache.get("a", listed(5000, '"e"', 11))).toBeUndefined();
  });

  test("`get` takes the same second for the same time, and no other second", () => {
    cache.put("a", attr(5000));
    expect(cache.get("a", listed(5999))).toBeDefined();
    expect(cache.get("a", listed(6000))).toBeUndefined();
    expect(cache.get("a", listed(4999))).toBeUndefined();
  });

  test("`get` takes a listed time within a second of our own put's Date, and then only that one", () => {
    cache.put("a", attr(5000), { fromPut: true });
    expect(cache.get("a", listed(6001))).toBeUndefined();
    expect(cache.get("a", listed(3999))).toBeUndefined();
    expect(cache.get("a", listed(6000))).toMatchObject({ lastModified: 6000 });
    expect(cache.get("a", listed(5000))).toBeUndefined();
  });

  test("`fromPut` holds over a restart", async () => {
    cache.put("a", attr(5000), { fromPut: true });
    await reopen();
    expect(cache.get("a", listed(4100))).toBeDefined();
  });

  test("`drop` forgets, before and after the row was written", async () => {
    cache.put("a", attr(1000));
    cache.put("b", attr(1000));
    cache.drop("a");
    await reopen();
    expect(cache.get("a", listed(1000))).toBeUndefined();
    cache.drop("b");
    expect(cache.get("b", listed(1000))).toBeUndefined();
    await reopen();
    expect(cache.get("b", listed(1000))).toBeUndefined();
  });

  test("`put` replaces, also where memory holds almost nothing", async () => {
    await reopen({ maxInMemory: 1 });
    for (let round = 1; round <= 3; round++) for (let i = 0; i < 700; i++) cache.put(`k${i}`, attr(round * 1000));
    for (let i = 0; i < 700; i++) expect(cache.get(`k${i}`, listed(3000))).toBeDefined();
  });

  test("the oldest rows go when there are more than the limit, over restarts too", async () => {
    await reopen({ maxRows: 1000, maxInMemory: 1 });
    for (let i = 0; i < 1500; i++) cache.put(`k${i}`, attr(1000));
    await reopen({ maxRows: 1000, maxInMemory: 1 });
    for (let i = 1500; i < 2500; i++) cache.put(`k${i}`, attr(1000));
    await reopen({ maxRows: 1000, maxInMemory: 1 });
    const here = (i: number) => cache.get(`k${i}`, listed(1000)) !== undefined;
    const kept = Array.from({ length: 2500 }, (_, i) => here(i));
    expect(kept.filter(Boolean).length).toBe(1000);
    expect(kept.slice(1500).every(Boolean)).toBe(true);
  });

  test("rows that are put again and again do not push others out", async () => {
    await reopen({ maxRows: 1000, maxInMemory: 1 });
    cache.put("kept", attr(1000));
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 600; i++) cache.put(`k${i}`, attr(1000));
      await reopen({ maxRows: 1000, maxInMemory: 1 });
    }
    expect(cache.get("kept", listed(1000))).toBeDefined();
  });

  test("a damaged database is begun anew", async () => {
    cache.put("a", attr(1000));
    await cache.close();
    writeFileSync(join(dir, "attr.db"), "this is no database, but it is long enough to look like one".repeat(100));
    for (const suffix of ["-wal", "-shm"]) rmSync(join(dir, `attr.db${suffix}`), { force: true });
    cache = createAttrCache({ path: join(dir, "attr.db") });
    expect(cache.get("a", listed(1000))).toBeUndefined();
    cache.put("a", attr(2000));
    await reopen();
    expect(cache.get("a", listed(2000))).toBeDefined();
  });
});
