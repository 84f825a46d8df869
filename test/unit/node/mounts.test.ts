import { describe, expect, test } from "vitest";
import { isOurs, mountsOn, parseMountInfo, readMounts, topMount } from "#node/mounts.ts";

const TABLE = [
  "36 35 98:0 /root /mnt/a\\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue",
  "40 36 0:45 / /mnt/x rw,nosuid - fuse.bucketmount s3://b/with\\040blank rw,user_id=0",
  "41 40 0:46 / /mnt/x ro - tmpfs tmpfs rw",
  "not a line of that form",
  "",
].join("\n");

describe("parseMountInfo", () => {
  test("`parseMountInfo` reads fields before and after the optional ones, and leaves out what it does not understand", () => {
    expect(parseMountInfo(TABLE)).toMatchObject([
      { mountId: 36, parentId: 35, device: "98:0", root: "/root", mountPoint: "/mnt/a b", options: ["rw", "noatime"], fsType: "ext3" },
      { mountId: 40, device: "0:45", source: "s3://b/with blank", superOptions: ["rw", "user_id=0"] },
      { mountId: 41, fsType: "tmpfs" },
    ]);
  });

  test("`parseMountInfo` undoes the kernel's escapes of every byte it escapes", () => {
    const [row] = parseMountInfo("1 0 0:1 / /a\\011b\\012c\\134d rw - t s rw");
    expect(row?.mountPoint).toBe("/a\tb\nc\\d");
  });
});

test("`topMount` is the later one when two are mounted on one directory", () => {
  const rows = parseMountInfo(TABLE);
  expect(mountsOn(rows, "/mnt/x").map((row) => row.mountId)).toEqual([40, 41]);
  expect(topMount(rows, "/mnt/x")?.mountId).toBe(41);
  expect(topMount(rows, "/mnt")).toBeUndefined();
});

test("`isOurs` tells our file systems from others by their type", () => {
  expect(parseMountInfo(TABLE).map(isOurs)).toEqual([false, true, false]);
});

test("`readMounts` finds the root of this machine", async () => {
  expect(topMount(await readMounts(), "/")).toBeDefined();
});
