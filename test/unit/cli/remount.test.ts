import { describe, expect, test } from "vitest";
import { mountArguments } from "#cli/mount-helper.ts";
import { remount, remountRequest } from "#cli/remount.ts";
import { faultOf } from "../../support/kernel-user.ts";

describe("remountRequest", () => {
  test("`remountRequest` takes the kernel's flags in order, and leaves out what else mount(8) repeats of the mount", () => {
    const args = mountArguments(["s3://b", "/mnt/x", "-o", "rw,nosuid,allow_other,user_id=0,remount,ro"]);
    expect(remountRequest(args)).toEqual({ dir: "/mnt/x", flags: ["rw", "nosuid", "ro"] });
  });

  test("`remountRequest` is undefined for a mount", () => {
    expect(remountRequest(mountArguments(["s3://b", "/mnt/remount", "-o", "ro"]))).toBeUndefined();
  });
});

describe("remount", () => {
  test("`remount` says what mount(8) said when it is no mount point", async () => {
    expect(await faultOf(async () => remount({ dir: "/nothing/mounted/here", flags: ["ro"] }))).toBe("precondition");
  });
});
