import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AttributeDefaults,
  type AttributeSource,
  decodeAttributes,
  decodeXattrs,
  encodeAttributes,
  foreignMetadata,
  metadataBytes,
  symlinkTarget,
} from "#fuse/vfs/object-metadata.ts";

const defaults: AttributeDefaults = { uid: 500, gid: 501, fileMode: 0o640, dirMode: 0o750 };
const LISTED_MS = 1_700_000_000_500;
const decode = (metadata: Record<string, string>, source: Partial<AttributeSource> = {}) =>
  decodeAttributes({ key: "f", size: 1, lastModified: LISTED_MS, headers: {}, ...source, metadata }, defaults);

const id = fc.nat({ max: 0xffff_fffe });
const time = fc.record({ sec: fc.integer({ min: -1_000_000_000, max: 10_000_000_000 }), nsec: fc.nat({ max: 999_999_999 }) });
const type = fc.constantFrom(0o100000, 0o120000, 0o010000, 0o140000);
const attributes = fc
  .record({ type, permissions: fc.nat({ max: 0o7777 }), uid: id, gid: id, rdev: id, atime: time, mtime: time, ctime: time })
  .map(({ type: bits, permissions, ...rest }) => ({ ...rest, mode: bits | permissions }));
const xattrs = fc
  .dictionary(fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }), fc.uint8Array({ maxLength: 30 }), { noNullPrototype: true })
  .map((record) => new Map(Object.entries(record).filter(([name]) => name !== "__proto__")));

describe("decodeAttributes", () => {
  it("gives back what `encodeAttributes` was given, with xattrs, target and what is foreign", () => {
    const foreign = { "x-thing": "kept", "file-owner": "0", md5: "abc" };
    fc.assert(
      fc.property(attributes, xattrs, fc.option(fc.string({ unit: "grapheme" }), { nil: undefined }), (given, extended, target) => {
        const metadata = encodeAttributes(given, { previous: foreign, xattrs: extended, symlinkTarget: target });
        expect(decodeAttributes({ key: "k", size: 0, lastModified: LISTED_MS, headers: {}, metadata }, defaults)).toEqual(given);
        expect(decodeXattrs(metadata)).toEqual(extended);
        expect(symlinkTarget(metadata)).toBe(target);
        expect(foreignMetadata(metadata)).toEqual(foreign);
        for (const value of Object.values(metadata)) expect(value).toMatch(/^[\x20-\x7e]*$/);
      }),
    );
  });

  it("never throws, whatever stands in the metadata, and gives a mode with a type", () => {
    const name = fc.constantFrom("uid", "gid", "mode", "mtime", "ctime", "atime", "rdev", "xattr", "file-mtime", "file-permissions");
    fc.assert(
      fc.property(fc.dictionary(name, fc.string({ unit: "binary" })), fc.constantFrom("f", "d/", ""), (metadata, key) => {
        const { mode } = decode(metadata, { key });
        expect(mode & 0o170000).toBeGreaterThan(0);
        decodeXattrs(metadata);
      }),
    );
  });

  it("shows the mount's defaults and LastModified where an object says nothing", () => {
    const modified = { sec: 1_700_000_000, nsec: 500_000_000 };
    const shown = { uid: 500, gid: 501, rdev: 0, atime: modified, mtime: modified, ctime: modified };
    expect(decode({})).toEqual({ ...shown, mode: 0o100640 });
    expect(decode({}, { key: "d/" })).toEqual({ ...shown, mode: 0o040750 });
  });

  it.each([
    ["s3fs: decimal with type bits", { mode: "33188" }, "f", 0o100644],
    ["s3fs: a directory without type bits", { mode: "493" }, "d/", 0o040755],
    ["s3fs: octal with a leading zero", { mode: "0644" }, "f", 0o100644],
    ["rclone: octal without a prefix", { mode: "100755" }, "f", 0o100755],
    ["rclone: a directory", { mode: "40755" }, "d/", 0o040755],
    ["AWS: permissions apart", { "file-permissions": "0100664" }, "f", 0o100664],
    ["a symlink of s3fs", { mode: "41471" }, "l", 0o120777],
    ["a symlink of geesefs", { "--symlink-target": "x" }, "l", 0o120777],
    ["a slash proves a directory whatever the mode says", { mode: "33188" }, "d/", 0o040644],
    ["no number at all", { mode: "rw-r--r--" }, "f", 0o100640],
    ["a number out of range", { mode: "9999999999" }, "f", 0o100640],
  ])("reads the mode of %s", (_, metadata, key, mode) => {
    expect(decode(metadata as Record<string, string>, { key }).mode.toString(8)).toBe(mode.toString(8));
  });

  it("takes a Content-Type for a directory's object without a slash", () => {
    expect(decode({}, { headers: { contentType: "application/x-directory; charset=UTF-8" } }).mode).toBe(0o040750);
  });

  it.each([
    ["1700000000", { sec: 1_700_000_000, nsec: 0 }],
    ["1700000000.000000001", { sec: 1_700_000_000, nsec: 1 }],
    ["1700000000.5", { sec: 1_700_000_000, nsec: 500_000_000 }],
    ["-5", { sec: -5, nsec: 0 }],
  ])("reads the time %s", (text, expected) => {
    expect(decode({ mtime: text }).mtime).toEqual(expected);
  });

  it("reads AWS's nanoseconds and milliseconds, and owners by their names", () => {
    const shown = decode({ "file-mtime": "1700000000123456789ns", "file-atime": "1600000000001", "file-owner": "12", "file-group": "13" });
    expect(shown).toMatchObject({ mtime: { sec: 1_700_000_000, nsec: 123_456_789 }, uid: 12, gid: 13 });
    expect(shown.atime).toEqual({ sec: 1_600_000_000, nsec: 1_000_000 });
  });
});

describe("metadataBytes", () => {
  it("counts names and values in bytes", () => {
    expect(metadataBytes({ ab: "c", d: "é" })).toBe(6);
  });
});
