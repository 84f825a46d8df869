import { describe, expect, it } from "vitest";
import { hasType, kindOf, O_RDWR, O_TRUNC, wantsWrite, withoutPrivileges } from "#fuse/vfs/mode.ts";

describe("kindOf", () => {
  it.each([
    [0o100644, "file"],
    [0o644, "file"],
    [0o040755, "dir"],
    [0o120777, "symlink"],
    [0o010600, "special"],
    [0o140600, "special"],
  ])("%o is a %s", (mode, kind) => {
    expect(kindOf(mode)).toBe(kind);
  });
});

describe("hasType", () => {
  it("is true for the seven types and nothing else", () => {
    const types = Array.from({ length: 16 }, (_, i) => i << 12).filter((bits) => hasType(bits | 0o644));
    expect(types.map((bits) => bits.toString(8))).toEqual(["10000", "20000", "40000", "60000", "100000", "120000", "140000"]);
  });
});

describe("withoutPrivileges", () => {
  it("drops setuid, and setgid where the group may execute", () => {
    expect(withoutPrivileges(0o106755).toString(8)).toBe("100755");
    expect(withoutPrivileges(0o102744).toString(8)).toBe("102744");
    expect(withoutPrivileges(0o101777).toString(8)).toBe("101777");
  });
});

describe("wantsWrite", () => {
  it("is true for every way to change a file", () => {
    expect([0, 1, O_RDWR, O_TRUNC].map(wantsWrite)).toEqual([false, true, true, true]);
  });
});
