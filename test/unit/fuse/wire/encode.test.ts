import { describe, expect, test } from "vitest";
import { EntryOut, OpenOut, OutHeader } from "../../../../src/fuse/wire/abi.ts";
import { ReplyEncoder } from "../../../../src/fuse/wire/encode.ts";
import { OPS } from "../../../../src/fuse/wire/ops.ts";

const LOW = 0xffff_fffe;
const HIGH = 0x8000_0001;

function whole(packet: readonly Uint8Array[]): Buffer {
  return Buffer.concat(packet);
}

describe("ReplyEncoder", () => {
  const encoder = new ReplyEncoder();

  test("an error is a header alone, with the errno negated and `unique` bit by bit", () => {
    expect(whole(encoder.status(LOW, HIGH, 2)).toString("hex")).toBe("10000000" + "feffffff" + "feffffff" + "01000080");
  });

  test("an empty success is a header with error 0", () => {
    expect(whole(encoder.reply(4, 0, OPS.UNLINK.reply, undefined)).toString("hex")).toBe("10000000" + "00000000" + "0400000000000000");
  });

  test("bytes, in one piece or several or none, follow the header uncopied", () => {
    const pieces = [Buffer.from("abc"), Buffer.from("de")];
    const packet = encoder.reply(4, 0, "bytes", pieces);
    expect(packet.slice(1)).toEqual(pieces);
    expect(packet[1]).toBe(pieces[0]);
    expect(whole(packet).readUInt32LE(0)).toBe(OutHeader.size + 5);
    expect(whole(encoder.reply(4, 0, "bytes", Buffer.from("x")))).toHaveLength(17);
    expect(whole(encoder.reply(4, 0, "bytes", []))).toHaveLength(16);
  });

  test("more pieces than writev(2) takes are joined", () => {
    const packet = encoder.reply(
      4,
      0,
      "bytes",
      Array.from({ length: 3000 }, (_, i) => Uint8Array.of(i & 0xff)),
    );
    expect(packet.length).toBeLessThan(1024);
    expect(whole(packet)).toHaveLength(16 + 3000);
    expect(whole(packet)[16 + 2999]).toBe(2999 & 0xff);
  });

  test("an xattr answers its size or its bytes", () => {
    expect(whole(encoder.reply(4, 0, "size-or-bytes", { size: 9 })).toString("hex", 16)).toBe("0900000000000000");
    expect(whole(encoder.reply(4, 0, "size-or-bytes", Buffer.from("v"))).toString("latin1", 16)).toBe("v");
  });

  test("CREATE answers entry and open on end, and nothing of the reply before shows through", () => {
    const attr = { ino: 5, size: 6, blocks: 1, atime: -1, mtime: 2, ctime: 3, atimensec: 0, mtimensec: 0, ctimensec: 0 };
    const rest = { mode: 0o100644, nlink: 1, uid: 1, gid: 2, rdev: 0, blksize: 4096, flags: 0 };
    const entry = {
      nodeid: 5,
      generation: 0,
      entry_valid: 1,
      attr_valid: 2,
      entry_valid_nsec: 3,
      attr_valid_nsec: 4,
      attr: { ...attr, ...rest },
    };
    const reply = whole(encoder.reply(4, 0, OPS.CREATE.reply, [entry, { fh: 8, open_flags: 1 << 7, backing_id: -1 }]));
    expect(reply).toHaveLength(OutHeader.size + EntryOut.size + OpenOut.size);
    const view = new DataView(reply.buffer, reply.byteOffset, reply.length);
    const read = EntryOut.at(view, OutHeader.size);
    expect([read.nodeid, read.attr.atime, read.attr.mode]).toEqual([5, -1, 0o100644]);
    expect(OpenOut.at(view, OutHeader.size + EntryOut.size).backing_id).toBe(-1);
    expect(whole(encoder.reply(4, 0, OPS.WRITE.reply, { size: 3 })).toString("hex", 16)).toBe("0300000000000000");
  });
});
