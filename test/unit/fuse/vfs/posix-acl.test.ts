import { describe, expect, it } from "vitest";
import { readAccessAcl } from "#fuse/vfs/posix-acl.ts";

const NOBODY = 0xffff_ffff;

/** The attribute's bytes for entries of tag, permissions and id. */
function acl(...entries: readonly (readonly [tag: number, permissions: number, id?: number])[]): Uint8Array {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id = NOBODY]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(permissions, 6 + index * 8);
    bytes.writeUInt32LE(id, 8 + index * 8);
  }
  return bytes;
}

describe("readAccessAcl", () => {
  it("is minimal when it has owner, group and others alone", () => {
    expect(readAccessAcl(acl([0x01, 7], [0x04, 5], [0x20, 4]))).toEqual({ mode: 0o754, minimal: true });
  });

  it("has the mask as the group's bits when it names users or groups", () => {
    const named = acl([0x01, 6], [0x02, 4, 1234], [0x04, 0], [0x08, 6, 50], [0x10, 6], [0x20, 0]);
    expect(readAccessAcl(named)).toEqual({ mode: 0o660, minimal: false });
  });

  it.each([
    ["nothing", new Uint8Array(0)],
    ["a text", Buffer.from("value")],
    ["another version", Buffer.from([1, 0, 0, 0])],
    ["no entries", acl()],
    ["a part of an entry", acl([0x01, 7], [0x04, 5], [0x20, 4]).subarray(0, -1)],
  ])("is undefined for %s", (_, bytes) => {
    expect(readAccessAcl(bytes)).toBeUndefined();
  });
});
