import { describe, expect, it } from "vitest";
import { InFlightLimit } from "#s3/in-flight.ts";
import { fails } from "../../support/store-assertions.ts";

describe("InFlightLimit", () => {
  it("admits up to the limit at once and the others in order", async () => {
    const limit = new InFlightLimit(2);
    expect(limit.acquire(undefined, 1000)).toBeUndefined();
    expect(limit.acquire(undefined, 1000)).toBeUndefined();
    const order: number[] = [];
    const waiting = [1, 2, 3].map((n) => limit.acquire(undefined, 60_000)?.then(() => order.push(n)));
    expect([limit.running, limit.waiting]).toEqual([2, 3]);
    for (let i = 0; i < 3; i++) limit.release();
    await Promise.all(waiting.map((place) => Promise.resolve(place)));
    expect(order).toEqual([1, 2, 3]);
    expect(limit.running).toBe(2);
    limit.release();
    limit.release();
    expect([limit.running, limit.waiting]).toEqual([0, 0]);
  });

  it("lets a waiter go when its signal aborts or its time is over, without a place", async () => {
    const limit = new InFlightLimit(1);
    void limit.acquire(undefined, 1000);
    const stop = new AbortController();
    const aborted = limit.acquire(stop.signal, 60_000);
    const late = limit.acquire(undefined, 5);
    const before = limit.acquire(AbortSignal.abort(), 60_000);
    stop.abort();
    await Promise.all([
      fails(Promise.resolve(aborted), "interrupted"),
      fails(Promise.resolve(late), "timed_out"),
      fails(Promise.resolve(before), "interrupted"),
    ]);
    expect([limit.running, limit.waiting]).toEqual([1, 0]);
    limit.release();
    expect(limit.acquire(undefined, 0)).toBeUndefined();
  });
});
