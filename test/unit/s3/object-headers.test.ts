import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { copyResultOf, decodeMetadata, headersOfObject, infoOf } from "#s3/object-headers.ts";
import { signedHeaders } from "#s3/sign.ts";

const KEYS = { accessKeyId: "A", secretAccessKey: "s" };

/** What a server receives of a metadata value: a string of bytes. */
function onTheWire(value: string): string {
  const headers = headersOfObject({}, { n: value });
  const given = { method: "PUT", path: "/", host: "h", region: "r", nowMs: 0, headers };
  return signedHeaders(given, KEYS)["x-amz-meta-n"] ?? "";
}

describe("metadata", () => {
  it("comes back as it was given, through bytes that a header may have", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: "grapheme" }), fc.string({ unit: fc.constantFrom(" ", "\u00a0", "\n", "ü", "=", "?", "a", "\u3000") })),
        (value) => {
          const wire = onTheWire(value);
          expect(wire).toMatch(/^[\t\x20-\x7e\x80-\xff]*$/);
          // Signature and servers fold blanks: there must be none to fold.
          expect(wire).not.toMatch(/^[ \t]|[ \t]$| {2}/);
          expect(decodeMetadata(wire)).toBe(value);
        },
      ),
    );
  });

  it("goes as plain text where it can", () => {
    expect(onTheWire("/a/plain path")).toBe("/a/plain path");
    expect(onTheWire("größe")).toBe(Buffer.from("größe").toString("latin1"));
    expect(onTheWire(" x")).toBe("=?UTF-8?B?IHg=?=");
  });

  it("is read in the forms that others write", () => {
    expect(decodeMetadata("=?UTF-8?Q?gr=C3=B6=C3=9Fe_x?=")).toBe("größe x");
    expect(decodeMetadata("=?utf-8?b?Z3LDtg==?= =?UTF-8?B?w58=?=")).toBe("größ");
    expect(decodeMetadata("\xe9t\xe9")).toBe("été");
    expect(decodeMetadata("=?not a word")).toBe("=?not a word");
  });
});

describe("infoOf", () => {
  it("reads headers and metadata", () => {
    const info = infoOf("k", 5, {
      ...{ etag: '"e"', "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT", "content-type": "a/b", "x-amz-meta-mode": "33188" },
      ...{ "x-amz-storage-class": "GLACIER", "x-amz-version-id": "v1", "x-amz-server-side-encryption": "AES256", server: "x" },
    });
    expect(info).toEqual({
      ...{ key: "k", size: 5, etag: '"e"', lastModified: Date.UTC(2026, 0, 1), metadata: { mode: "33188" }, versionId: "v1" },
      headers: { contentType: "a/b", storageClass: "GLACIER", serverSideEncryption: "AES256" },
    });
  });

  it("refuses an answer without an ETag", () => {
    expect(() => infoOf("k", 0, {})).toThrow(/ETag/);
  });
});

describe("copyResultOf", () => {
  const xml = (more: string) => `<CopyObjectResult>${more}<ETag>&quot;e&quot;</ETag></CopyObjectResult>`;
  const headers = { date: "Sun, 22 Nov 2026 10:00:05 GMT", "x-amz-version-id": "v" };

  it("takes the time that the answer tells, else the server's clock", () => {
    const told = copyResultOf(headers, xml("<LastModified>2026-11-22T09:00:00.250Z</LastModified>"), "k");
    expect(told).toEqual({ etag: '"e"', versionId: "v", dateMs: Date.parse("2026-11-22T09:00:00.250Z") });
    for (const more of ["", "<LastModified>soon</LastModified>"]) {
      expect(copyResultOf(headers, xml(more), "k").dateMs).toBe(Date.parse("2026-11-22T10:00:05Z"));
    }
  });
});
