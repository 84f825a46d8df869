/**
 * stress-ng's stressors of file systems, each alone and many at once, and a look for what they leave behind: after all files are removed
 * the engine holds no handle, no inode but the root, no unsent file and no descriptor that it did not hold before.
 *
 * A second each, then many at once for two; `npm run test:posix -- --full` gives each eight seconds alone, and many at once five minutes in all.
 */
import { spawnSync } from "node:child_process";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EngineReading, expectSettled, readEngine } from "../support/engine-holdings.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { missingCommand, type PosixMount, posixServers, startPosixMount } from "../support/posix-mount.ts";
import { runStressors, type StressorRun } from "./stress-ng.ts";

const FULL = process.env["POSIX_FULL"] === "1";
const ALONE_S = FULL ? 8 : 1;
const TOGETHER_S = FULL ? 50 : 2;
/** All 47 at once leave a server on two cores and their disk without an answer for the minute that the mount waits. */
const AT_ONCE = 8;
/** stress-ng's processes clean up after their time, each for as long as it takes. */
const LIMIT_MS = FULL ? 3_600_000 : 1_200_000;

/** What the class has that says nothing about a file system at a path, or does something to the machine that a test must not. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  "bind-mount": "it makes bind mounts of the root folder, and nothing at the path",
  binderfs: "it mounts a binder file system",
  eventfd: "it has no file",
  fanotify: "it watches every file system of the machine",
  getdent: "it lists /, /dev, /proc, /sys and /tmp, and nothing at the path",
  io: "it calls sync(2), which is the whole machine's",
  procfs: "it reads /proc",
};

/** Of other classes, for what they do to a file. */
const OTHERS = ["aio", "readahead", "revio", "seek", "sendfile"];

/** What some of them fill a disk with, where nobody says how much. */
const SIZES = [
  ...["hdd", "iomix", "fallocate", "readahead", "sync-file"].map((name) => `--${name}-bytes=32m`),
  ...["--seek-size=16m", "--sendfile-size=4m", "--dentries=512"],
  // Portable names: versitygw lists control characters as U+FFFD, whatever encoding it is asked for, and such files cannot be found again.
  "--filename-opts=posix",
];

const missing = missingCommand(["stress-ng"]);
if (missing !== undefined) console.warn("SKIPPED stress-ng: it is not installed (apt-get install stress-ng)");

function chosen(): string[] {
  const { stdout, stderr } = spawnSync("stress-ng", ["--class", "filesystem?"], { encoding: "utf8" });
  const names = `${stdout}${stderr}`.split("stressors:")[1]?.trim().split(/\s+/) ?? [];
  expect(names.length, `stress-ng --class filesystem?\n${stdout}${stderr}`).toBeGreaterThan(20);
  for (const name of names) if (LEFT_OUT[name] !== undefined) console.log(`stress-ng ${name}: left out, ${LEFT_OUT[name]}`);
  return [...names.filter((name) => LEFT_OUT[name] === undefined), ...OTHERS];
}

function report({ name, operations, skipped }: StressorRun): void {
  console.log(skipped === undefined ? `stress-ng ${name}: ${operations} operations` : `stress-ng ${name}: skipped, ${skipped}`);
}

const ways = ["alone", "together"] as const;
/** Shortened, each way is gone once. */
const mounts = posixServers()
  .slice(-1)
  .flatMap((kind) => (["remote", "local"] as const).map((durability, i) => [kind, durability, FULL ? ways : [ways[i]]] as const));

describe.skipIf(missing !== undefined || skipMounts("stress-ng on a mount")).each(mounts)(
  "stress-ng on a bucket of %s with durability=%s",
  (kind, durability, wanted) => {
    let mounted: PosixMount;
    let before: EngineReading;
    let folder: string;
    let stressors: readonly string[];
    beforeAll(async () => {
      stressors = chosen();
      mounted = await startPosixMount(kind, "stress", ["-o", `durability=${durability}`]);
      before = await readEngine(mounted.path);
      folder = join(mounted.path, "stress");
      await mkdir(folder);
    });
    afterAll(() => mounted?.end());

    if (wanted.includes("alone"))
      it(`no stressor fails alone, for ${ALONE_S} s`, { timeout: LIMIT_MS }, async () => {
        const failures: string[] = [];
        for (const name of stressors) {
          const args = [`--${name}=2`, `--timeout=${ALONE_S}`, ...SIZES];
          const { runs, failure } = await runStressors(args, folder);
          runs.forEach(report);
          if (failure !== undefined) failures.push(failure);
        }
        expect(failures).toEqual([]);
      });

    if (wanted.includes("together"))
      it(`no stressor fails when ${AT_ONCE} run at once, for ${TOGETHER_S} s`, { timeout: LIMIT_MS }, async () => {
        const failures: string[] = [];
        for (let at = 0; at < stressors.length; at += AT_ONCE) {
          const args = [...stressors.slice(at, at + AT_ONCE).map((name) => `--${name}=1`), `--timeout=${TOGETHER_S}`, ...SIZES];
          const { runs, failure } = await runStressors(args, folder);
          runs.forEach(report);
          if (failure !== undefined) failures.push(failure);
        }
        expect(failures).toEqual([]);
      });

    it("nothing is left or held after all files are removed", { timeout: LIMIT_MS }, async () => {
      const left = await readdir(folder, { recursive: true });
      console.log(`stress-ng left ${left.length} files and directories`);
      await rm(folder, { recursive: true });
      await expectSettled(mounted.path, before);
      expect(await readdir(mounted.path)).toEqual([]);
    });
  },
);
