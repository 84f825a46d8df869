import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Extents } from "#fuse/write/extents.ts";

const BASE = 24;
type Step = readonly ["write", number, number] | readonly ["truncate", number];
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(fc.constant("write" as const), fc.nat({ max: 32 }), fc.nat({ max: 12 })),
  fc.tuple(fc.constant("truncate" as const), fc.nat({ max: 40 })),
);

/** One origin per byte, kept in the plainest way. */
function play(steps: readonly Step[]): { extents: Extents; fromBase: boolean[] } {
  const extents = new Extents(BASE);
  const fromBase = Array.from({ length: BASE }, () => true);
  for (const [kind, at, length] of steps) {
    if (kind === "write") {
      extents.written(at, at + (length ?? 0));
      fromBase.fill(false, at, at + (length ?? 0));
    } else {
      extents.truncated(at);
      fromBase.fill(false, at);
    }
  }
  return { extents, fromBase };
}

describe("Extents", () => {
  it("`pieces` covers the range without a gap, each byte from where it belongs, after any writes and cuts", () => {
    fc.assert(
      fc.property(fc.array(step), fc.nat({ max: 40 }), fc.nat({ max: 40 }), (steps, start, length) => {
        const { extents, fromBase } = play(steps);
        const pieces = extents.pieces(start, start + length);
        const origins = pieces.flatMap(({ from, start, end }) => Array.from({ length: end - start }, (_, i) => [start + i, from]));
        const expected = Array.from({ length }, (_, i) => [start + i, fromBase[start + i] ? "base" : "spool"]);
        expect(origins).toEqual(expected);
        expect(pieces.every((piece, i) => piece.end > piece.start && piece.from !== pieces[i - 1]?.from)).toBe(true);
        expect(extents.whole).toBe(!fromBase.includes(true));
      }),
    );
  });

  it("`ranges` makes the same extents again when given to the constructor", () => {
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const { extents } = play(steps);
        const again = new Extents(BASE, extents.ranges());
        expect(again.pieces(0, 50)).toEqual(extents.pieces(0, 50));
      }),
    );
  });

  it("`pieces` takes nothing from the base when the file was cut below it and grew again", () => {
    const extents = new Extents(100);
    extents.truncated(10);
    extents.truncated(80);
    expect(extents.pieces(0, 80)).toEqual([
      { from: "base", start: 0, end: 10 },
      { from: "spool", start: 10, end: 80 },
    ]);
  });

  it("`whole` is true from the start when the base is empty", () => {
    expect(new Extents(0).whole).toBe(true);
  });
});
