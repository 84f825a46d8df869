import { mkdir, mkdtemp, readdir, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isFault } from "#core/errors.ts";
import { canonicalPath, makeDirectory, removeDirectory, requireDirectory } from "#node/target-path.ts";

let dir: string;
beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), "bucketmount-paths-")));
});
afterEach(() => rm(dir, { recursive: true }));

test("`canonicalPath` resolves links on the way, and leaves the last part and what is missing", async () => {
  await mkdir(join(dir, "real"));
  await symlink(join(dir, "real"), join(dir, "link"));
  expect(await canonicalPath(`${dir}//link/pod/mount/`)).toBe(join(dir, "real", "pod", "mount"));
  expect(await canonicalPath(join(dir, "link"))).toBe(join(dir, "link"));
  expect(await canonicalPath("/")).toBe("/");
});

test("`canonicalPath` says so when a part of the way is a file", async () => {
  await writeFile(join(dir, "file"), "");
  const error = await canonicalPath(join(dir, "file", "x", "y")).catch((thrown: unknown) => thrown);
  expect(isFault(error, "precondition") && error.message).toMatch(/not a directory/);
});

test("`makeDirectory` makes what leads there, and takes back what it made and no more", async () => {
  await mkdir(join(dir, "pods"));
  const undo = await makeDirectory(join(dir, "pods", "one", "volumes", "mount"));
  await undo();
  expect(await readdir(dir)).toEqual(["pods"]);
  const keep = await makeDirectory(join(dir, "pods", "one", "volumes", "mount"));
  await writeFile(join(dir, "pods", "one", "file"), "");
  await keep();
  expect(await readdir(join(dir, "pods", "one"))).toEqual(["file"]);
  await (await makeDirectory(join(dir, "pods")))();
  expect(await readdir(dir)).toEqual(["pods"]);
});

test("`requireDirectory` and `makeDirectory` refuse files and name them", async () => {
  await writeFile(join(dir, "file"), "");
  await expect(requireDirectory(join(dir, "file"), "staging_target_path")).rejects.toThrow(
    /^staging_target_path ".*file" is not a directory$/,
  );
  await expect(requireDirectory(join(dir, "missing"), "staging_target_path")).rejects.toThrow(/missing": does not exist$/);
  await expect(makeDirectory(join(dir, "file"))).rejects.toThrow(/file/);
});

test("`removeDirectory` removes an empty directory, none at all, and nothing else", async () => {
  await mkdir(join(dir, "empty"));
  await removeDirectory(join(dir, "empty"));
  await removeDirectory(join(dir, "empty"));
  await removeDirectory(join(dir, "empty", "below"));
  await mkdir(join(dir, "full", "sub"), { recursive: true });
  await expect(removeDirectory(join(dir, "full"))).rejects.toThrow(/holds local files and is left as it is/);
  await writeFile(join(dir, "file"), "");
  await expect(removeDirectory(join(dir, "file"))).rejects.toThrow(/file/);
  expect((await readdir(dir)).toSorted()).toEqual(["file", "full"]);
});
