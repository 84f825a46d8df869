import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { struct, type ValuesOf } from "../../../src/core/struct.ts";

const Inner = struct("inner", { a: "u32", b: "u16", c: "u8", d: ["u8", 1] });
const Outer = struct("outer", { id: "id64", time: "int53", big: "u64", signed: "i64", inner: Inner, small: "i32", rest: ["u32", 1] });

function viewOf(size: number): DataView {
  return new DataView(new ArrayBuffer(size));
}

const anyOuter: fc.Arbitrary<ValuesOf<typeof Outer>> = fc.record({
  id: fc.maxSafeNat(),
  time: fc.maxSafeInteger(),
  big: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  signed: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
  inner: fc.record({ a: fc.nat(0xffff_ffff), b: fc.nat(0xffff), c: fc.nat(0xff) }),
  small: fc.integer(),
});

describe("struct", () => {
  test("`offsets` and `size` are those of a C struct with nested structs", () => {
    expect(Outer.offsets).toEqual({ id: 0, time: 8, big: 16, signed: 24, inner: 32, small: 40, rest: 44 });
    expect([Outer.size, Outer.align, Inner.size, Inner.align]).toEqual([48, 8, 8, 4]);
  });

  test("`at` reads what `write` wrote, at any offset, and reserved words are zero", () => {
    fc.assert(
      fc.property(anyOuter, fc.nat(64), (values, offset) => {
        const view = viewOf(offset + Outer.size);
        new Uint8Array(view.buffer).fill(0xff);
        Outer.write(view, offset, values);
        const live = Outer.at(view, offset);
        for (const field of ["id", "time", "big", "signed", "small"] as const) expect(live[field]).toBe(values[field]);
        for (const field of ["a", "b", "c"] as const) expect(live.inner[field]).toBe(values.inner[field]);
        expect(view.getUint32(offset + Outer.offsets.rest, true)).toBe(0);
      }),
    );
  });

  test("64-bit numbers have the bytes of the two's complement, low byte first", () => {
    const view = viewOf(Outer.size);
    const live = Outer.at(view, 0);
    live.id = 2 ** 53 - 1;
    live.time = -1;
    expect([view.getBigUint64(0, true), view.getBigInt64(8, true)]).toEqual([2n ** 53n - 1n, -1n]);
    live.time = -(2 ** 33) - 5;
    expect(view.getBigInt64(8, true)).toBe(-(2n ** 33n) - 5n);
  });

  test("`at` is a live view: assigning changes the bytes, and the other way round", () => {
    const view = viewOf(Outer.size);
    const live = Outer.at(view, 0);
    live.inner.b = 0x1234;
    expect(view.getUint16(36, true)).toBe(0x1234);
    view.setUint8(38, 7);
    expect(live.inner.c).toBe(7);
    live.inner = { a: 1, b: 2, c: 3 };
    expect([view.getUint32(32, true), view.getUint16(36, true), view.getUint8(38)]).toEqual([1, 2, 3]);
  });

  test("a struct that does not fit is a RangeError that names it", () => {
    expect(() => Outer.at(viewOf(47), 0)).toThrow(/outer: 47 of 48 bytes/);
    expect(() => Inner.write(viewOf(10), 4, { a: 0, b: 0, c: 0 })).toThrow(/inner: 6 of 8 bytes/);
  });

  test("implicit padding, inside or at the end, is refused", () => {
    expect(() => struct("gap", { a: "u8", b: "u32" })).toThrow(/gap.b: implicit padding at 1/);
    expect(() => struct("tail", { a: "u64", b: "u32" })).toThrow(/tail: implicit tail padding at 12/);
    expect(() => struct("nested", { a: "u8", b: Inner })).toThrow(/nested.b: implicit padding/);
  });

  test("fields have the types that their kinds say", () => {
    const live = Outer.at(viewOf(Outer.size), 0);
    live.id satisfies number;
    live.big satisfies bigint;
    live.inner.a satisfies number;
    // @ts-expect-error reserved words have no value
    live.rest;
    // @ts-expect-error no such field
    live.nope;
    expect(live).toBeDefined();
  });
});
