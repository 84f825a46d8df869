/**
 * fsx, the file system exerciser (crate fsx 0.3): random reads, writes, mapped reads and writes, truncations, copies, fsyncs and
 * closes of one file, every byte that is read compared with what must be there. At the end the object in the bucket is compared too.
 *
 * Short runs by default; `npm run test:posix -- --full` does 1,000,000 operations on each of several seeds. FSX_SEED repeats a run.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, GetObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { hasCommand, type MountedBucket, mountOurs } from "../support/mounted-bucket.ts";
import { availableServers, missingServers, type S3Server, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";

const FULL = process.env["POSIX_FULL"] === "1";
const INSTALLED = join(homedir(), ".cargo/bin/fsx");
const FSX = hasCommand("fsx") ? "fsx" : existsSync(INSTALLED) ? INSTALLED : undefined;
const SEEDS = process.env["FSX_SEED"] === undefined ? (FULL ? [1, 2, 3] : [Date.now() % 2 ** 31]) : [Number(process.env["FSX_SEED"])];
/** A full run takes half an hour on two cores. */
const RUN_MS = FULL ? 6 * 3_600_000 : 600_000;
const FILE = "exercised";

interface Shape {
  readonly name: string;
  readonly fileBytes: number;
  readonly operationBytes: number;
  readonly operations: number;
  /** Weight of closing and opening again: where the cache holds a part of the file, that is when the rest has to be fetched. */
  readonly closes?: number;
  readonly mount: readonly string[];
}

const SHAPES: readonly Shape[] = [
  { name: "a small file", fileBytes: 256 << 10, operationBytes: 64 << 10, operations: FULL ? 1_000_000 : 2000, mount: [] },
  {
    name: "a small file, every read and write through the engine",
    ...{ fileBytes: 256 << 10, operationBytes: 64 << 10, operations: FULL ? 1_000_000 : 2000, mount: ["-o", "passthrough=no"] },
  },
  {
    name: "a file of 16 MiB, the cache a quarter of it",
    ...{ fileBytes: 16 << 20, operationBytes: 1 << 20, operations: FULL ? 50_000 : 200, closes: 8, mount: ["--cache-size", "4Mi"] },
  },
];

if (FSX === undefined) console.warn("SKIPPED fsx: it is not installed (cargo install fsx --version 0.3)");
else if (missingServers().includes("versitygw")) console.warn("SKIPPED fsx on versitygw: it is not installed");

/** Holes are punched where the mount can: util-linux's program tells. */
function punchesHoles(folder: string): boolean {
  const path = join(folder, "probe");
  return (
    spawnSync("sh", ["-c", 'head -c 8192 /dev/urandom > "$1" && fallocate -p -o 0 -l 4096 "$1"; e=$?; rm -f "$1"; exit $e', "sh", path])
      .status === 0
  );
}

function configurationOf({ fileBytes, operationBytes, closes = 1 }: Shape, punchHole: boolean): string {
  const weights = {
    ...{ close_open: closes, read: 10, write: 10, mapread: 10, mapwrite: 10, invalidate: 1, truncate: 5, fsync: 0.3, fdatasync: 0.3 },
    ...{ posix_fallocate: 2, punch_hole: punchHole ? 3 : 0, sendfile: 3, posix_fadvise: 1, copy_file_range: 5 },
  };
  const lines = Object.entries(weights).map(([name, weight]) => `${name} = ${weight.toFixed(1)}`);
  return [`flen = ${fileBytes}`, "[opsize]", `max = ${operationBytes}`, "[weights]", ...lines, ""].join("\n");
}

/** Not spawnSync: the mount's own supervisor is another process, but vitest must be able to time out. */
function run(file: string, args: readonly string[]): Promise<{ code: number | null; said: string }> {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-8000);
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, said }));
  });
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

for (const kind of availableServers().filter((name) => name === "s3rver" || name === "versitygw")) {
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

    async function exercise(mounted: MountedBucket, shape: Shape, seed: number): Promise<string> {
      const configuration = join(artifacts, "fsx.toml");
      const holes = punchesHoles(mounted.path);
      await writeFile(configuration, configurationOf(shape, holes));
      const path = join(mounted.path, FILE);
      const args = ["-q", "-f", configuration, "-N", `${shape.operations}`, "-S", `${seed}`, "-P", artifacts, path];
      const { code, said } = await run(FSX as string, args);
      expect(code, `fsx ${args.join(" ")}\n${await readFile(configuration, "utf8")}\n${said}`).toBe(0);
      console.log(`fsx: ${shape.operations} operations on ${shape.name}, seed ${seed}, ${holes ? "with" : "WITHOUT"} punched holes`);
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
        it.each(SEEDS)(
          `${shape.name}, durability=${durability}: ${shape.operations} operations, seed %i`,
          { timeout: RUN_MS },
          async (seed) => {
            const bucket = `fsx-${++buckets}`;
            await client.send(new CreateBucketCommand({ Bucket: bucket }));
            const mounted = await mountOurs(server, bucket, ["-o", `durability=${durability}`, ...shape.mount]);
            let seen: string;
            try {
              seen = await exercise(mounted, shape, seed);
            } finally {
              await mounted.unmount();
            }
            expect(await stored(bucket)).toBe(seen);
          },
        );
      }
    }
  });
}
