import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ContentCache, ContentId } from "#fuse/cache/content-cache.ts";
import { createDiskContentCache } from "#fuse/cache/disk-cache.ts";
import type { ContentReader, ContentReaders } from "#fuse/read/content-reader.ts";
import { createContentReaders } from "#fuse/read/content-readers.ts";
import { contentOf, eventually, KIB, MIB, pattern } from "../../../contract/content-cache.contract.ts";
import { FlakyStore } from "./flaky-store.ts";

let dir: string;
let store: FlakyStore;
let cache: ContentCache;
let readers: ContentReaders;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "content-readers-"));
  store = new FlakyStore();
  start();
});
afterEach(async () => {
  await readers.close();
  await cache.close();
  await rm(dir, { recursive: true });
});

function start({ limitBytes = 256 * MIB, memoryLimitBytes = 64 * MIB } = {}): void {
  cache = createDiskContentCache({ dir: join(dir, "cache"), limitBytes });
  readers = createContentReaders({ store, cache, memoryLimitBytes });
}

async function restart(options?: { limitBytes?: number; memoryLimitBytes?: number }): Promise<void> {
  await readers.close();
  await cache.close();
  start(options);
}

function put(key: string, data: Uint8Array): ContentId {
  return { key, etag: store.seed(key, data), size: data.length };
}

async function bytes(reader: ContentReader, offset: number, size: number, signal?: AbortSignal): Promise<Buffer> {
  return Buffer.concat(await reader.read(offset, size, signal));
}

/** Reads all of it in steps, one after the other. */
async function readThrough(reader: ContentReader, step: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < reader.id.size; at += step) pieces.push(...(await reader.read(at, step)));
  return Buffer.concat(pieces);
}

