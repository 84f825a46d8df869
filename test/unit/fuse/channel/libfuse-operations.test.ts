import { describe, expect, it } from "vitest";
import { inThirtyTwoBits, XattrValue } from "#fuse/channel/libfuse-operations.ts";

const ST = { blocks: 1000, bfree: 900, bavail: 800, files: 50, ffree: 40, bsize: 4096, frsize: 4096, namelen: 255 };

describe("inThirtyTwoBits", () => {
  it("leaves numbers that fit", () => {
    const { namelen, ...same } = ST;
    expect(inThirtyTwoBits(ST)).toEqual({ ...same, favail: 40, namemax: namelen });
  });

  it("has larger blocks for what does not fit: the bytes are the same", () => {
    const petabyte = { ...ST, blocks: 2 ** 38, bfree: 2 ** 38, bavail: 2 ** 37, files: 2 ** 32, ffree: 2 ** 40 };
    const { blocks = 0, bavail = 0, files = 0, ffree = 0, bsize, frsize } = inThirtyTwoBits(petabyte);
    expect([blocks * bsize, bavail * frsize]).toEqual([2 ** 50, 2 ** 49]);
    expect(Math.max(blocks, files, ffree)).toBeLessThan(2 ** 32);
  });
});

describe("XattrValue", () => {
  const answered = (room: number) => {
    const [value, buffer] = [new XattrValue(Buffer.from("value")), Buffer.alloc(room)];
    value.copy(buffer);
    return [value.length, buffer.toString()];
  };

  it("is copied where it fits, tells its size where only that is asked for, and ERANGE where the buffer is too small", () => {
    expect(answered(7)).toEqual([5, "value\0\0"]);
    expect(answered(5)).toEqual([5, "value"]);
    expect(answered(0)).toEqual([5, ""]);
    expect(answered(4)).toEqual([-34, "\0\0\0\0"]);
  });
});
