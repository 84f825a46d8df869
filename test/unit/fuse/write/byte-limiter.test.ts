import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteLimiter } from "#fuse/write/byte-limiter.ts";

/** Work that ends when told to. */
class Held {
  started = false;
  readonly #gate = Promise.withResolvers<void>();
  readonly work = (): Promise<void> => {
    this.started = true;
    return this.#gate.promise;
  };
  end(): void {
    this.#gate.resolve();
  }
}

const turn = () => new Promise((resume) => setImmediate(resume));

describe("ByteLimiter", () => {
  it("`run` never has more bytes in flight than the limit, and runs everything, for any sizes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 15 }), { minLength: 1 }), async (sizes) => {
        const limiter = new ByteLimiter(10);
        let inFlight = 0;
        let done = 0;
        const work = (size: number) => async () => {
          inFlight += Math.min(size, 10);
          expect(inFlight).toBeLessThanOrEqual(10);
          await turn();
          inFlight -= Math.min(size, 10);
          done += 1;
        };
        await Promise.all(sizes.map((size) => limiter.run(size, work(size))));
        expect(done).toBe(sizes.length);
        expect(limiter.usedBytes).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it("`run` gives up its place when its signal aborts, and lets the next one in", async () => {
    const limiter = new ByteLimiter(10);
    const [first, second, third] = [new Held(), new Held(), new Held()];
    const running = limiter.run(5, first.work);
    const stop = new AbortController();
    const waiting = limiter.run(10, second.work, stop.signal);
    const behind = limiter.run(5, third.work);
    await turn();
    expect([first.started, second.started, third.started]).toEqual([true, false, false]);
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ fault: "interrupted" });
    await turn();
    expect([second.started, third.started]).toEqual([false, true]);
    first.end();
    third.end();
    await Promise.all([running, behind]);
    expect(limiter.usedBytes).toBe(0);
  });

  it("`run` frees its bytes when the work fails", async () => {
    const limiter = new ByteLimiter(10);
    await expect(limiter.run(10, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(limiter.usedBytes).toBe(0);
  });
});
