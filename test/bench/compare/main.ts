// Compares us with other S3 file systems on one server: npm run bench -- [--runs N] [--server minio|versitygw] [--delay 5ms]
//   [--big-mib N] [--small-files N] [--json FILE] [NAME...]
//
// Each file system gets a bucket of its own and is mounted three times: to write, to read with an empty cache, to read at random with an
// empty cache. The table shows medians over the runs, and how many times our time the others took.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CreateBucketCommand, paginateListObjectsV2, type S3Client } from "@aws-sdk/client-s3";
import { unfitForMounts } from "../../../scripts/suites.ts";
import { availableServers, freePort, type S3Server, type ServerKind, startServer } from "../../support/s3-servers.ts";
import { createSdkClient } from "../../support/sdk-client.ts";
import { mountPeer, PEERS, type Place, whyMissing } from "./peers.ts";
import { comparisonTable, type Measurement } from "./results.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const DRAIN_SECONDS = 120;
const RENAMED_FILES = 200;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "1" },
    server: { type: "string" },
    delay: { type: "string" },
    "big-mib": { type: "string", default: "512" },
    "small-files": { type: "string", default: "1000" },
    json: { type: "string" },
  },
});

interface Bench {
  readonly server: S3Server;
  /** What the file systems talk to: the server, or the proxy that delays. */
  readonly endpoint: string;
  readonly client: S3Client;
  readonly home: string;
}

function runWork(phase: string, folder: string): { row: string; seconds?: number; error?: string }[] {
  const env = { ...process.env, BENCH_BIG_MIB: flags["big-mib"], BENCH_SMALL_FILES: flags["small-files"] };
  const { stdout } = spawnSync(process.execPath, [join(HERE, "work.ts"), phase, folder], { encoding: "utf8", env, timeout: 900_000 });
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { row: string; seconds?: number; error?: string });
}

async function listKeys(client: S3Client, Bucket: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of paginateListObjectsV2({ client }, { Bucket })) keys.push(...(page.Contents ?? []).map(({ Key }) => Key ?? ""));
  return keys;
}

/** Seconds until all files are in the bucket under their last names; undefined when they never came. */
async function drain({ client }: Bench, bucket: string): Promise<number | undefined> {
  const started = Date.now();
  const expected = Number(flags["small-files"]) + RENAMED_FILES + 1;
  while (Date.now() - started < DRAIN_SECONDS * 1000) {
    const files = (await listKeys(client, bucket)).filter((key) => !key.endsWith("/"));
    if (files.length >= expected && !files.some((key) => key.endsWith(".tmp"))) return (Date.now() - started) / 1000;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return undefined;
}

async function runPhase(bench: Bench, peer: string, place: Place, phase: string): Promise<Measurement[]> {
  mkdirSync(place.cache, { recursive: true });
  const mounted = await mountPeer(peer, place);
  const rows: Measurement[] = runWork(phase, place.mountPoint).map((row) => ({ peer, ...row }));
  if (phase === "write" && PEERS[peer]?.limited !== true) {
    const seconds = await drain(bench, place.bucket);
    rows.push(
      seconds === undefined
        ? { peer, row: "until all is in the bucket", error: "never" }
        : { peer, row: "until all is in the bucket", seconds },
    );
  }
  rows.push({ peer, row: `peak memory, MiB (${phase})`, seconds: mounted.peakMiB() });
  if (!(await mounted.unmount())) rows.push({ peer, row: `end after umount (${phase})`, error: "killed" });
  return rows;
}

async function runPeer(bench: Bench, peer: string, run: number): Promise<Measurement[]> {
  const { server, client, endpoint, home } = bench;
  const bucket = `compare-${peer}-${run}-${process.pid}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const place: Place = { ...server, bucket, endpoint, home, mountPoint: join(home, "mnt"), cache: join(home, `cache-${peer}`) };
  const results: Measurement[] = [];
  for (const phase of ["write", "cold", "rand"]) {
    rmSync(place.cache, { recursive: true, force: true });
    const rows = await runPhase(bench, peer, place, phase);
    for (const { row, seconds, error } of rows) console.log(`${peer} ${run} ${row}: ${error ?? seconds?.toFixed(3)}`);
    results.push(...rows);
  }
  return results;
}

/** Builds and starts the proxy that adds a delay each way. */
async function startDelay(server: S3Server, home: string): Promise<{ endpoint: string; process: ChildProcess } | undefined> {
  if (flags.delay === undefined) return undefined;
  const program = join(home, "delayproxy");
  if (spawnSync("go", ["build", "-o", program, join(HERE, "delayproxy.go")], { stdio: "inherit" }).status !== 0)
    throw new Error("--delay needs Go");
  const port = await freePort();
  const child = spawn(program, [`127.0.0.1:${port}`, new URL(server.endpoint).host, flags.delay], { stdio: "inherit" });
  await new Promise((resolve) => setTimeout(resolve, 300));
  return { endpoint: `http://127.0.0.1:${port}`, process: child };
}

function chooseServer(): ServerKind {
  const there = availableServers();
  const wanted = flags.server ?? (["minio", "versitygw"] as const).find((kind) => there.includes(kind));
  const found = there.find((kind) => kind === wanted);
  if (found === undefined)
    throw new Error(`no server ${wanted ?? "(minio or versitygw)"} here: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0`);
  return found;
}

function choosePeers(): string[] {
  const wanted = positionals.length > 0 ? positionals : ["ours", "s3fs", "rclone", "mountpoint", "mountpoint-cache"];
  const missing = wanted.map((name) => [name, whyMissing(name)] as const).filter(([, why]) => why !== undefined);
  for (const [name, why] of missing) console.log(`${name}: not compared, ${why}`);
  return wanted.filter((name) => !missing.some(([other]) => other === name));
}

async function main(): Promise<void> {
  const unfit = unfitForMounts();
  if (unfit !== undefined) throw new Error(`cannot mount here: ${unfit}`);
  const peers = choosePeers();
  const home = mkdtempSync(join(tmpdir(), "bucketmount-compare-"));
  mkdirSync(join(home, "mnt"));
  const server = await startServer(chooseServer());
  const client = createSdkClient(server);
  const delay = await startDelay(server, home);
  const results: Measurement[] = [];
  try {
    for (let run = 1; run <= Number(flags.runs); run += 1) {
      for (const peer of peers)
        results.push(...(await runPeer({ server, client, home, endpoint: delay?.endpoint ?? server.endpoint }, peer, run)));
    }
  } finally {
    delay?.process.kill();
    client.destroy();
    await server.stop();
    rmSync(home, { recursive: true, force: true });
  }
  const how = `${server.name}, ${flags.delay ?? "no"} delay, ${flags["big-mib"]} MiB, ${flags["small-files"]} files of 4 KiB, ${flags.runs} run(s)`;
  console.log(`\n${how}\n\n${comparisonTable(results, peers)}`);
  if (flags.json !== undefined) writeFileSync(flags.json, JSON.stringify(results, null, 2));
}

await main().catch((error: unknown) => {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
