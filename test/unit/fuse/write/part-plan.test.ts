import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { partSizeFor, planParts } from "#fuse/write/part-plan.ts";

const MIB = 1 << 20;
const TIB = 1024 ** 4;

describe("partSizeFor", () => {
  it("`partSizeFor` keeps the wanted size as long as 10,000 parts do", () => {
    expect(partSizeFor(16 * MIB, 8 * MIB)).toBe(8 * MIB);
    expect(partSizeFor(80_000 * MIB, 8 * MIB)).toBe(8 * MIB);
    expect(partSizeFor(80_000 * MIB + 1, 8 * MIB)).toBe(9 * MIB);
    expect(partSizeFor(5 * TIB, 8 * MIB)).toBe(525 * MIB);
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
  });
});
