import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RangeSet } from "#core/ranges.ts";
import { decodePartialRecord, encodePartialRecord } from "#fuse/cache/partial-record.ts";

const ranges = RangeSet.from([
  [0, 4096],
  [8192, 10_000],
]);

describe("partial record", () => {
  test("`decodePartialRecord` gives back what `encodePartialRecord` wrote", () => {
    expect(decodePartialRecord(encodePartialRecord(10_000, ranges), 10_000)?.toJSON()).toEqual(ranges.toJSON());
  });

  test("`decodePartialRecord` refuses a record with any character changed or the end missing", () => {
    const text = encodePartialRecord(10_000, ranges);
    const line = text.slice(0, -1);
    fc.assert(
      fc.property(fc.nat(line.length - 1), fc.constantFrom("0", "1", "9", "x", "[", ","), (at, character) => {
        fc.pre(line[at] !== character);
        expect(decodePartialRecord(line.slice(0, at) + character + line.slice(at + 1), 10_000)).toBeUndefined();
        expect(decodePartialRecord(line.slice(0, at), 10_000)).toBeUndefined();
      }),
    );
  });

  test("`decodePartialRecord` refuses a record of another size, or with ranges beyond it", () => {
    expect(decodePartialRecord(encodePartialRecord(10_000, ranges), 10_001)).toBeUndefined();
    expect(decodePartialRecord(encodePartialRecord(9000, ranges), 9000)).toBeUndefined();
  });
});
