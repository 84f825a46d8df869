import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { BufferPool } from "#s3/buffer-pool.ts";

const MIB = 1 << 20;

describe("BufferPool", () => {
  it("`take` gives the memory of a buffer that was given back, cut to what is asked for", () => {
    const pool = new BufferPool();
    const first = pool.take(3 * MIB);
    expect(first.byteLength).toBe(3 * MIB);
    pool.give(first);
    const [second, third] = [pool.take(4 * MIB), pool.take(4 * MIB)];
    expect(second.buffer).toBe(first.buffer);
    expect(second.byteLength).toBe(4 * MIB);
    expect(third.buffer).not.toBe(first.buffer);
    expect(pool.take(100).byteLength).toBe(100);
  });

  it("`give` keeps no more than its limit, and nothing small", () => {
    const pool = new BufferPool({ keptBytes: 4 * MIB });
    for (const buffer of [pool.take(2 * MIB), pool.take(2 * MIB), pool.take(2 * MIB), pool.take(1000)]) pool.give(buffer);
    expect(pool.keptBytes).toBe(4 * MIB);
  });

  it("frees what it keeps when nothing was asked for in a while", async () => {
    const pool = new BufferPool({ idleMs: 20 });
    const buffer = pool.take(2 * MIB);
    pool.give(buffer);
    await vi.waitFor(() => expect(pool.keptBytes).toBe(0), 30_000);
    expect(buffer.buffer.byteLength).toBe(0);
    await sleep(30);
    expect(pool.take(2 * MIB).byteLength).toBe(2 * MIB);
  });
});
