import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Range, RangeSet } from "#core/ranges.ts";

const LIMIT = 40;

const range = fc.tuple(fc.nat(LIMIT), fc.nat(LIMIT)).map(([a, b]): Range => [Math.min(a, b), Math.max(a, b)]);
const operation = fc.record({ kind: fc.constantFrom("add", "remove"), range });

/** The model: one boolean a position. */
function apply(operations: readonly { kind: string; range: Range }[]): { set: RangeSet; model: boolean[] } {
  const set = new RangeSet();
  const model = new Array<boolean>(LIMIT).fill(false);
  for (const {
    kind,
    range: [start, end],
  } of operations) {
    if (kind === "add") set.add(start, end);
    else set.remove(start, end);
    model.fill(kind === "add", start, end);
  }
  return { set, model };
}

/** Runs of `wanted` in the model within [start, end). */
function runs(model: readonly boolean[], wanted: boolean, start: number, end: number): Range[] {
  const found: [number, number][] = [];
  for (let at = start; at < end; at++) {
    if (model[at] !== wanted) continue;
    const last = found.at(-1);
    if (last?.[1] === at) last[1] = at + 1;
    else found.push([at, at + 1]);
  }
  return found;
}

describe("RangeSet", () => {
  test("`RangeSet` agrees with a bit map after any adds and removes", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 30 }), range, (operations, [start, end]) => {
        const { set, model } = apply(operations);
        expect(set.toJSON()).toEqual(runs(model, true, 0, LIMIT));
        expect(set.missing(start, end)).toEqual(runs(model, false, start, end));
        expect(set.present(start, end)).toEqual(runs(model, true, start, end));
        expect(set.has(start, end)).toBe(model.slice(start, end).every(Boolean));
        expect(set.size).toBe(model.filter(Boolean).length);
        expect(set.count).toBe(set.toJSON().length);
        expect(set.end).toBe(model.lastIndexOf(true) + 1);
      }),
    );
  });

  test("`from` restores what a JSON text of the set says", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
        const { set } = apply(operations);
        expect(RangeSet.from(JSON.parse(JSON.stringify(set))).toJSON()).toEqual(set.toJSON());
      }),
    );
  });

  test("`clone` is independent of its original", () => {
    const set = RangeSet.from([[0, 10]]);
    const copy = set.clone();
    copy.remove(2, 4);
    expect(set.toJSON()).toEqual([[0, 10]]);
    expect(copy.toJSON()).toEqual([
      [0, 2],
      [4, 10],
    ]);
  });

  test("`add` throws when the bounds are not a range of safe integers", () => {
    const set = new RangeSet();
    for (const [start, end] of [
      [2, 1],
      [-1, 3],
      [0.5, 2],
      [0, Number.NaN],
      [0, 2 ** 60],
    ] as const) {
      expect(() => set.add(start, end)).toThrow(RangeError);
    }
    expect(set.isEmpty).toBe(true);
  });

  test("`add` works beyond 32 bits", () => {
    const set = RangeSet.from([[2 ** 40, 2 ** 40 + 5]]);
    expect(set.has(2 ** 40, 2 ** 40 + 5)).toBe(true);
    expect(set.missing(0, 2 ** 41)).toEqual([
      [0, 2 ** 40],
      [2 ** 40 + 5, 2 ** 41],
    ]);
  });
});
