import { describe, expect, test } from "vitest";
import { mountArguments } from "#cli/mount-helper.ts";
import { UsageError } from "#cli/usage-error.ts";

describe("mountArguments", () => {
  test("`mountArguments` gives the arguments of `mount` when mount(8) comes from an fstab line", () => {
    expect(mountArguments(["s3://b/p", "/mnt/x", "-o", "rw,_netdev,allow_other"])).toEqual([
      ...["mount", "-o", "rw,_netdev,allow_other", "--", "s3://b/p", "/mnt/x"],
    ]);
  });

  test("`mountArguments` understands every option of mount(8)'s when they come in any order and bundled", () => {
    expect(mountArguments(["-sfn", "-v", "-t", "bucketmount", "s3://b", "-o", "ro", "/x"])).toEqual([
      ...["mount", "--sloppy", "--fake", "-o", "ro", "--", "s3://b", "/x"],
    ]);
  });

  test.each([[["s3://b"]], [["s3://b", "/x", "/y"]], [["s3://b", "/x", "-q"]], [[]]])("`mountArguments` refuses %j", (args) => {
    expect(() => mountArguments(args)).toThrow(UsageError);
  });

  test("`mountArguments` asks for help and version when it is asked for them", () => {
    expect([mountArguments(["--help"]), mountArguments(["-V"])]).toEqual([["mount", "--help"], ["version"]]);
  });
});
