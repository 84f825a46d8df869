import { describe, expect, test } from "vitest";
import { BufferPool } from "../../../../src/fuse/channel/buffers.ts";

describe("BufferPool", () => {
  test("never gives out a buffer that is in use, however many are", () => {
    const pool = new BufferPool(64, 2);
    const taken = Array.from({ length: 50 }, () => pool.take());
    expect(new Set(taken.map(({ bytes }) => bytes.buffer)).size).toBe(50);
  });

  test("gives the buffer used last again, and keeps no more than it was told to", () => {
    const pool = new BufferPool(64, 2);
    const [a, b, c] = [pool.take(), pool.take(), pool.take()];
    for (const buffer of [a, b, c]) pool.give(buffer);
    const again = [pool.take(), pool.take(), pool.take()];
    expect(again.slice(0, 2)).toEqual([b, a]);
    expect(again[0]).toBe(b);
    expect(again[2]).not.toBe(c);
  });

  test("`bytes` and `view` are over the same memory", () => {
    const { bytes, view } = new BufferPool(64, 1).take();
    view.setUint8(5, 9);
    expect([bytes[5], bytes.length, view.byteLength]).toEqual([9, 64, 64]);
  });
});