describe("read", () => {
  test("`read` gives exactly the right bytes for any reads at once, whatever the chunks", async () => {
    const data = pattern(3 * MIB + 12345);
    const id = put("any", data);
    const reads = fc.array(fc.tuple(fc.nat(data.length + 1000), fc.integer({ min: 1, max: MIB })), { minLength: 1, maxLength: 24 });
    const chunkSizes = fc.array(fc.integer({ min: 1000, max: 200_000 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(reads, chunkSizes, fc.boolean(), async (wanted, sizes, isFresh) => {
        if (isFresh) cache.discard(id);
        store.chunkSizes = sizes;
        const [one, other] = [readers.open(id), readers.open(id)];
        const answers = await Promise.all(wanted.map(([offset, size], i) => bytes(i % 2 ? one : other, offset, size)));
        for (const [i, [offset, size]] of wanted.entries()) {
          expect(Buffer.compare(answers[i] as Buffer, data.subarray(offset, offset + size))).toBe(0);
        }
        one.close();
        other.close();
      }),
      { numRuns: 30 },
    );
  });

  test("`read` is cut at the end of the file and empty beyond it", async () => {
    const reader = readers.open(put("short", pattern(100)));
    expect(await bytes(reader, 90, 50)).toHaveLength(10);
    expect(await reader.read(100, 50)).toEqual([]);
    reader.close();
    const empty = readers.open(put("empty", new Uint8Array(0)));
    expect(await empty.read(0, 10)).toEqual([]);
    empty.close();
  });

  test("`read` answers as soon as its bytes came, before the part is complete", async () => {
    const data = pattern(MIB);
    store.chunkSizes = [64 * KIB];
    store.breaks = () => ({ after: 512 * KIB, fault: "denied" });
    const reader = readers.open(put("early", data));
    expect(Buffer.compare(await bytes(reader, 0, 128 * KIB), data.subarray(0, 128 * KIB))).toBe(0);
    reader.close();
  });

  test("sequential reads fetch every byte once, in few GETs", async () => {
    const data = pattern(40 * MIB);
    const reader = readers.open(put("sequential", data));
    expect(Buffer.compare(await readThrough(reader, 128 * KIB), data)).toBe(0);
    expect(store.deliveredBytes).toBe(data.length);
    expect(store.requests["GetObject"]).toBeLessThan(20);
    reader.close();
  });

  test("sequential reads that arrive out of order fetch every byte once", async () => {
    const data = pattern(24 * MIB);
    const reader = readers.open(put("reordered", data));
    for (let at = 0; at < data.length; at += 4 * MIB) {
      const order = [3, 0, 2, 1].map((i) => at + i * MIB);
      const answers = await Promise.all(order.map((offset) => bytes(reader, offset, MIB)));
      for (const [i, offset] of order.entries()) expect(Buffer.compare(answers[i] as Buffer, data.subarray(offset, offset + MIB))).toBe(0);
    }
    expect(store.deliveredBytes).toBe(data.length);
    reader.close();
  });

  test("random reads fetch little more than they ask for", async () => {
    const reader = readers.open(put("random", pattern(64 * MIB)));
    for (const offset of [50, 3, 41, 22, 60, 11]) await reader.read(offset * MIB + 5000, 4 * KIB);
    expect(store.ranges.map(([start, end]) => end - start)).toEqual(Array(6).fill(128 * KIB));
    reader.close();
  });

  test("a second read and a later run take the bytes from the disk", async () => {
    const data = pattern(12 * MIB);
    const id = put("again", data);
    const first = readers.open(id);
    await readThrough(first, MIB);
    first.close();
    await restart();
    store.resetRequests();
    const second = readers.open(id);
    expect(Buffer.compare(await readThrough(second, MIB), data)).toBe(0);
    expect(store.requests["GetObject"]).toBeUndefined();
    second.close();
  });

  test("what was read of a large file is kept over a restart", async () => {
    const data = pattern(32 * MIB);
    const id = put("partly", data);
    const first = readers.open(id);
    await first.read(20 * MIB, MIB);
    first.close();
    await restart();
    store.resetRequests();
    const second = readers.open(id);
    expect(Buffer.compare(await bytes(second, 20 * MIB, MIB), data.subarray(20 * MIB, 21 * MIB))).toBe(0);
    expect(store.requests["GetObject"]).toBeUndefined();
    second.close();
  });

  test("`read` works when the disk cannot keep anything", async () => {
    await restart({ limitBytes: 1 });
    const data = pattern(10 * MIB);
    const reader = readers.open(put("unkept", data));
    expect(Buffer.compare(await readThrough(reader, MIB), data)).toBe(0);
    expect(store.deliveredBytes).toBe(data.length);
    reader.close();
  });

  test("`read` is interrupted by its signal alone; the fetch goes on for the others", async () => {
    const data = pattern(MIB);
    const id = put("interrupted", data);
    const gate = Promise.withResolvers<void>();
    store.gate = gate.promise;
    const reader = readers.open(id);
    const controller = new AbortController();
    const given = reader.read(0, KIB, controller.signal);
    const kept = bytes(reader, 0, KIB);
    controller.abort();
    await expect(given).rejects.toMatchObject({ fault: "interrupted" });
    gate.resolve();
    expect(Buffer.compare(await kept, data.subarray(0, KIB))).toBe(0);
    expect(store.requests["GetObject"]).toBe(1);
    reader.close();
  });

  test("`read` after `close` throws", async () => {
    const reader = readers.open(put("closed", pattern(10)));
    reader.close();
    await expect(reader.read(0, 10)).rejects.toMatchObject({ fault: "bad_handle" });
  });
});

describe("failures", () => {
  test("a transfer that breaks is taken up where it broke", async () => {
    const data = pattern(MIB);
    let broken = 0;
    store.breaks = (start, end) => (broken++ < 2 ? { after: Math.floor((end - start) / 3), fault: "unavailable" } : undefined);
    const reader = readers.open(put("broken", data));
    expect(Buffer.compare(await bytes(reader, 0, MIB), data)).toBe(0);
    expect(store.deliveredBytes).toBe(MIB);
    expect(store.requests["GetObject"]).toBe(3);
    reader.close();
  });

  test("a body with a wrong checksum is fetched again from its start and never kept", async () => {
    const data = pattern(MIB);
    const id = put("corrupt", data);
    let broken = 0;
    store.breaks = () => (broken++ === 0 ? { after: MIB, fault: "corrupt" } : undefined);
    const reader = readers.open(id);
    const file = await reader.fill();
    expect(Buffer.compare(contentOf(file), data)).toBe(0);
    expect(store.requests["GetObject"]).toBe(2);
    file.close();
    reader.close();
  });

  test("the error reaches the reads that wait for the lost bytes only, and later reads try again", async () => {
    const data = pattern(MIB);
    let isBroken = true;
    store.breaks = (_, end) => (isBroken ? { after: end === MIB ? 256 * KIB : 0, fault: "unavailable" } : undefined);
    const reader = readers.open(put("lost", data));
    // Three transfers of 256 KiB each end at 768 KiB.
    const [early, late] = await Promise.allSettled([bytes(reader, 0, 256 * KIB), bytes(reader, 900 * KIB, KIB)]);
    expect(early.status).toBe("fulfilled");
    expect(late).toMatchObject({ status: "rejected", reason: { fault: "unavailable" } });
    isBroken = false;
    expect(Buffer.compare(await bytes(reader, 0, MIB), data)).toBe(0);
    expect(store.deliveredBytes).toBe(MIB);
    reader.close();
  });

  test("a replaced object gives `stale`, for reads and for `fill`", async () => {
    const id = put("replaced", pattern(MIB, 1));
    put("replaced", pattern(MIB, 2));
    const reader = readers.open(id);
    await expect(reader.read(0, KIB)).rejects.toMatchObject({ fault: "stale" });
    await expect(reader.fill()).rejects.toMatchObject({ fault: "stale" });
    reader.close();
  });

  test("a replaced object gives `stale` on a server that ignores If-Match", async () => {
    const id = put("replaced", pattern(MIB, 1));
    put("replaced", pattern(MIB, 2));
    const get = store.get.bind(store);
    store.get = (key, { ifMatch: _, ...options } = {}) => get(key, options);
    const reader = readers.open(id);
    await expect(reader.read(0, KIB)).rejects.toMatchObject({ fault: "stale" });
    reader.close();
  });
});

describe("memory", () => {
  test("the memory held stays within the limit while several files are read at once", async () => {
    await restart({ memoryLimitBytes: 16 * MIB });
    const files = await Promise.all(
      [1, 2, 3].map(async (seed) => {
        const data = pattern(32 * MIB, seed);
        return { data, reader: readers.open(put(`file-${seed}`, data)) };
      }),
    );
    let highest = 0;
    await Promise.all(
      files.map(async ({ data, reader }) => {
        for (let at = 0; at < data.length; at += 256 * KIB) {
          const piece = await bytes(reader, at, 256 * KIB);
          highest = Math.max(highest, readers.memory().bytes);
          if (Buffer.compare(piece, data.subarray(at, at + 256 * KIB)) !== 0) throw new Error(`wrong bytes at ${at}`);
        }
      }),
    );
    // Over the limit are only reads that somebody waits for: of each of three readers one on its way and one just
    // answered, and the four that are being written.
    expect(highest).toBeLessThanOrEqual(16 * MIB + (3 + 3 + 4) * 256 * KIB);
    expect(highest).toBeGreaterThan(MIB);
    for (const { reader } of files) reader.close();
    await eventually(() => readers.memory().bytes === 0);
  });

  test("a disk that takes nothing for a while does not fill the memory with what was read already", async () => {
    await restart({ memoryLimitBytes: 16 * MIB });
    const disk = Promise.withResolvers<void>();
    const openPartial = cache.openPartial.bind(cache);
    cache.openPartial = (id) => {
      const partial = openPartial(id);
      const write = partial.write.bind(partial);
      partial.write = (offset, data) => disk.promise.then(() => write(offset, data));
      return partial;
    };
    const data = pattern(64 * MIB);
    const reader = readers.open(put("stuck", data));
    let highest = 0;
    for (let at = 0; at < data.length; at += MIB) {
      expect(Buffer.compare(await bytes(reader, at, MIB), data.subarray(at, at + MIB))).toBe(0);
      highest = Math.max(highest, readers.memory().bytes);
    }
    expect(highest).toBeLessThanOrEqual(16 * MIB + (1 + 1 + 4) * MIB);
    disk.resolve();
    reader.close();
    await eventually(() => readers.memory().bytes === 0);
  });

  test("`close` ends the read-ahead, keeps what came, and gives the memory back", async () => {
    const data = pattern(64 * MIB);
    const id = put("left", data);
    const reader = readers.open(id);
    for (let at = 0; at < 8 * MIB; at += MIB) await reader.read(at, MIB);
    reader.close();
    await eventually(() => readers.memory().bytes === 0);
    expect(store.deliveredBytes).toBeLessThan(40 * MIB);
    store.resetRequests();
    const again = readers.open(id);
    expect(Buffer.compare(await bytes(again, 4 * MIB, MIB), data.subarray(4 * MIB, 5 * MIB))).toBe(0);
    expect(store.requests["GetObject"]).toBeUndefined();
    again.close();
  });

  test("bytes read ahead that nobody asks for leave the memory for the disk", async () => {
    const reader = readers.open(put("idle", pattern(8 * MIB)));
    await reader.read(0, 128 * KIB);
    await eventually(() => readers.memory().bytes === 0);
    reader.close();
  });
});

describe("fill", () => {
  test("`fill` of a small file is one GET, also for several at once", async () => {
    const data = pattern(5 * MIB);
    const id = put("small", data);
    const [one, other] = [readers.open(id), readers.open(id)];
    const files = await Promise.all([one.fill(), other.fill(), one.fill()]);
    for (const file of files) {
      expect(Buffer.compare(contentOf(file), data)).toBe(0);
      file.close();
    }
    expect(store.requests).toEqual({ GetObject: 1 });
    one.close();
    other.close();
  });

  test("`fill` of an empty file needs no request", async () => {
    const reader = readers.open(put("empty", new Uint8Array(0)));
    const file = await reader.fill();
    expect(contentOf(file)).toHaveLength(0);
    expect(store.requests["GetObject"]).toBeUndefined();
    file.close();
    reader.close();
  });

  test("`fill` of a large file fetches in parts what reads did not, each byte once", async () => {
    const data = pattern(40 * MIB + 99);
    const reader = readers.open(put("large", data));
    await reader.read(0, 2 * MIB);
    await reader.read(30 * MIB, KIB);
    const reading = bytes(reader, 17 * MIB, MIB);
    const file = await reader.fill();
    expect(Buffer.compare(contentOf(file), data)).toBe(0);
    expect(Buffer.compare(await reading, data.subarray(17 * MIB, 18 * MIB))).toBe(0);
    expect(store.deliveredBytes).toBe(data.length);
    file.close();
    reader.close();
  });

  test("`fill` proceeds when the memory limit is smaller than a part", async () => {
    await restart({ memoryLimitBytes: MIB });
    const data = pattern(20 * MIB);
    const reader = readers.open(put("tight", data));
    const file = await reader.fill();
    expect(Buffer.compare(contentOf(file), data)).toBe(0);
    file.close();
    reader.close();
  });

  test("`fill` throws `no_space` when the cache cannot hold the file", async () => {
    await restart({ limitBytes: 10 * MIB });
    const reader = readers.open(put("huge", pattern(32 * MIB)));
    await expect(reader.fill()).rejects.toMatchObject({ fault: "no_space" });
    reader.close();
  });

  test("`fill` passes the error on when a part fails, and a later one succeeds", async () => {
    const data = pattern(20 * MIB);
    const reader = readers.open(put("failing", data));
    store.breaks = (start) => (start >= 8 * MIB ? { after: 100, fault: "denied" } : undefined);
    await expect(reader.fill()).rejects.toMatchObject({ fault: "denied" });
    store.breaks = () => undefined;
    const file = await reader.fill();
    expect(Buffer.compare(contentOf(file), data)).toBe(0);
    file.close();
    reader.close();
  });
});
