import { describe, expect, it } from "vitest";
import type { NodeId } from "#core/brand.ts";
import { Inode } from "#fuse/vfs/inode.ts";
import { checkName, childKey, directoryKey, folderMarkedBy, folderMarkKey, isShowable, pathKey } from "#fuse/vfs/key-names.ts";

const root = new Inode(1 as NodeId, "dir", null, "");
const directory = new Inode(2 as NodeId, "dir", root, "a");
const file = new Inode(3 as NodeId, "file", directory, "b");
const withFault = (fault: string) => expect.objectContaining({ fault });

describe("keys", () => {
  it("are the names on the way, behind the mount's prefix", () => {
    expect(pathKey("", file)).toBe("a/b");
    expect(pathKey("team/", file)).toBe("team/a/b");
    expect(directoryKey("team/", directory)).toBe("team/a/");
    expect(directoryKey("team/", root)).toBe("team/");
    expect(directoryKey("", root)).toBe("");
    expect(childKey("team/", root, "x")).toBe("team/x");
  });

  it("longer than S3 takes are refused, counted in bytes", () => {
    let at = root;
    for (let i = 0; i < 8; i++) at = new Inode((10 + i) as NodeId, "dir", at, "é".repeat(60));
    expect(() => childKey("", at, "x".repeat(57))).toThrow(withFault("name_too_long"));
    expect(Buffer.byteLength(childKey("", at, "x".repeat(56)))).toBe(1024);
  });
});

describe("checkName", () => {
  it("refuses what is too long or no UTF-8", () => {
    checkName("é".repeat(127));
    expect(() => checkName("é".repeat(128))).toThrow(withFault("name_too_long"));
    expect(() => checkName("caf\udce9")).toThrow(withFault("bad_argument"));
  });

  it("counts a byte that is not UTF-8 as one", () => {
    expect(() => checkName("\udc80".repeat(255))).toThrow(withFault("bad_argument"));
    expect(() => checkName("\udc80".repeat(256))).toThrow(withFault("name_too_long"));
    expect(() => checkName(`${"😀".repeat(63)}abc\udcff`)).toThrow(withFault("name_too_long"));
  });
});

describe("isShowable", () => {
  it("is false for parts of keys that cannot be file names", () => {
    expect(["", ".", "..", "a\0b", "x".repeat(256), "a_$folder$"].filter(isShowable)).toEqual([]);
    expect(["...", ".a", "x".repeat(255), "a b", "\n"].filter(isShowable).length).toBe(5);
  });
});

describe("folderMarkedBy", () => {
  it("is the directory that an object in Hadoop's form stands for", () => {
    expect(folderMarkedBy("a_$folder$")).toBe("a");
    expect(folderMarkKey("team/a")).toBe("team/a_$folder$");
    expect(["_$folder$", "._$folder$", "a_$folder", "a_$folder$x", "a"].map(folderMarkedBy)).toEqual(Array(5).fill(undefined));
  });
});
