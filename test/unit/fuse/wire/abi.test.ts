import { describe, expect, test } from "vitest";
import { FUSE_KERNEL_MINOR_VERSION, InHeader, InitOut, OpenOut, STRUCTS } from "../../../../src/fuse/wire/abi.ts";
import { readFuseHeader } from "../../../support/fuse-header.ts";

const header = readFuseHeader();

describe.skipIf(header === undefined)("abi against <linux/fuse.h>", () => {
  test("every struct has the kernel's fields, offsets and size", () => {
    for (const { struct, since = 0 } of STRUCTS) {
      const kernel = header!.structs.get(struct.name);
      if (since > header!.minor) {
        console.warn(
          `${struct.name}: the installed header is 7.${header!.minor}, this layout came with 7.${since}; only the size is compared`,
        );
        if (kernel !== undefined) expect(struct.size, struct.name).toBe(kernel.size);
      } else {
        expect({ offsets: struct.offsets, size: struct.size }, struct.name).toEqual(kernel);
      }
    }
    expect(STRUCTS.length).toBeGreaterThan(40);
  });
});

describe("abi", () => {
  test("`InHeader` reads and writes the golden bytes", () => {
    // len 40, opcode 15 | unique, bit 63 set | nodeid | uid, gid | pid, extlen, padding
    const golden = Buffer.from(
      "280000000f000000" + "40e2010000000080" + "4d00000000000000" + "e8030000e9030000" + "9210000002000000",
      "hex",
    );
    const fields = { len: 40, opcode: 15, unique: (1n << 63n) | 123456n, nodeid: 77, uid: 1000, gid: 1001, pid: 4242, total_extlen: 2 };
    const read = InHeader.at(new DataView(golden.buffer, golden.byteOffset, golden.length), 0);
    for (const [field, value] of Object.entries(fields)) expect(read[field as keyof typeof fields], field).toBe(value);
    const copy = new Uint8Array(InHeader.size);
    InHeader.write(new DataView(copy.buffer), 0, fields);
    expect(Buffer.from(copy)).toEqual(golden);
  });

  test("fields newer than older headers are where 7.45 has them", () => {
    expect(OpenOut.offsets.backing_id).toBe(12);
    expect([InitOut.size, InitOut.offsets.flags2, InitOut.offsets.max_stack_depth, InitOut.offsets.request_timeout]).toEqual([
      64, 32, 36, 40,
    ]);
    expect(FUSE_KERNEL_MINOR_VERSION).toBe(45);
  });
});
