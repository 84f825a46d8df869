import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { demandRange, MAX_PART_BYTES, MAX_WINDOW_BYTES, ReadWindow, splitIntoParts } from "#fuse/read/window.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const FILE = 1024 * MIB;

describe("ReadWindow", () => {
  test("`observe` begins with a window of 1 MiB at the start of a file", () => {
    expect(new ReadWindow().observe(0, 128 * KIB, FILE)).toEqual({
      sequential: true,
      aheadStart: 128 * KIB,
      aheadEnd: MIB,
      partBytes: MIB,
    });
  });

  test("`observe` enlarges the window with what was read, up to its limit", () => {
    const window = new ReadWindow();
    let largest = 0;
    for (let at = 0; at < 200 * MIB; at += MIB) {
      const { aheadEnd, aheadStart, partBytes } = window.observe(at, at + MIB, FILE);
      expect(aheadEnd - aheadStart).toBeLessThanOrEqual(Math.max(2 * MIB, 4 * (at + MIB)));
      expect(partBytes).toBeLessThanOrEqual(MAX_PART_BYTES);
      largest = Math.max(largest, aheadEnd - aheadStart);
    }
    expect(largest).toBe(MAX_WINDOW_BYTES);
  });

  test("`observe` reaches the full window also when several reads arrive in any order", () => {
    const window = new ReadWindow();
    let plan = window.observe(0, MIB, FILE);
    for (let at = 0; at < 160 * MIB; at += 8 * MIB) {
      for (const i of [5, 2, 7, 0, 1, 6, 3, 4]) {
        plan = window.observe(at + i * MIB, at + (i + 1) * MIB, FILE);
        expect(plan.sequential).toBe(true);
      }
    }
    expect(plan.aheadEnd - plan.aheadStart).toBeGreaterThan(MAX_WINDOW_BYTES - MAX_PART_BYTES);
  });

  test("`observe` reads nothing ahead for reads at random places", () => {
    const window = new ReadWindow();
    for (const at of [500, 20, 900, 333, 700, 111, 20.5 + 400]) {
      const plan = window.observe(at * MIB, at * MIB + 4 * KIB, FILE);
      expect(plan.sequential).toBe(false);
      expect(plan.aheadEnd).toBeLessThanOrEqual(plan.aheadStart);
    }
  });

  test("`observe` follows several streams in one file", () => {
    const window = new ReadWindow();
    const starts = [0, 300 * MIB, 600 * MIB];
    let plans = starts.map((at) => window.observe(at, at + MIB, FILE));
    for (let i = 1; i < 40; i++) plans = starts.map((at) => window.observe(at + i * MIB, at + (i + 1) * MIB, FILE));
    expect(plans.every(({ sequential, aheadStart, aheadEnd }) => sequential && aheadEnd - aheadStart > 16 * MIB)).toBe(true);
  });

  test("`observe` keeps the read-ahead inside the file and the window it is given", () => {
    const reads = fc.array(fc.tuple(fc.nat(100 * MIB), fc.integer({ min: 1, max: 2 * MIB })), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(reads, fc.integer({ min: 102 * MIB, max: 110 * MIB }), fc.integer({ min: 0, max: 64 }), (all, fileBytes, maxMib) => {
        const window = new ReadWindow();
        for (const [at, size] of all) {
          const { aheadStart, aheadEnd, partBytes } = window.observe(at, at + size, fileBytes, maxMib * MIB);
          expect(aheadStart).toBeLessThanOrEqual(aheadEnd);
          expect(aheadEnd).toBeLessThanOrEqual(fileBytes);
          expect(aheadEnd - aheadStart).toBeLessThanOrEqual(maxMib * MIB);
          if (aheadEnd !== fileBytes && aheadEnd !== aheadStart) expect(aheadEnd % partBytes).toBe(0);
        }
      }),
    );
  });
});

describe("demandRange", () => {
  test("`demandRange` always makes progress within the gap and never exceeds a part", () => {
    const plan = fc.record({
      sequential: fc.boolean(),
      aheadStart: fc.constant(0),
      aheadEnd: fc.constant(0),
      partBytes: fc.constantFrom(MIB, 2 * MIB, 8 * MIB),
    });
    const gap = fc.tuple(fc.nat(20 * MIB), fc.integer({ min: 1, max: 20 * MIB }), fc.nat(MIB), fc.integer({ min: 1, max: 20 * MIB }));
    fc.assert(
      fc.property(gap, plan, fc.boolean(), ([lowest, length, into, size], readPlan, exact) => {
        const highest = lowest + length;
        const start = Math.min(highest - 1, lowest + into);
        const range = demandRange(start, start + size, readPlan, { lowest, highest, exact });
        expect(range.start).toBeGreaterThanOrEqual(lowest);
        expect(range.start).toBeLessThanOrEqual(start);
        expect(range.end).toBeGreaterThan(start);
        expect(range.end).toBeLessThanOrEqual(highest);
        expect(range.end - range.start).toBeLessThanOrEqual(MAX_PART_BYTES);
        if (exact) expect(range.end).toBeLessThanOrEqual(start + size);
      }),
    );
  });
});

describe("splitIntoParts", () => {
  test("`splitIntoParts` covers the range once, cut at the multiples", () => {
    expect(splitIntoParts(5, 25, 10)).toEqual([
      { start: 5, end: 10 },
      { start: 10, end: 20 },
      { start: 20, end: 25 },
    ]);
    expect(splitIntoParts(10, 20, 10)).toEqual([{ start: 10, end: 20 }]);
    expect(splitIntoParts(7, 7, 10)).toEqual([]);
  });
});
