import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import type { ContentId } from "#fuse/cache/content-cache.ts";
import { PartStream } from "#fuse/read/part-stream.ts";
import { BufferPool, LEAST_POOLED_BYTES } from "#s3/buffer-pool.ts";
import { KIB, pattern } from "../../../contract/content-cache.contract.ts";
import { FlakyStore } from "./flaky-store.ts";

const data = pattern(100 * KIB);
const pool = new BufferPool();
let store: FlakyStore;
let id: ContentId;
beforeEach(() => {
  store = new FlakyStore();
  id = { key: "a", etag: store.seed("a", data), size: data.length };
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("PartStream", () => {
  test("`waitFor` gives exactly the bytes asked for, whatever the chunks and however often the body breaks", async () => {
    const range = fc.tuple(fc.nat(data.length - 1), fc.integer({ min: 1, max: data.length }));
    const sizes = fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 4 }).filter((all) => Math.max(...all) > 500);
    await fc.assert(
      fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 8 }), sizes, fc.nat(2), async (ranges, chunkSizes, broken) => {
        store.chunkSizes = chunkSizes;
        let left = broken;
        store.breaks = (start, end) => (left-- > 0 ? { after: Math.floor((end - start) / 2), fault: "unavailable" } : undefined);
        const stream = new PartStream({ store, pool }, id, 0, data.length);
        await Promise.all(
          ranges.map(async ([start, size]) => {
            const end = Math.min(data.length, start + size);
            expect(Buffer.compare(Buffer.concat(await stream.waitFor(start, end)), data.subarray(start, end))).toBe(0);
          }),
        );
        await stream.ended;
        expect(Buffer.compare(Buffer.concat(stream.chunks), data)).toBe(0);
      }),
      { numRuns: 40 },
    );
  });

  test("`waitFor` answers slices of the chunks, not copies", async () => {
    const stream = new PartStream({ store, pool }, id, 0, data.length);
    await stream.ended;
    const [piece] = await stream.waitFor(10, 20);
    expect(piece?.buffer).toBe(stream.chunks[0]?.buffer);
  });

  test("the memory of a large part goes back to the pool when the last holder let go, and not before", async () => {
    const large = pattern(2 * LEAST_POOLED_BYTES);
    const own = new BufferPool();
    const stream = new PartStream(
      { store, pool: own },
      { key: "large", etag: store.seed("large", large), size: large.length },
      0,
      large.length,
    );
    stream.hold();
    await stream.ended;
    stream.letGo();
    await turn();
    expect(own.keptBytes).toBe(0);
    stream.letGo();
    expect(own.keptBytes).toBe(0);
    await turn();
    expect(own.keptBytes).toBe(large.length);
  });

  test("a part that cannot be completed shrinks to what arrived", async () => {
    store.breaks = (start) => ({ after: start === 0 ? 30 * KIB : 0, fault: "unavailable" });
    const stream = new PartStream({ store, pool }, id, 0, data.length);
    await expect(stream.waitFor(50 * KIB, 60 * KIB)).rejects.toMatchObject({ fault: "unavailable" });
    await stream.ended;
    expect([stream.end, stream.receivedBytes]).toEqual([30 * KIB, 30 * KIB]);
    expect(store.requests["GetObject"]).toBe(3);
    expect(Buffer.concat(await stream.waitFor(0, 30 * KIB))).toHaveLength(30 * KIB);
  });

  test("a failure that may not be repeated is not", async () => {
    store.breaks = () => ({ after: 10, fault: "denied" });
    const stream = new PartStream({ store, pool }, id, 0, data.length);
    await stream.ended;
    expect(stream.error?.fault).toBe("denied");
    expect(store.requests["GetObject"]).toBe(1);
  });

  test("a body that is corrupt twice leaves nothing of it", async () => {
    store.breaks = () => ({ after: data.length, fault: "corrupt" });
    const stream = new PartStream({ store, pool }, id, 0, data.length);
    await stream.ended;
    expect(stream.error?.fault).toBe("corrupt");
    expect([stream.receivedBytes, stream.chunks.length]).toEqual([0, 0]);
    expect(store.requests["GetObject"]).toBe(2);
  });

  test("`cancel` ends the transfer and the body, and keeps what came", async () => {
    store.chunkSizes = [10 * KIB];
    const stream = new PartStream({ store, pool }, id, 0, data.length);
    await stream.waitFor(0, 10 * KIB);
    stream.cancel();
    await stream.ended;
    expect(stream.error?.fault).toBe("interrupted");
    expect(stream.receivedBytes).toBeGreaterThanOrEqual(10 * KIB);
    expect(stream.receivedBytes).toBeLessThan(data.length);
    expect(store.cancelled).toBe(1);
  });
});
