import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { partSizeFor, partsOf } from "#fuse/write/part-plan.ts";

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

describe("partsOf", () => {
  it("`partsOf` covers every byte once, in order, with only the last part smaller", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 100 }), (size, partBytes) => {
        const parts = [...partsOf(size, partBytes)];
        expect(parts.map((part) => part.number)).toEqual(parts.map((_, i) => i + 1));
        expect(parts.map((part) => part.start)).toEqual([0, ...parts.slice(0, -1).map((part) => part.end)]);
        expect(parts.slice(0, -1).every((part) => part.end - part.start === partBytes)).toBe(true);
        expect(parts.at(-1)?.end).toBe(size);
      }),
    );
  });
});
