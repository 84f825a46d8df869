import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fingerprint } from "#fuse/write/fingerprint.ts";

function of(...chunks: Uint8Array[]): string {
  const sum = new Fingerprint();
  for (const chunk of chunks) sum.add(chunk);
  return sum.value().toString("hex");
}

describe("Fingerprint", () => {
  it("`value` is the same for the same bytes, however they are cut", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: 300 }), fc.nat({ max: 300 }), (bytes, a, b) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        expect(of(bytes.subarray(0, from), bytes.subarray(from, to), bytes.subarray(to))).toBe(of(bytes));
      }),
    );
  });

  it("`value` differs for one changed bit, swapped blocks, and zeros more or less", () => {
    const bytes = randomBytes(1 << 16);
    const values = new Set([
      of(bytes),
      of(bytes.subarray(1)),
      of(bytes, Buffer.alloc(1)),
      of(Buffer.alloc(16)),
      of(Buffer.alloc(32)),
      of(),
    ]);
    for (const at of [0, 1, 15, 16, 4095, 65535]) {
      for (const bit of [1, 128]) {
        const other = Buffer.from(bytes);
        other[at] = (other[at] ?? 0) ^ bit;
        values.add(of(other));
      }
    }
    values.add(of(bytes.subarray(16, 32), bytes.subarray(0, 16), bytes.subarray(32)));
    expect(values.size).toBe(6 + 12 + 1);
  });

  it("`value` tells apart contents that have one CRC-32", () => {
    // The CRC's polynomial, 0x104c11db7, with each byte's bits reversed: adding it anywhere leaves the remainder as it was.
    const [a, b] = [Buffer.alloc(64), Buffer.alloc(64)];
    b.set([0x80, 0x20, 0x83, 0xb8, 0xed], 20);
    expect(crc32(a)).toBe(crc32(b));
    expect(of(a)).not.toBe(of(b));
  });
});
