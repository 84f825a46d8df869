import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeChunked } from "#s3/chunked-body.ts";

const encode = (chunks: readonly Uint8Array[], extension = "") =>
  Buffer.concat([
    ...chunks.flatMap((chunk) => [Buffer.from(`${chunk.length.toString(16)}${extension}\r\n`), chunk, Buffer.from("\r\n")]),
    Buffer.from("0\r\n\r\n"),
  ]);

describe("decodeChunked", () => {
  it("gives what was encoded, says where it ends, and of any part of it that more has to come", () => {
    const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 5 });
    fc.assert(
      fc.property(
        chunks,
        fc.constantFrom("", ";name=value", " ;a"),
        fc.uint8Array({ maxLength: 5 }),
        fc.nat(),
        (bodies, extension, more, at) => {
          const coded = encode(bodies, extension);
          const decoded = decodeChunked(Buffer.concat([coded, more]));
          expect(decoded).toEqual({ body: Buffer.concat(bodies), end: coded.byteLength });
          expect(decodeChunked(coded.subarray(0, at % coded.byteLength))).toBe("incomplete");
        },
      ),
    );
  });

  it.each(["x\r\n", "3\r\nabcd\r\n0\r\n\r\n", "0\r\nTrailer: 1\r\n\r\n", "-1\r\n", "\r\n", "123456789\r\n", "1".repeat(101)])(
    "knows nothing of %j",
    (text) => {
      expect(decodeChunked(Buffer.from(text))).toBeUndefined();
    },
  );
});
