/**
 * fsx, the file system exerciser (crate fsx 0.3): random reads, writes, mapped reads and writes, truncations, copies, fsyncs and
 * closes of one file, every byte that is read compared with what must be there. At the end the object in the bucket is compared too.
 *
 * Short runs by default. `npm run test:posix -- --full` does 1,000,000 operations on each of two seeds and each durability, of a small
 * file and of one that is far larger than the cache, and shorter runs of the other shapes and on the other server: some four hours on
 * two cores. FSX_SEED repeats a run.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, statfsSync } from "node:fs";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, GetObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { outputOf } from "../support/child-output.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { hasCommand, type MountedBucket, mountOurs } from "../support/mounted-bucket.ts";
import { availableServers, missingServers, type S3Server, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";

const FULL = process.env["POSIX_FULL"] === "1";
const INSTALLED = join(homedir(), ".cargo/bin/fsx");
const FSX = hasCommand("fsx") ? "fsx" : existsSync(INSTALLED) ? INSTALLED : undefined;
/** A full run of one shape takes a quarter of an hour on two cores. */
const RUN_MS = FULL ? 6 * 3_600_000 : 600_000;
/** fsx never unmaps what it reads through a mapping, and 65,530 mappings (vm.max_map_count) last for some 400,000 operations. */
const PROCESS_OPERATIONS = 250_000;
const FILE = "exercised";
/** An msync of a file that is passed through waits for the disk, and a sixth of the operations are such: millions run in memory. */
const MEMORY = "/dev/shm";
const MEMORY_BYTES = 4 * 2 ** 30;
if (FULL && hasRoom(MEMORY)) process.env["TMPDIR"] = MEMORY;

interface Shape {
  readonly name: string;
  readonly fileBytes: number;
  readonly operationBytes: number;
  readonly operations: { readonly short: number; readonly full: number; readonly seeds: readonly number[] };
  /** Weight of closing and opening again: where the cache holds a part of the file, that is when the rest has to be fetched. */
  readonly closes?: number;
  readonly mount: readonly string[];
}

const SHAPES: readonly Shape[] = [
  {
    name: "a small file",
    ...{ fileBytes: 256 << 10, operationBytes: 64 << 10, mount: [] },
    operations: { short: 2000, full: 1_000_000, seeds: [1, 2] },
  },
  {
    name: "a small file, every read and write through the engine",
    ...{ fileBytes: 256 << 10, operationBytes: 64 << 10, mount: ["-o", "passthrough=no"] },
    operations: { short: 2000, full: 250_000, seeds: [3] },
  },
  // Sent and given up at each close, and fetched whole at the next open.
  {
    name: "a file of 1 MiB, the cache an eighth of it",
    ...{ fileBytes: 1 << 20, operationBytes: 64 << 10, closes: 2, mount: ["--cache-size", "128Ki"] },
    operations: { short: 2000, full: 1_000_000, seeds: [8, 9] },
  },
  // Fetched as it is read, and sent whenever more is unsent than the cache may hold.
  {
    name: "a file of 5 MiB, the cache a fifth of it",
    ...{ fileBytes: 5 << 20, operationBytes: 64 << 10, closes: 2, mount: ["--cache-size", "1Mi"] },
    operations: { short: 300, full: 250_000, seeds: [10] },
  },
  {
    name: "a file of 16 MiB, the cache a quarter of it",
    ...{ fileBytes: 16 << 20, operationBytes: 1 << 20, closes: 8, mount: ["--cache-size", "4Mi"] },
    operations: { short: 200, full: 20_000, seeds: [4] },
  },
  // What did not change of them is copied inside the bucket, where the server can do that.
  {
    name: "a file of 96 MiB, the cache a third of it",
    ...{ fileBytes: 96 << 20, operationBytes: 1 << 20, closes: 8, mount: ["--cache-size", "32Mi"] },
    operations: { short: 60, full: 5_000, seeds: [5] },
  },
  {
    name: "a file of 96 MiB, all of it in the cache",
    ...{ fileBytes: 96 << 20, operationBytes: 1 << 20, closes: 8, mount: [] },
    operations: { short: 60, full: 5_000, seeds: [6] },
  },
];

/** Servers differ in what they obey, which is the same at the first and at the millionth operation: a tenth of them on the second one. */
function planOf({ operations }: Shape, isFirstServer: boolean): { operations: number; seeds: readonly number[] } {
  const given = process.env["FSX_SEED"];
  const seeds = given === undefined ? (FULL ? operations.seeds : [1]) : [Number(given)];
  if (!FULL) return { operations: operations.short, seeds };
  return { operations: isFirstServer ? operations.full : operations.full / 10, seeds };
}

if (FSX === undefined) console.warn("SKIPPED fsx: it is not installed (cargo install fsx --version 0.3)");
else if (missingServers().includes("versitygw")) console.warn("SKIPPED fsx on versitygw: it is not installed");

