/**
 * The command line as users have it: real processes, real mounts, a real S3 server. All of a test's processes carry its folder as a
 * mark in their environment, so that "nothing is left" can be asked.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import type { MountStatus } from "#cli/mount-status.ts";
import { pollUntil } from "#node/deadline.ts";
import { processesOf } from "../../scripts/demo/program.ts";
import { endProcess } from "./end-process.ts";
import { isMounted } from "./mounted-bucket.ts";
import { availableServers, type S3Server, startServer } from "./s3-servers.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const PROGRAMS = {
  source: ["-C", "source", join(ROOT, "src/cli/main.ts")],
  built: [join(ROOT, "dist/cli/main.js")],
} as const;
type Form = keyof typeof PROGRAMS;

/** Slow machines must not fail a test: nothing here takes seconds where nothing is wrong. */
export const LONG_MS = 60_000;
const IDLE_BYTES = 120 * 2 ** 20;
export const BUCKET = "command-line";

export let server: S3Server;
let client: S3Client;
/** A folder of each test alone, without symbolic links. */
export let home: string;
/** An empty directory there. */
export let mnt: string;

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function environment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("AWS_"));
  return {
    ...Object.fromEntries(inherited),
    ...{ AWS_ACCESS_KEY_ID: server.accessKeyId, AWS_SECRET_ACCESS_KEY: server.secretAccessKey, BUCKETMOUNT_CLUSTER: home, HOME: home },
    ...extra,
  };
}

/** Runs one command to its end. */
export async function run(
  args: readonly string[],
  { form = "built", env = {} }: { form?: Form; env?: NodeJS.ProcessEnv } = {},
): Promise<Result> {
  return resultOf(spawn(process.execPath, [...PROGRAMS[form], ...args], { env: environment(env), stdio: ["ignore", "pipe", "pipe"] }));
}

export function resultOf(child: ChildProcess): Promise<Result> {
  const said = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk: Buffer) => {
    said.stdout += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    said.stderr += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve({ code, ...said }));
  });
}

export function mountArguments(source = `s3://${BUCKET}`): string[] {
  return ["mount", source, mnt, "--endpoint", server.endpoint, "--cache-dir", join(home, "cache")];
}

export async function mount(more: readonly string[] = [], form: Form = "built"): Promise<void> {
  expect(await run([...mountArguments(), ...more], { form })).toEqual({ code: 0, stdout: "", stderr: "" });
}

export async function statusOf(form: Form = "built"): Promise<MountStatus> {
  const { stdout, code, stderr } = await run(["status", mnt, "--json"], { form });
  expect([code, stderr]).toEqual([0, ""]);
  const all = JSON.parse(stdout) as MountStatus[];
  expect(all).toHaveLength(1);
  return all[0]!;
}

export async function keys(): Promise<string[]> {
  const { Contents } = await client.send(new ListObjectsV2Command({ Bucket: BUCKET }));
  return (Contents ?? []).map(({ Key }) => Key ?? "");
}

export async function expectSmall(name: string, pid: number | undefined): Promise<void> {
  const rss = Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
  console.log(`memory of the ${name}: ${(rss / 2 ** 20).toFixed(1)} MiB RSS`);
  expect(rss).toBeLessThan(IDLE_BYTES);
}

/** No mount and no process; the processes may still be on their last lines. */
export async function expectNothingLeft(): Promise<void> {
  await pollUntil(LONG_MS, 20, () => processesOf(home).length === 0);
  expect(processesOf(home)).toEqual([]);
  expect(await isMounted(mnt)).toBe(false);
  const entries = await readdir("/run/bucketmount").catch(() => []);
  const texts = await Promise.all(entries.map((name) => readFile(join("/run/bucketmount", name), "utf8").catch(() => "")));
  expect(texts.filter((text) => text.includes(mnt))).toEqual([]);
}

/** For the top of a `describe`: starts the server and builds the program once, and makes the folders for each test. */
export function useCommandLine(): void {
  beforeAll(async () => {
    const kind = availableServers().includes("versitygw") ? "versitygw" : "s3rver";
    if (kind !== "versitygw") console.warn("versitygw is not installed: the command line is tested on s3rver");
    server = await startServer(kind);
    const credentials = { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey };
    client = new S3Client({ endpoint: server.endpoint, region: server.region, forcePathStyle: true, credentials });
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    // Type errors are the business of `npm run check`: what was emitted is tested all the same.
    spawnSync(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", join(ROOT, "tsconfig.build.json")]);
  });
  afterAll(async () => {
    client.destroy();
    await server.stop();
  });

  beforeEach(async () => {
    home = await realpath(await mkdtemp(join(tmpdir(), "bucketmount-cli-")));
    mnt = join(home, "mnt");
    await mkdir(mnt);
  });
  afterEach(async () => {
    if (await isMounted(mnt)) execFileSync("umount", ["-l", mnt]);
    for (const pid of processesOf(home)) endProcess(pid);
    await rm(home, { recursive: true });
  });
}
