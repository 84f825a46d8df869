import { expect, test } from "vitest";
import { ReadIn } from "../../../../src/fuse/wire/abi.ts";
import { OPS } from "../../../../src/fuse/wire/ops.ts";
import { printRequest } from "../../../../src/fuse/wire/print.ts";

const header = { uniqueLow: 8, uniqueHigh: 0x8000_0000, nodeid: 1, uid: 2, gid: 3, pid: 4, bodyEnd: 0 };

test("`printRequest` shows numbers and names, and of content its size only", () => {
  expect(printRequest({ ...header, opcode: OPS.SYMLINK.opcode }, ["a\nb", "t"])).toBe('#8 again SYMLINK node 1 by 2:3 pid 4 "a\\nb" "t"');
  const view = new DataView(new ArrayBuffer(ReadIn.size));
  ReadIn.write(view, 0, { fh: 7, offset: 4096, size: 10, read_flags: 0, lock_owner: 1n, flags: 0 });
  const line = printRequest({ ...header, uniqueHigh: 0, opcode: OPS.READ.opcode }, [ReadIn.at(view, 0), Buffer.from("secret")]);
  expect(line).toContain("#8 READ node 1");
  expect(line).toContain("fh=7 offset=4096 size=10");
  expect(line).toContain("<6 bytes>");
  expect(line).not.toContain("secret");
  expect(printRequest({ ...header, uniqueHigh: 0, opcode: 39 }, [])).toContain("IOCTL");
});
