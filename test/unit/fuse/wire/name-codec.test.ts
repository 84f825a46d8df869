import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeName, encodeName, encodeNameInto } from "../../../../src/fuse/wire/name-codec.ts";

/** Bytes with many near-misses of UTF-8. */
const anyBytes = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc.string({ unit: "binary", maxLength: 4 }).map((text) => new TextEncoder().encode(text)),
    ),
    { maxLength: 8 },
  )
  .map((parts) => Uint8Array.from(parts.flatMap((part) => [...part])));

describe("name codec", () => {
  test("every byte string survives `decodeName` and `encodeName`", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        expect(encodeName(decodeName(bytes))).toEqual(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  test("valid UTF-8 decodes to the text it is, a byte order mark included", () => {
    for (const text of ["plain.txt", "größe", "日本語", "😀", "\ufeffbom"]) expect(decodeName(new TextEncoder().encode(text))).toBe(text);
  });

  test.each([
    ["a lone byte", [0x61, 0xff, 0x62], "a\udcffb"],
    ["an encoded surrogate", [0xed, 0xa0, 0x80], "\udced\udca0\udc80"],
    ["an overlong slash", [0xc0, 0xaf], "\udcc0\udcaf"],
    ["overlong forms of three and four bytes", [0xe0, 0x80, 0xaf, 0xf0, 0x80, 0x80, 0xaf], "\udce0\udc80\udcaf\udcf0\udc80\udc80\udcaf"],
    ["a code point above U+10FFFF", [0xf4, 0x90, 0x80, 0x80], "\udcf4\udc90\udc80\udc80"],
    ["a sequence cut short before valid text", [0xe2, 0x82, 0x41], "\udce2\udc82A"],
    ["invalid bytes beside valid ones", [0xc3, 0xa9, 0xfe], "é\udcfe"],
  ])("%s is escaped byte by byte", (_what, bytes, text) => {
    expect(decodeName(Uint8Array.from(bytes))).toBe(text);
  });

  test("`encodeNameInto` writes what `encodeName` gives, or says that it does not fit", () => {
    fc.assert(
      fc.property(anyBytes, fc.nat(40), (bytes, room) => {
        const target = new Uint8Array(room);
        const written = encodeNameInto(decodeName(bytes), target);
        expect(written).toBe(bytes.length <= room ? bytes.length : -1);
        if (written >= 0) expect(target.subarray(0, written)).toEqual(bytes);
      }),
    );
  });
});
