import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { defaultCacheDir, defaultCacheSize, mountId } from "#cli/cache-folder.ts";

test("`defaultCacheDir` is the system's for root and the user's own else", () => {
  expect(defaultCacheDir(0, { XDG_CACHE_HOME: "/x" }, "/root")).toBe("/var/cache/bucketmount");
  expect(defaultCacheDir(1000, {}, "/home/u")).toBe("/home/u/.cache/bucketmount");
  expect(defaultCacheDir(1000, { XDG_CACHE_HOME: "/x" }, "/home/u")).toBe("/x/bucketmount");
});

describe("mountId", () => {
  const MOUNT = { endpoint: "http://s3", bucket: "b", prefix: "p/", mountPoint: "/m" };

  test("`mountId` is the same when the mount is", () => {
    expect(mountId(MOUNT)).toBe(mountId({ ...MOUNT }));
    expect(mountId(MOUNT)).toMatch(/^[0-9a-f]{16}$/);
  });

  test("`mountId` differs when one part does, or a letter moves from one part to the next", () => {
    const others = [{ endpoint: "http://s4" }, { bucket: "c" }, { prefix: "q/" }, { mountPoint: "/n" }, { bucket: "bp", prefix: "/" }];
    const ids = [MOUNT, ...others.map((other) => ({ ...MOUNT, ...other }))].map(mountId);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

test("`defaultCacheSize` is at most 20 GiB and half of what is free, when the folder is not there yet too", async () => {
  const { bavail, bsize } = await statfs(tmpdir());
  const size = await defaultCacheSize(join(tmpdir(), "not", "there", "yet"));
  expect(size).toBeLessThanOrEqual(20 * 2 ** 30);
  // Others write to this disk meanwhile.
  expect(size).toBeLessThanOrEqual(bavail * bsize * 0.75);
  expect(size).toBeGreaterThan(0);
});
