import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Mutex, SharedMutex } from "#core/mutex.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("Mutex", () => {
  it("`run` keeps the order of the calls and never overlaps", async () => {
    const mutex = new Mutex();
    const trace: string[] = [];
    const section = (name: string, turns: number) => async () => {
      trace.push(`${name} in`);
      for (let i = 0; i < turns; i++) await turn();
      trace.push(`${name} out`);
      return name;
    };
    const results = await Promise.all([mutex.run(section("a", 3)), mutex.run(section("b", 0)), mutex.run(section("c", 1))]);
    expect(results).toEqual(["a", "b", "c"]);
    expect(trace).toEqual(["a in", "a out", "b in", "b out", "c in", "c out"]);
  });

  it("`run` gives a section's error to its caller alone and goes on", async () => {
    const mutex = new Mutex();
    const failing = mutex.run(() => Promise.reject(new Error("no")));
    const after = mutex.run(() => "yes");
    await expect(failing).rejects.toThrow("no");
    expect(await after).toBe("yes");
    expect(mutex.busy).toBe(false);
  });

  it("`busy` is true while a section runs or waits", async () => {
    const mutex = new Mutex();
    expect(mutex.busy).toBe(false);
    const first = mutex.run(turn);
    const second = mutex.run(turn);
    expect(mutex.busy).toBe(true);
    await first;
    expect(mutex.busy).toBe(true);
    await second;
    expect(mutex.busy).toBe(false);
  });
});

describe("SharedMutex", () => {
  it("sharers run side by side, an owner alone, and who comes later waits behind a waiting owner", async () => {
    const mutex = new SharedMutex();
    const trace: string[] = [];
    const section = (name: string) => async () => {
      trace.push(`${name}+`);
      await turn();
      trace.push(`${name}-`);
    };
    await Promise.all([
      mutex.shared(section("a")),
      mutex.shared(section("b")),
      mutex.exclusive(section("OWNER")),
      mutex.shared(section("c")),
      mutex.shared(section("d")),
    ]);
    expect(trace).toEqual(["a+", "b+", "a-", "b-", "OWNER+", "OWNER-", "c+", "d+", "c-", "d-"]);
  });

  it("an error of a sharer or an owner leaves the lock free", async () => {
    const mutex = new SharedMutex();
    const fail = () => Promise.reject(new Error("no"));
    await expect(mutex.shared(fail)).rejects.toThrow("no");
    await expect(mutex.exclusive(fail)).rejects.toThrow("no");
    expect(await mutex.exclusive(async () => "free")).toBe("free");
  });

  it("no owner ever meets anybody, and all get their turn", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ exclusive: fc.boolean(), turns: fc.nat(2), fails: fc.boolean() }), { maxLength: 20 }),
        async (jobs) => {
          const mutex = new SharedMutex();
          let sharers = 0;
          let owners = 0;
          let done = 0;
          const all = jobs.map(({ exclusive, turns, fails }) =>
            (exclusive ? mutex.exclusive.bind(mutex) : mutex.shared.bind(mutex))(async () => {
              if (exclusive) owners += 1;
              else sharers += 1;
              for (let i = 0; i <= turns; i++) {
                expect(owners * sharers).toBe(0);
                expect(owners).toBeLessThan(2);
                await turn();
              }
              if (exclusive) owners -= 1;
              else sharers -= 1;
              done += 1;
              if (fails) throw new Error("no");
            }),
          );
          await Promise.allSettled(all);
          expect(done).toBe(jobs.length);
        },
      ),
      { numRuns: 50 },
    );
  });
});
