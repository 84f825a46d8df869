/**
 * fio with `verify`: every block carries its offset and a CRC32C, and is read back: in the pass that wrote it, and from the bucket after
 * the file system was mounted anew with nothing cached. After it the engine holds nothing that it did not hold before.
 *
 * One pass by default; `npm run test:posix -- --full` repeats them for five minutes on each kind of durability.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EngineReading, expectSettled, readEngine } from "../support/engine-holdings.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { missingCommand, type PosixMount, posixServers, runProgram, startPosixMount } from "../support/posix-mount.ts";

const FULL = process.env["POSIX_FULL"] === "1";
const RUN_MS = FULL ? 300_000 : 0;
/** A pass takes some ten seconds on two cores. */
const LIMIT_MS = RUN_MS + 900_000;

/** In all: every file is written whole, then read back and compared. What was there is written over from the second pass on. */
const COMMON = ["--verify=crc32c", "--verify_fatal=1", "--fallocate=none", "--group_reporting", "--minimal"];

const JOBS: Readonly<Record<string, readonly string[]>> = {
  // Over 32 MiB parts are sent while the file is written.
  sequential: ["--rw=write", "--bs=1M", "--size=48M", "--numjobs=2", "--end_fsync=1"],
  random: ["--rw=randwrite", "--bs=16k", "--size=16M", "--numjobs=4", "--ioengine=libaio", "--iodepth=16"],
  "blocks-of-many-sizes": ["--rw=randwrite", "--bsrange=512-60k", "--size=8M"],
  mapped: ["--rw=randwrite", "--bs=4k", "--size=8M", "--ioengine=mmap", "--numjobs=2"],
  direct: ["--rw=randwrite", "--bs=64k", "--size=32M", "--direct=1", "--ioengine=libaio", "--iodepth=16"],
  synced: ["--rw=randwrite", "--bs=8k", "--size=2M", "--fsync=16"],
};

/** Reads and writes of the same file by turns, what was written 32 blocks ago being read back at once. It leaves no file that could be verified later. */
const MIXED = ["--rw=randrw", "--bs=16k", "--size=16M", "--numjobs=4", "--ioengine=libaio", "--iodepth=8", "--verify_backlog=32"];

const missing = missingCommand(["fio"]);
if (missing !== undefined) console.warn("SKIPPED fio: it is not installed (apt-get install fio)");

let folder: string;
const fio = (name: string, job: readonly string[], ...more: string[]) =>
  runProgram(["fio", `--name=${name}`, `--directory=${folder}`, ...COMMON, ...job, ...more], { cwd: "/" });

const mounts = posixServers()
  .slice(-1)
  .flatMap((kind) => (["remote", "local"] as const).map((durability) => [kind, durability] as const));

describe.skipIf(missing !== undefined || skipMounts("fio on a mount")).each(mounts)(
  "fio on a bucket of %s with durability=%s",
  (kind, durability) => {
    let mounted: PosixMount;
    let before: EngineReading;
    /** The seed of each job's last pass, which its blocks depend on. */
    let seed = 0;
    beforeAll(async () => {
      mounted = await startPosixMount(kind, "fio", ["-o", `durability=${durability}`]);
      before = await readEngine(mounted.path);
      folder = join(mounted.path, "fio");
      await mkdir(folder);
    });
    afterAll(() => mounted?.end());

    it("every block that was written is read back", { timeout: LIMIT_MS }, async () => {
      const end = performance.now() + RUN_MS;
      do {
        seed++;
        for (const [name, job] of Object.entries(JOBS)) await fio(name, job, `--randseed=${seed}`);
        await fio("mixed", MIXED, `--randseed=${seed}`);
      } while (performance.now() < end);
      console.log(`fio: ${seed} passes of ${Object.keys(JOBS).length + 1} jobs`);
    });

    it("the engine gives back what it held", { timeout: LIMIT_MS }, async () => {
      await expectSettled(mounted.path, before);
    });

    it("every block is in the bucket: a new mount with nothing cached reads it", { timeout: LIMIT_MS }, async () => {
      mounted = await mounted.again();
      before = await readEngine(mounted.path);
      folder = join(mounted.path, "fio");
      expect((await readdir(folder)).length).toBe(15);
      for (const [name, job] of Object.entries(JOBS)) await fio(name, job, `--randseed=${seed}`, "--verify_only=1");
    });

    it("nothing is held after all files are removed", { timeout: LIMIT_MS }, async () => {
      await rm(folder, { recursive: true });
      await expectSettled(mounted.path, before);
    });
  },
);
