import { expect, test } from "vitest";
import { parseMountInfo } from "../../../../src/fuse/channel/mount.ts";

test("`parseMountInfo` reads optional fields, escapes and several mounts on one directory", () => {
  const text = [
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw",
    "43 22 0:40 / /mnt/with\\040blank\\134 rw,nosuid,nodev master:2 shared:7 - fuse.bucketmount s3://b/a\\040b rw,user_id=0",
    "44 43 0:41 /sub /mnt/with\\040blank\\134 ro - tmpfs tmpfs rw",
    "",
    "garbage",
  ].join("\n");
  const entries = parseMountInfo(text);
  expect(entries.map(({ type }) => type)).toEqual(["ext4", "fuse.bucketmount", "tmpfs"]);
  expect(entries[1]).toEqual({
    id: 43,
    parentId: 22,
    device: "0:40",
    root: "/",
    mountPoint: "/mnt/with blank\\",
    options: ["rw", "nosuid", "nodev"],
    type: "fuse.bucketmount",
    source: "s3://b/a b",
  });
  expect(entries.findLast(({ mountPoint }) => mountPoint === "/mnt/with blank\\")?.root).toBe("/sub");
});
