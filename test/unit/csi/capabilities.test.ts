import { expect, test } from "vitest";
import { ACCESS_MODES, checkCapability, refusalOf } from "#csi/capabilities.ts";
import type { AccessMode, VolumeCapability } from "#csi/messages.ts";

function mountable(mode: AccessMode | number, volumeMountGroup = ""): VolumeCapability {
  return { accessType: "mount", mount: { fsType: "", mountFlags: ["noatime"], volumeMountGroup }, accessMode: { mode } };
}

test("`checkCapability` takes RWX, ROX, RWO and RWOP, and makes reader modes read-only", () => {
  for (const mode of Object.keys(ACCESS_MODES) as AccessMode[]) {
    expect(checkCapability(mountable(mode))).toEqual({ mode, readOnly: mode.endsWith("READER_ONLY"), mountFlags: ["noatime"] });
  }
});

test("`checkCapability` hands on the group of fsGroup", () => {
  expect(checkCapability(mountable("MULTI_NODE_MULTI_WRITER", "2000"))).toMatchObject({ volumeMountGroup: "2000" });
});

test("`checkCapability` refuses a raw block volume and says what to ask for", () => {
  const block: VolumeCapability = { accessType: "block", block: {}, mount: null, accessMode: { mode: "SINGLE_NODE_WRITER" } };
  expect(() => checkCapability(block)).toThrow(
    expect.objectContaining({ fault: "bad_argument", message: expect.stringMatching(/raw block.*Filesystem/) }),
  );
});

test("`checkCapability` refuses modes that nobody would enforce or that it does not know, by name", () => {
  expect(() => checkCapability(mountable("MULTI_NODE_SINGLE_WRITER"))).toThrow(/MULTI_NODE_SINGLE_WRITER is not supported/);
  expect(() => checkCapability(mountable(99))).toThrow(/access mode 99 is not supported/);
});

test("`checkCapability` names what is missing", () => {
  expect(() => checkCapability(null, "volume_capability")).toThrow("volume_capability is missing");
  expect(() => checkCapability({ accessMode: { mode: "SINGLE_NODE_WRITER" } })).toThrow("volume_capability.mount (access_type) is missing");
  expect(() => checkCapability({ ...mountable("UNKNOWN"), accessMode: null })).toThrow("volume_capability.access_mode is missing");
  expect(() => checkCapability(mountable("UNKNOWN"))).toThrow("volume_capability.access_mode.mode is missing");
});

test("`refusalOf` gives a reason for what is well-formed and throws for what is not", () => {
  expect(refusalOf(mountable("MULTI_NODE_MULTI_WRITER"))).toBeUndefined();
  expect(refusalOf(mountable("MULTI_NODE_SINGLE_WRITER"))).toMatch(/not supported/);
  expect(() => refusalOf({ accessMode: { mode: "SINGLE_NODE_WRITER" } })).toThrow(/access_type is missing/);
});
