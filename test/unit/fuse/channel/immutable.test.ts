import { mkdir, mkdtemp, rm, rmdir, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { setImmutable } from "#fuse/channel/immutable.ts";

let home: string;
let dir: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "bucketmount-immutable-"));
  dir = join(home, "dir");
  await mkdir(dir);
});
afterEach(async () => {
  await setImmutable(dir, false).catch(() => false);
  await rm(home, { recursive: true });
});

test("`setImmutable` keeps everybody from writing into a directory and from removing it, until it is cleared", async (context) => {
  if (!(await setImmutable(dir, true))) context.skip("needs root, and a file system with attributes");
  await expect(writeFile(join(dir, "file"), "x")).rejects.toThrow("EPERM");
  await expect(rmdir(dir)).rejects.toThrow("EPERM");
  expect(await setImmutable(dir, true)).toBe(true);
  expect(await setImmutable(dir, false)).toBe(true);
  await writeFile(join(dir, "file"), "x");
});

test("`setImmutable` says so where there is no such attribute, follows no symlink, and names what is missing", async () => {
  expect(await setImmutable("/proc/self/task", true)).toBe(false);
  await symlink(dir, join(home, "link"));
  await expect(setImmutable(join(home, "link"), true)).rejects.toThrow(/ENOTDIR|ELOOP/);
  await expect(setImmutable(join(home, "missing"), true)).rejects.toThrow("ENOENT");
});
