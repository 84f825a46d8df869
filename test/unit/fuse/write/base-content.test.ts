import { beforeEach, describe, expect, it } from "vitest";
import type { Etag } from "#core/brand.ts";
import { BaseContent } from "#fuse/write/base-content.ts";
import { Extents } from "#fuse/write/extents.ts";
import { MemoryContentReader } from "../../../support/memory-content-reader.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { StoreContentReader } from "../../../support/store-content-reader.ts";

let store: MemoryObjectStore;
beforeEach(() => {
  store = new MemoryObjectStore();
  store.seed("a", "0123456789");
});

async function overlay(): Promise<{ base: BaseContent; reader: StoreContentReader }> {
  const reader = await StoreContentReader.of(store, "a");
  return { base: new BaseContent(reader.id, new Extents(10), reader), reader };
}

const textOf = async (pieces: Promise<readonly Uint8Array[]>) => Buffer.concat(await pieces).toString();

describe("BaseContent", () => {
  it("`read` gives exactly the bytes asked for, in memory of their own, whatever pieces the reader answers", async () => {
    const content = Buffer.from("0123456789");
    const base = new BaseContent({ key: "a", etag: '"a"' as Etag, size: 10 }, new Extents(10), new MemoryContentReader(content, 3));
    const pieces = await base.read(1, 9);
    content.fill("x");
    expect(Buffer.concat(pieces).toString()).toBe("12345678");
    await expect(base.read(5, 20)).rejects.toMatchObject({ fault: "corrupt" });
  });

  it("`stored` and `follow` let reads go on in the new version, and close the reader of the old one", async () => {
    const { base, reader } = await overlay();
    base.written(0, 2);
    base.begin();
    base.written(4, 5);
    const etag = store.seed("a", "XX23456789more");
    await expect(base.read(5, 8)).rejects.toMatchObject({ fault: "stale" });
    base.stored({ key: "a", etag, size: 14 });
    expect(reader.closed).toBe(true);
    expect(await textOf(base.read(5, 8))).toBe("567");
    expect(base.changes(14)).toEqual([[4, 5]]);
    expect(base.ranges()).toEqual([
      [0, 2],
      [4, 5],
      [10, 14],
    ]);
    const moved = store.seed("b", "XX23456789more");
    await store.delete("a");
    base.follow({ key: "b", etag: moved, size: 14 });
    expect([await textOf(base.read(5, 8)), base.id.key, base.changes(14)]).toEqual(["567", "b", [[4, 5]]]);
  });

  it("`read` that a new version overtakes is made again there", async () => {
    const slow = new MemoryContentReader(Buffer.from("0123456789"));
    const base = new BaseContent(slow.id, new Extents(10), slow);
    slow.gate = async () => {
      slow.gate = undefined;
      base.follow({ ...slow.id, etag: '"next"' as Etag });
      throw new Error("cancelled, since the reader was closed");
    };
    expect(await textOf(base.read(2, 6))).toBe("2345");
  });

  it("closes its reader as soon as nothing is missing, and knows when nothing of it is left", async () => {
    const { base, reader } = await overlay();
    base.filled(0, 5);
    expect([reader.closed, base.whole]).toEqual([false, false]);
    base.written(5, 10);
    expect([reader.closed, base.whole, base.isReplaced]).toEqual([true, true, false]);
    base.truncated(0);
    expect(base.isReplaced).toBe(true);
    await expect(base.read(0, 1)).rejects.toMatchObject({ fault: "internal" });
  });
});
