import { describe, expect, test } from "vitest";
import type { Shape, Struct, Values } from "../../../../src/core/struct.ts";
import { ForgetOne, GetattrIn, InHeader, InitIn, LinkIn, Rename2In, SetxattrIn, WriteIn } from "../../../../src/fuse/wire/abi.ts";
import { decodeArguments, decodeForgets, decodeHeader, isResent, type Message, uniqueNumber } from "../../../../src/fuse/wire/decode.ts";
import { OPS, type OpName } from "../../../../src/fuse/wire/ops.ts";

const RULES = { setxattrExt: true };

function body<S extends Shape>(struct: Struct<S>, values: Values<S>, cut = struct.size): Buffer {
  const bytes = Buffer.alloc(struct.size);
  struct.write(new DataView(bytes.buffer, bytes.byteOffset), 0, values);
  return bytes.subarray(0, cut);
}

function request(
  op: OpName,
  parts: readonly (Buffer | string)[],
  header: Partial<Values<Parameters<typeof InHeader.write>[2] & Shape>> = {},
): Message {
  const content = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
  const bytes = Buffer.alloc(InHeader.size + content.length + 64); // as in a read buffer, more follows
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const base = {
    len: InHeader.size + content.length,
    opcode: OPS[op].opcode,
    unique: 4n,
    nodeid: 9,
    uid: 1,
    gid: 2,
    pid: 3,
    total_extlen: 0,
  };
  InHeader.write(view, 0, { ...base, ...header });
  content.copy(bytes, InHeader.size);
  return { bytes, view };
}

function decode(op: OpName, message: Message, rules = RULES): unknown[] {
  const header = decodeHeader(message, message.view.getUint32(0, true));
  return decodeArguments(OPS[op], message, header.bodyEnd, rules);
}

describe("decodeHeader", () => {
  test("keeps `unique` exactly, tells a repeated request, and counts without the mark", () => {
    const header = decodeHeader(request("STATFS", [], { unique: (1n << 63n) | (5n << 32n) | 0xffff_fffen } as never), InHeader.size);
    expect([header.uniqueHigh, header.uniqueLow]).toEqual([0x8000_0005, 0xffff_fffe]);
    expect(isResent(header.uniqueHigh)).toBe(true);
    expect(uniqueNumber(header.uniqueLow, header.uniqueHigh)).toBe(5 * 2 ** 32 + 0xffff_fffe);
    expect([header.nodeid, header.uid, header.gid, header.pid]).toEqual([9, 1, 2, 3]);
  });

  test("refuses a length that is not the header's", () => {
    expect(() => decodeHeader(request("STATFS", []), 41)).toThrow(/malformed STATFS/);
  });
});

describe("decodeArguments", () => {
  test("gives struct, names and payload in the order of the row", () => {
    const value = Buffer.from([0, 1, 2]);
    const setxattr = body(SetxattrIn, { size: 3, flags: 1, setxattr_flags: 0 });
    const [input, name, payload] = decode("SETXATTR", request("SETXATTR", [setxattr, "user.é\0", value])) as [
      { size: number; flags: number },
      string,
      Uint8Array,
    ];
    expect([input.size, input.flags, name, [...payload]]).toEqual([3, 1, "user.é", [0, 1, 2]]);
    expect(decode("SYMLINK", request("SYMLINK", ["link\0", "/target\0"]))).toEqual(["link", "/target"]);
    const [rename, from, to] = decode("RENAME2", request("RENAME2", [body(Rename2In, { newdir: 5, flags: 2 }), "a\0b\0"])) as [
      { newdir: number },
      string,
      string,
    ];
    expect([rename.newdir, from, to]).toEqual([5, "a", "b"]);
    expect(decode("READLINK", request("READLINK", []))).toEqual([]);
  });

  test("gives a WRITE's payload as a view of the message, not a copy", () => {
    const write = body(WriteIn, { fh: 1, offset: 2, size: 3, write_flags: 0, lock_owner: 0n, flags: 0 });
    const message = request("WRITE", [write, "abc"]);
    const [, payload] = decode("WRITE", message) as [unknown, Uint8Array];
    message.bytes[InHeader.size + WriteIn.size] = "X".charCodeAt(0);
    expect(Buffer.from(payload).toString()).toBe("Xbc");
  });

  test("reads the short fuse_setxattr_in of connections without SETXATTR_EXT", () => {
    const short = body(SetxattrIn, { size: 2, flags: 2, setxattr_flags: 99 }, 8);
    const [input, name, payload] = decode("SETXATTR", request("SETXATTR", [short, "n\0", "vv"]), { setxattrExt: false }) as [
      Record<string, number>,
      string,
      Uint8Array,
    ];
    expect([input["size"], input["flags"], input["setxattr_flags"], name, payload.length]).toEqual([2, 2, 0, "n", 2]);
  });

  test("reads the short fuse_init_in of kernels before 7.36, and a longer one of kernels to come", () => {
    const fields = { major: 7, minor: 35, max_readahead: 131072, flags: 0x1234, flags2: 77 };
    const [short] = decode("INIT", request("INIT", [body(InitIn, fields, 16)])) as [typeof fields];
    expect([short.minor, short.flags, short.flags2]).toEqual([35, 0x1234, 0]);
    const [long] = decode("INIT", request("INIT", [body(InitIn, fields), Buffer.alloc(64, 0xff)])) as [typeof fields];
    expect([long.minor, long.flags2]).toEqual([35, 77]);
  });

  test("passes over extensions behind the body", () => {
    const message = request("LOOKUP", ["name\0", Buffer.alloc(16, 0x41)], { total_extlen: 2 } as never);
    expect(decode("LOOKUP", message)).toEqual(["name"]);
  });

  test("refuses a name without an end and a struct that is cut short", () => {
    expect(() => decode("LOOKUP", request("LOOKUP", ["name"]))).toThrow(/malformed LOOKUP request: a name has no end/);
    expect(() => decode("LINK", request("LINK", [body(LinkIn, { oldnodeid: 1 }, 4)]))).toThrow(
      /malformed LINK request: 4 bytes of body, 8 expected/,
    );
    expect(decode("GETATTR", request("GETATTR", [body(GetattrIn, { getattr_flags: 1, fh: 5 })]))).toHaveLength(1);
  });
});

test("`decodeForgets` gives each pair, and refuses a count beyond the payload", () => {
  const payload = Buffer.concat([body(ForgetOne, { nodeid: 5, nlookup: 1 }), body(ForgetOne, { nodeid: 2 ** 40, nlookup: 3 })]);
  const pairs = [...decodeForgets(payload, 2)].map(({ nodeid, nlookup }) => [nodeid, nlookup]);
  expect(pairs).toEqual([
    [5, 1],
    [2 ** 40, 3],
  ]);
  expect(() => [...decodeForgets(payload, 3)]).toThrow(RangeError);
});
