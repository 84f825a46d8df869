import { chmod, mkdir, mkdtemp, readdir, realpath, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { seal, unseal, unsealAbandoned } from "#node/under-mount.ts";

let home: string;
let dir: string;
/** Directories that carry the attribute. */
let immutable: Set<string>;
const attributes = {
  setImmutable: async (path: string, on: boolean) => {
    await readdir(path);
    if (on) immutable.add(path);
    else immutable.delete(path);
    return true;
  },
};
const noAttributes = { setImmutable: async () => false };
const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

beforeEach(async () => {
  home = await realpath(await mkdtemp(join(tmpdir(), "bucketmount-under-")));
  dir = join(home, "mount");
  immutable = new Set();
  await mkdir(dir, { mode: 0o750 });
});
afterEach(() => rm(home, { recursive: true }));

test("`seal` makes a directory immutable and leaves its mode; `unseal` undoes it", async () => {
  await seal(attributes, dir);
  expect(immutable).toEqual(new Set([dir]));
  expect(await modeOf(dir)).toBe(0o750);
  await unseal(attributes, dir);
  expect(immutable.size).toBe(0);
});

test("`seal` falls back to a mode that lets nobody in, and `unseal` gives back one that the kubelet can work with", async () => {
  await seal(noAttributes, dir);
  expect(await modeOf(dir)).toBe(0);
  await unseal(noAttributes, dir);
  expect(await modeOf(dir)).toBe(0o750);
  await chmod(dir, 0o700);
  await unseal(noAttributes, dir);
  expect(await modeOf(dir)).toBe(0o700);
  await rmdir(dir);
  await mkdir(dir);
});

test("`seal` says so when there is no directory; `unseal` has nothing to do then, nor for a file, nor for a mount", async () => {
  await expect(seal(attributes, join(home, "missing"))).rejects.toThrow("ENOENT");
  await unseal(attributes, join(home, "missing"));
  const touched: string[] = [];
  const recording = { setImmutable: async (path: string) => touched.push(path) > 0 };
  await writeFile(join(home, "file"), "");
  await unseal(recording, join(home, "file"));
  await unseal(recording, "/proc");
  expect(touched).toEqual([]);
});

test("`unsealAbandoned` frees what the kubelet has lost, and nothing that it still knows or that is mounted", async () => {
  const targets = await Promise.all(
    Object.entries({ known: '{"volumeHandle":"v"}', empty: "", none: undefined }).map(async ([pod, text]) => {
      const target = join(home, pod, "mount");
      await mkdir(target, { recursive: true });
      if (text !== undefined) await writeFile(join(home, pod, "vol_data.json"), text);
      await seal(attributes, target);
      return target;
    }),
  );
  expect(await unsealAbandoned(attributes, [...targets, "/proc"])).toEqual([join(home, "empty", "mount"), join(home, "none", "mount")]);
  expect(immutable).toEqual(new Set([join(home, "known", "mount")]));
});
