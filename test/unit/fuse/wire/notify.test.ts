import { describe, expect, test } from "vitest";
import { encodeDelete, encodeInvalEntry, encodeInvalInode, encodeResend, FUSE_NOTIFY } from "../../../../src/fuse/wire/notify.ts";
import { readFuseHeader } from "../../../support/fuse-header.ts";

const header = readFuseHeader();
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test.skipIf(header === undefined)("`FUSE_NOTIFY` has the header's codes", () => {
  expect(header!.notices.size).toBeGreaterThan(5);
  for (const [name, code] of header!.notices) expect(FUSE_NOTIFY[name as keyof typeof FUSE_NOTIFY], name).toBe(code);
});

describe("notices", () => {
  test("`encodeResend` is a header alone with unique 0", () => {
    expect(hex(encodeResend())).toBe(["10000000", "07000000", "0000000000000000"].join(""));
  });

  test("`encodeInvalInode` carries negative offsets", () => {
    expect(hex(encodeInvalInode(5, -1, 0))).toBe(
      ["28000000", "02000000", "00".repeat(8), "0500000000000000", "ff".repeat(8), "00".repeat(8)].join(""),
    );
  });

  test("`encodeInvalEntry` and `encodeDelete` end the name with a NUL that namelen does not count", () => {
    expect(hex(encodeInvalEntry(1, "é"))).toBe(
      ["23000000", "03000000", "00".repeat(8), "0100000000000000", "02000000", "00000000", "c3a900"].join(""),
    );
    expect(hex(encodeDelete(1, 2, "a"))).toBe(
      ["2a000000", "06000000", "00".repeat(8), "0100000000000000", "0200000000000000", "01000000", "00000000", "6100"].join(""),
    );
  });
});
