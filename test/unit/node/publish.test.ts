import { expect, test } from "vitest";
import type { MountCapability } from "#csi/capabilities.ts";
import { bindFlags, isSingle } from "#node/publish.ts";

const WRITERS: MountCapability = { mode: "MULTI_NODE_MULTI_WRITER", readOnly: false, mountFlags: [] };

test("`bindFlags` refuses set-id bits and devices unless a flag allows them", () => {
  expect(bindFlags(WRITERS, false)).toEqual({ readOnly: false, noSuid: true, noDev: true, noExec: false });
  expect(bindFlags({ ...WRITERS, mountFlags: ["suid,noexec"] }, false)).toMatchObject({ noSuid: false, noDev: true, noExec: true });
});

test("`bindFlags` is read-only when the request, the mode or a flag says so", () => {
  expect(bindFlags(WRITERS, true).readOnly).toBe(true);
  expect(bindFlags({ ...WRITERS, readOnly: true }, false).readOnly).toBe(true);
  expect(bindFlags({ ...WRITERS, mountFlags: ["ro"] }, false).readOnly).toBe(true);
  expect(bindFlags({ ...WRITERS, mountFlags: ["rw"] }, true).readOnly).toBe(true);
});

test("`isSingle` is true for the one mode that allows one target", () => {
  expect(isSingle({ ...WRITERS, mode: "SINGLE_NODE_SINGLE_WRITER" })).toBe(true);
  expect(isSingle({ ...WRITERS, mode: "SINGLE_NODE_WRITER" })).toBe(false);
});
