import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Dirent, Direntplus } from "../../../../src/fuse/wire/abi.ts";
import { DirentWriter, decodeDirents, direntType } from "../../../../src/fuse/wire/dirent.ts";
import { decodeName, encodeName } from "../../../../src/fuse/wire/name-codec.ts";

const ATTR = {
  ino: 0,
  size: 0,
  blocks: 0,
  atime: 0,
  mtime: 0,
  ctime: 0,
  atimensec: 0,
  mtimensec: 0,
  ctimensec: 0,
  mode: 0,
  nlink: 0,
  uid: 0,
  gid: 0,
  rdev: 0,
  blksize: 0,
  flags: 0,
};
const entryOut = (nodeid: number) => ({
  nodeid,
  generation: 0,
  entry_valid: 1,
  attr_valid: 1,
  entry_valid_nsec: 0,
  attr_valid_nsec: 0,
  attr: ATTR,
});

interface Parsed {
  readonly name: string;
  readonly ino: number;
  readonly off: number;
  readonly type: number;
  readonly nodeid?: number;
}

/** Reads a reply as the kernel does (parse_dirfile in fs/fuse/readdir.c). */
function parse(bytes: Uint8Array, plus: boolean): Parsed[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries: Parsed[] = [];
  const head = plus ? Direntplus.size : Dirent.size;
  for (let at = 0; at + head <= bytes.length; ) {
    const { ino, off, namelen, type } = plus ? Direntplus.at(view, at).dirent : Dirent.at(view, at);
    const name = decodeName(bytes.subarray(at + head, at + head + namelen));
    entries.push({ name, ino, off, type, ...(plus ? { nodeid: Direntplus.at(view, at).entry_out.nodeid } : {}) });
    at += Math.ceil((head + namelen) / 8) * 8;
    expect(at).toBeLessThanOrEqual(bytes.length);
  }
  return entries;
}

const anyName = fc.uint8Array({ minLength: 1, maxLength: 255 }).map(decodeName);

describe("DirentWriter", () => {
  test("what it took comes back, and it takes exactly what fits", () => {
    fc.assert(
      fc.property(fc.array(anyName, { maxLength: 40 }), fc.integer({ min: 0, max: 4096 }), fc.boolean(), (names, size, plus) => {
        const writer = new DirentWriter(size);
        const head = plus ? Direntplus.size : Dirent.size;
        let room = size;
        const expected: Parsed[] = [];
        for (const [i, name] of names.entries()) {
          const needed = Math.ceil((head + encodeName(name).length) / 8) * 8;
          const dirent = { name, ino: i + 1, off: i + 10, type: i % 13 };
          const taken = plus ? writer.addPlus(dirent, entryOut(i)) : writer.add(dirent);
          expect(taken).toBe(needed <= room);
          if (!taken) break;
          room -= needed;
          expected.push({ ...dirent, ...(plus ? { nodeid: i } : {}) });
        }
        expect(parse(writer.finish(), plus)).toEqual(expected);
        if (!plus) expect(decodeDirents(writer.finish())).toEqual(expected);
      }),
    );
  });

  test("padding is zero", () => {
    const writer = new DirentWriter(64);
    writer.add({ name: "abcdefghijk", ino: 1, off: 1, type: 8 }); // refused later entries may leave bytes behind it
    writer.add({ name: "x".repeat(60), ino: 1, off: 1, type: 8 });
    expect(Buffer.from(writer.finish()).toString("hex", 24 + 11)).toBe("0000000000");
  });
});

test("`direntType` is DT_* of the mode", () => {
  expect([0o040755, 0o100644, 0o120777, 0o010600, 0o140600, 0].map(direntType)).toEqual([4, 8, 10, 1, 12, 0]);
});
