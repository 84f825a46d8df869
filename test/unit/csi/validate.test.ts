import { expect, test } from "vitest";
import { checkBytes, checkMap, requireList, requireMessage, requirePath, requireString } from "#csi/validate.ts";

const badArgument = (field: string) => expect.objectContaining({ fault: "bad_argument", message: expect.stringContaining(field) });

test("`requireString` names a missing or too long field and counts bytes, not characters", () => {
  expect(requireString("v1:x", "volume_id")).toBe("v1:x");
  expect(requireString("x".repeat(128), "name")).toHaveLength(128);
  for (const value of [undefined, "", "x".repeat(129), "é".repeat(65)]) {
    expect(() => requireString(value, "volume_id")).toThrow(badArgument("volume_id"));
  }
});

test("`requirePath` takes absolute paths only, without parts that lead elsewhere", () => {
  expect(requirePath("/var/lib/kubelet/x", "target_path")).toBe("/var/lib/kubelet/x");
  for (const value of ["", "x/y", "/a/../b", "/a/./b", "/a\0b", `/${"x".repeat(5000)}`]) {
    expect(() => requirePath(value, "target_path")).toThrow(badArgument("target_path"));
  }
});

test("`requireMessage` and `requireList` name what is missing", () => {
  expect(() => requireMessage(null, "volume_capability")).toThrow(badArgument("volume_capability"));
  expect(() => requireList([], "volume_capabilities")).toThrow(badArgument("volume_capabilities"));
  expect(requireList([1], "x")).toEqual([1]);
});

test("`checkMap` holds the specification's 4 KiB", () => {
  expect(checkMap(undefined, "parameters")).toEqual({});
  expect(checkMap({ a: "x".repeat(4095) }, "parameters")).toHaveProperty("a");
  expect(() => checkMap({ a: "x".repeat(4096) }, "parameters")).toThrow(badArgument("parameters"));
});

test("`checkBytes` refuses what is negative or not exact", () => {
  expect(checkBytes(undefined, "required_bytes")).toBe(0);
  expect(checkBytes(2 ** 53 - 1, "required_bytes")).toBe(2 ** 53 - 1);
  expect(() => checkBytes(-1, "required_bytes")).toThrow(badArgument("required_bytes"));
  expect(() => checkBytes(2 ** 60, "required_bytes")).toThrow(expect.objectContaining({ fault: "range" }));
});
