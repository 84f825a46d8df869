import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkMountPoint, tableName } from "#cli/mount-point.ts";
import { isFault } from "#core/errors.ts";
import type { MountRow } from "#node/mounts.ts";

let dir: string;

beforeAll(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), "mount-point-")));
  await mkdir(join(dir, "empty"));
  await mkdir(join(dir, "full"));
  await writeFile(join(dir, "full", "file"), "");
  await symlink(join(dir, "empty"), join(dir, "link"));
});
afterAll(() => rm(dir, { recursive: true }));

function row(mountPoint: string, fsType: string): MountRow {
  return { mountId: 1, parentId: 0, device: "0:1", root: "/", mountPoint, options: [], fsType, source: "s3://other", superOptions: [] };
}

describe("checkMountPoint", () => {
  const check = (name: string, rows: readonly MountRow[] = [], nonempty = false) => checkMountPoint(join(dir, name), rows, { nonempty });

  test("`checkMountPoint` answers the real path when the directory is empty", async () => {
    expect(await check("empty")).toBe(join(dir, "empty"));
    expect(await check("link")).toBe(join(dir, "empty"));
  });

  test.each([
    ["none", "not_found", "there is no such directory"],
    ["none/below", "not_found", "there is no such directory"],
    ["full/file", "not_dir", "not a directory"],
    ["full/file/below", "not_dir", "not a directory"],
    ["full", "in_use", "not empty"],
  ] as const)("`checkMountPoint` names the directory and what is wrong when it is %s", async (name, fault, words) => {
    const error = await check(name).catch((thrown: unknown) => thrown);
    expect(isFault(error, fault)).toBe(true);
    expect((error as Error).message).toContain(join(dir, name));
    expect((error as Error).message).toContain(words);
  });

  test("`checkMountPoint` takes a full directory when nonempty is given", async () => {
    expect(await check("full", [], true)).toBe(join(dir, "full"));
  });

  test("`checkMountPoint` says what is mounted already, through a symbolic link too", async () => {
    const rows = [row(join(dir, "empty"), "fuse.bucketmount")];
    await expect(check("empty", rows)).rejects.toThrow("s3://other is already mounted there");
    await expect(check("link", rows)).rejects.toThrow("s3://other is already mounted there");
  });

  test("`checkMountPoint` lets nonempty mount over others' mounts and never over ours", async () => {
    expect(await check("empty", [row(join(dir, "empty"), "ext4")], true)).toBe(join(dir, "empty"));
    await expect(check("empty", [row(join(dir, "empty"), "fuse.bucketmount")], true)).rejects.toThrow("already mounted");
  });
});

test("`tableName` does not look behind the last part of the path", async () => {
  expect(await tableName(join(dir, "link"))).toBe(join(dir, "link"));
  expect(await tableName(join(dir, "none"))).toBe(join(dir, "none"));
  expect(await tableName("/")).toBe("/");
});
