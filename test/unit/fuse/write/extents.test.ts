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

  it("`changes` names every byte that differs from the version that was stored last, after any writes, cuts and uploads", () => {
    const next = fc.oneof<[fc.Arbitrary<Step>, fc.Arbitrary<readonly ["begin" | "stored"]>]>(
      step,
      fc.constantFrom(["begin"] as const, ["stored"] as const),
    );
    fc.assert(
      fc.property(fc.array(next, { maxLength: 40 }), (steps) => {
        // Each write has a value of its own, so that equal bytes are the same bytes.
        let extents = new Extents(BASE);
        let file = Array.from({ length: BASE }, (_, i) => i + 1);
        let base = file;
        let begun: number[] | undefined;
        for (const [i, [kind, at = 0, length = 0]] of steps.entries()) {
          if (kind === "write" && length > 0) {
            file = [...file, ...Array.from({ length: Math.max(0, at + length - file.length) }, () => 0)];
            file = file.map((byte, position) => (position >= at && position < at + length ? 1000 + i : byte));
            extents.written(at, at + length);
          }
          if (kind === "truncate") {
            file = [...file.slice(0, at), ...Array.from({ length: Math.max(0, at - file.length) }, () => 0)];
            extents.truncated(at);
          }
          if (kind === "begin") {
            begun = file;
            extents.begin();
          }
          if (kind === "stored" && begun !== undefined) {
            base = begun;
            begun = undefined;
            extents = extents.stored(base.length);
          }
          const changed = extents.changes(file.length);
          const isChanged = (position: number) => changed.some(([start, end]) => start <= position && position < end);
          const isMissing = (position: number) => extents.missing(position, position + 1).length > 0;
          const wrong = file.flatMap((byte, position) => (byte !== base[position] && !isChanged(position) ? [position] : []));
          const lost = file.flatMap((byte, position) => (byte !== base[position] && isMissing(position) ? [position] : []));
          expect([wrong, lost]).toEqual([[], []]);
        }
        expect(extents.isReplaced).toBe(
          extents.changes(extents.baseSize).some(([s, e]) => s === 0 && e === extents.baseSize) || extents.baseSize === 0,
        );
      }),
    );
  });

  it("`filled` bytes are local and unchanged", () => {
    const extents = new Extents(100);
    extents.filled(0, 60);
    extents.written(50, 55);
    expect([extents.missing(0, 100), extents.changes(100)]).toEqual([[[60, 100]], [[50, 55]]]);
    extents.filled(60, 100);
    expect([extents.whole, extents.isReplaced]).toEqual([true, false]);
  });
});