/** A container's /dev/shm may be small. */
function hasRoom(folder: string): boolean {
  if (!existsSync(folder)) return false;
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize > MEMORY_BYTES;
}

/** Holes are punched where the mount can: util-linux's program tells. */
function punchesHoles(folder: string): boolean {
  const path = join(folder, "probe");
  return (
    spawnSync("sh", ["-c", 'head -c 8192 /dev/urandom > "$1" && fallocate -p -o 0 -l 4096 "$1"; e=$?; rm -f "$1"; exit $e', "sh", path])
      .status === 0
  );
}

/** Of at least a byte: posix_fallocate(3) of none is EINVAL, which fsx takes for a failure, one time in 1.8 million operations. */
function configurationOf({ fileBytes, operationBytes, closes = 1 }: Shape, punchHole: boolean): string {
  const weights = {
    ...{ close_open: closes, read: 10, write: 10, mapread: 10, mapwrite: 10, invalidate: 1, truncate: 5, fsync: 0.3, fdatasync: 0.3 },
    ...{ posix_fallocate: 2, punch_hole: punchHole ? 3 : 0, sendfile: 3, posix_fadvise: 1, copy_file_range: 5 },
  };
  const lines = Object.entries(weights).map(([name, weight]) => `${name} = ${weight.toFixed(1)}`);
  return [`flen = ${fileBytes}`, "[opsize]", "min = 1", `max = ${operationBytes}`, "[weights]", ...lines, ""].join("\n");
}

/** Not spawnSync: the mount's own supervisor is another process, but vitest must be able to time out. */
async function run(file: string, args: readonly string[]): Promise<{ code: number | null; said: string }> {
  const { code, said } = await outputOf(spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] }));
  return { code, said: said.slice(-8000) };
}

async function sumOf(path: string): Promise<string> {
  const file = await open(path);
  try {
    const hash = createHash("sha256");
    for await (const chunk of file.createReadStream()) hash.update(chunk as Buffer);
    return hash.digest("hex");
  } finally {
    await file.close();
  }
}

// The real server first.
for (const [order, kind] of [...availableServers()]
  .reverse()
  .filter((name) => name === "s3rver" || name === "versitygw")
  .entries()) {
  describe.skipIf(FSX === undefined || skipMounts(`fsx on ${kind}`))(`fsx on ${kind}`, () => {
    let server: S3Server;
    let client: S3Client;
    let artifacts: string;
    let buckets = 0;
    beforeAll(async () => {
      server = await startServer(kind);
      client = createSdkClient(server);
      artifacts = await mkdtemp(join(tmpdir(), "fsx-"));
    });
    afterAll(async () => {
      client.destroy();
      await server.stop();
      await rm(artifacts, { recursive: true, force: true });
    });

    async function exercise(mounted: MountedBucket, shape: Shape, operations: number, seed: number): Promise<string> {
      const configuration = join(artifacts, "fsx.toml");
      const holes = punchesHoles(mounted.path);
      await writeFile(configuration, configurationOf(shape, holes));
      const path = join(mounted.path, FILE);
      const started = performance.now();
      for (let done = 0; done < operations; done += PROCESS_OPERATIONS) {
        const count = Math.min(PROCESS_OPERATIONS, operations - done);
        const args = ["-q", "-f", configuration, "-N", `${count}`, "-S", `${seed + done}`, "-P", artifacts, path];
        const { code, said } = await run(FSX as string, args);
        expect(code, `fsx ${args.join(" ")}\n${await readFile(configuration, "utf8")}\n${said}`).toBe(0);
      }
      const speed = Math.round(operations / ((performance.now() - started) / 1000));
      console.log(
        `fsx: ${operations} operations on ${shape.name}, seed ${seed}, ${holes ? "with" : "WITHOUT"} punched holes, ${speed} a second`,
      );
      return sumOf(path);
    }

    async function stored(bucket: string): Promise<string> {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: FILE }));
      return createHash("sha256")
        .update((await Body?.transformToByteArray()) ?? "")
        .digest("hex");
    }

    for (const durability of ["remote", "local"] as const) {
      for (const shape of SHAPES) {
        const { operations, seeds } = planOf(shape, order === 0);
        it.each(seeds)(`${shape.name}, durability=${durability}: ${operations} operations, seed %i`, { timeout: RUN_MS }, async (seed) => {
          const bucket = `fsx-${++buckets}`;
          await client.send(new CreateBucketCommand({ Bucket: bucket }));
          const mounted = await mountOurs(server, bucket, ["-o", `durability=${durability}`, ...shape.mount]);
          let seen: string;
          try {
            seen = await exercise(mounted, shape, operations, seed);
          } finally {
            await mounted.unmount();
          }
          expect(await stored(bucket)).toBe(seen);
        });
      }
    }
  });
}
