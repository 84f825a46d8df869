import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { partSizeFor, planMixedParts, planParts } from "#fuse/write/part-plan.ts";

const MIB = 1 << 20;
const TIB = 1024 ** 4;

describe("partSizeFor", () => {
  it("`partSizeFor` keeps the wanted size as long as 10,000 parts do", () => {
    expect(partSizeFor(16 * MIB, 8 * MIB)).toBe(8 * MIB);
    expect(partSizeFor(80_000 * MIB, 8 * MIB)).toBe(8 * MIB);
    expect(partSizeFor(80_000 * MIB + 1, 8 * MIB)).toBe(9 * MIB);
    expect(partSizeFor(5 * TIB, 8 * MIB)).toBe(525 * MIB);
    expect(partSizeFor(10_000 * 5 * 1024 * MIB, 8 * MIB)).toBe(5 * 1024 * MIB);
  });

  it("`partSizeFor` never needs more than 10,000 parts nor parts over 5 GiB, for any size that fits at all", () => {
    fc.assert(
      fc.property(fc.nat({ max: 40 * TIB }), (size) => {
        const part = partSizeFor(size, 8 * MIB);
        expect(Math.ceil(size / part)).toBeLessThanOrEqual(10_000);
        expect(part).toBeLessThanOrEqual(5 * 1024 * MIB);
      }),
    );
    expect(() => partSizeFor(49 * TIB, 8 * MIB)).toThrow(expect.objectContaining({ fault: "too_big" }));
  });
});

describe("planParts", () => {
  it("`planParts` covers every byte once, in order, with only the last part smaller", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 100 }), (size, partBytes) => {
        const parts = planParts(size, partBytes);
        expect(parts.map((part) => part.number)).toEqual(parts.map((_, i) => i + 1));
        expect(parts.map((part) => part.start)).toEqual([0, ...parts.slice(0, -1).map((part) => part.end)]);
        expect(parts.slice(0, -1).every((part) => part.end - part.start === partBytes)).toBe(true);
        expect(parts.at(-1)?.end).toBe(size);
      }),
    );
  });

  it("`planParts` keeps the settled parts and cuts what 10,000 of their size cannot hold in larger ones", () => {
    expect(planParts(30, 8, { count: 2, partBytes: 8 }).map(({ start, end }) => end - start)).toEqual([8, 8, 8, 6]);
    expect(planParts(11, 8, { count: 4, partBytes: 8 }).map(({ start, end }) => end - start)).toEqual([8, 3]);
    const huge = planParts(TIB, 8 * MIB, { count: 5000, partBytes: 8 * MIB });
    expect(huge.length).toBeLessThanOrEqual(10_000);
    expect(huge.slice(0, 5000).every(({ start, end }) => end - start === 8 * MIB)).toBe(true);
    expect(new Set(huge.slice(5000, -1).map(({ start, end }) => end - start)).size).toBe(1);
    expect(huge.at(-1)?.end).toBe(TIB);
    const largest = planParts(5 * TIB, 8 * MIB);
    expect([largest.length <= 10_000, largest.at(-1)?.end]).toEqual([true, 5 * TIB]);
  });
});

describe("planMixedParts", () => {
  const GIB = 1024 * MIB;
  const bytes = (parts: readonly { start: number; end: number }[]) => parts.map(({ start, end }) => end - start);

  it("`planMixedParts` covers every byte once, sends every changed one, and nothing that lies a part away from all changes", () => {
    const range = fc.tuple(fc.nat({ max: 400 }), fc.nat({ max: 60 })).map(([start, length]) => [start, start + length] as const);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 20 }), fc.array(range), (size, partBytes, ranges) => {
        const changed = ranges.map(([start, end]) => [Math.min(start, size), Math.min(end, size)] as const);
        const parts = planMixedParts(size, partBytes, changed);
        expect(parts.map(({ number }) => number)).toEqual(parts.map((_, i) => i + 1));
        expect(parts.map(({ start }) => start)).toEqual([0, ...parts.slice(0, -1).map(({ end }) => end)]);
        expect(parts.at(-1)?.end).toBe(size);
        // The store's least size.
        expect(bytes(parts.slice(0, -1)).every((length) => length >= partBytes)).toBe(true);
        for (const { from, start, end } of parts) {
          const touched = changed.some(([a, b]) => a < b && a < end && b > start);
          expect(from).toBe(touched ? "spool" : "base");
        }
      }),
    );
  });

  it("`planMixedParts` of one changed byte sends one part and copies the others, 64 MiB each", () => {
    const parts = planMixedParts(256 * MIB, 8 * MIB, [[100 * MIB, 100 * MIB + 1]]);
    expect(parts.map(({ from, start, end }) => [from, start / MIB, end / MIB])).toEqual([
      ["base", 0, 64],
      ["base", 64, 96],
      ["spool", 96, 104],
      ["base", 104, 168],
      ["base", 168, 232],
      ["base", 232, 256],
    ]);
  });

  it("`planMixedParts` of 5 TiB, the largest object of AWS, sends 8 MiB for one byte: the copied parts grow", () => {
    const parts = planMixedParts(5 * TIB, 8 * MIB, [[3 * TIB + 5, 3 * TIB + 6]]);
    expect(parts.length).toBeLessThanOrEqual(10_000);
    expect(bytes(parts.filter(({ from }) => from === "spool"))).toEqual([8 * MIB]);
    expect(Math.max(...bytes(parts))).toBe(GIB);
  });

  it("`planMixedParts` makes the sent parts larger where very many are changed", () => {
    const parts = planMixedParts(5 * TIB, 8 * MIB, [[0, 5 * TIB]]);
    expect(parts.length).toBeLessThanOrEqual(10_000);
    expect(new Set(bytes(parts))).toEqual(new Set([GIB]));
    const scattered = Array.from({ length: 20_000 }, (_, i) => [i * 256 * MIB, i * 256 * MIB + 1] as const);
    const mixed = planMixedParts(5 * TIB, 8 * MIB, scattered);
    expect(mixed.length).toBeLessThanOrEqual(10_000);
    expect(mixed.at(-1)?.end).toBe(5 * TIB);
  });

  it("`planMixedParts` holds up to 10,000 parts of 5 GiB, 48.8 TiB, and throws `too_big` beyond", () => {
    const most = 10_000 * 5 * GIB;
    expect(planMixedParts(most, 8 * MIB, []).length).toBe(10_000);
    const changed = planMixedParts(most, 8 * MIB, [[7, 8]]);
    expect([changed.length, changed[0]?.from, changed[1]?.from]).toEqual([10_000, "spool", "base"]);
    expect(() => planMixedParts(most + 1, 8 * MIB, [])).toThrow(expect.objectContaining({ fault: "too_big" }));
  });
});
