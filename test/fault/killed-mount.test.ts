/**
 * A real mount whose engine is killed (SIGKILL) at random moments under a process that writes. Nothing that a system call acknowledged
 * may be lost: neither when a successor takes over, which the process does not notice, nor when supervisor and engine are killed
 * together and the next mount begins anew. FAULT_KILLS and FAULT_SEED change how often and what is tried.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CreateBucketCommand, GetObjectCommand, ListObjectsV2Command, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { unmount } from "#fuse/channel/mount.ts";
import { pollUntil } from "#node/deadline.ts";
import { processesOf } from "../../scripts/demo/program.ts";
import { endProcess } from "../support/end-process.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { bucketmount, isMounted } from "../support/mounted-bucket.ts";
import { availableServers, type S3Server, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";
import { type Change, type Said, sumOf } from "./acknowledging-writer.ts";

const WRITER = fileURLToPath(new URL("./acknowledging-writer.ts", import.meta.url));
const KILLS = Number(process.env["FAULT_KILLS"] ?? 4);
const SEED = Number(process.env["FAULT_SEED"] ?? Date.now() % 2 ** 31);
const LONG_MS = 120_000;
/** A kill falls at any time of this long a wait: before, in and after uploads, which begin half a second after a close. */
const LONGEST_LIFE_MS = 1500;

/** What the writer said, put together. */
class Acknowledged {
  readonly files = new Map<string, string>();
  /** Begun, and never acknowledged: may be done or not. */
  open: Change | undefined;
  changes = 0;
  readonly failures: string[] = [];

  take(said: Said): void {
    if (said.says === "begins") this.open = said;
    else if (said.says === "failed") this.failures.push(said.message);
    else if (this.open !== undefined) {
      this.#apply(this.open);
      this.open = undefined;
    }
  }

  #apply({ name, sum }: Change): void {
    this.changes += 1;
    if (sum === undefined) this.files.delete(name);
    else this.files.set(name, sum);
  }

  /** The names whose content is not what was acknowledged; `found` is by name. */
  lost(found: ReadonlyMap<string, string>): string[] {
    const names = new Set([...this.files.keys(), ...found.keys()]);
    return [...names].filter((name) => {
      const unsure = this.open;
      // An overwrite that was not acknowledged may have left any part of it, and a temporary file.
      if (unsure !== undefined && (name === unsure.name || name === `${unsure.name}.tmp`)) return false;
      return this.files.get(name) !== found.get(name);
    });
  }
}

const KIND = availableServers().find((kind) => kind === "versitygw") ?? "s3rver";

describe.skipIf(skipMounts("test/fault/killed-mount"))(`a mount on ${KIND} whose engine is killed (FAULT_SEED=${SEED})`, () => {
  let server: S3Server;
  let client: S3Client;
  let home: string;
  let mnt: string;
  let buckets = 0;
  let bucket: string;
  beforeAll(async () => {
    server = await startServer(KIND);
    client = createSdkClient(server);
  });
  afterAll(async () => {
    client.destroy();
    await server.stop();
  });
  beforeEach(async () => {
    bucket = `killed-${++buckets}`;
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    home = await mkdtemp(join(tmpdir(), "bucketmount-killed-"));
    mnt = join(home, "mnt");
    await mkdir(mnt);
  });
  afterEach(async () => {
    for (const pid of processesOf(home)) endProcess(pid);
    while (await isMounted(mnt)) await unmount(mnt, { lazy: true });
    expect(await pollUntil(LONG_MS, 20, () => processesOf(home).length === 0)).toBe(true);
    await rm(home, { recursive: true, force: true });
  });

  async function mount(durability: string): Promise<void> {
    const env = { AWS_ACCESS_KEY_ID: server.accessKeyId, AWS_SECRET_ACCESS_KEY: server.secretAccessKey, BUCKETMOUNT_CLUSTER: home };
    const where = ["--endpoint", server.endpoint, "--region", server.region, "--cache-dir", join(home, "cache")];
    const args = ["mount", `s3://${bucket}`, mnt, ...where, "-o", `durability=${durability}`];
    expect(await bucketmount(args, env)).toEqual({ code: 0, stdout: "", stderr: "" });
  }

  /** The processes of the mount: its engine, or all. */
  async function pidsOf(which: "engine" | "all"): Promise<number[]> {
    const pids = processesOf(home);
    const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
    return pids.filter((_, i) => lines[i]?.includes("main.ts\0") && (which === "all" || lines[i].endsWith("\0engine\0")));
  }

  async function kill(which: "engine" | "all"): Promise<void> {
    expect(await pollUntil(LONG_MS, 5, async () => (await pidsOf(which)).length > 0)).toBe(true);
    for (const pid of await pidsOf(which)) endProcess(pid);
  }

  function startWriter(acknowledged: Acknowledged, seed: number): ChildProcess {
    const child = spawn(process.execPath, [WRITER, mnt, `${seed}`], { stdio: ["pipe", "pipe", "inherit"] });
    createInterface(child.stdout).on("line", (line) => acknowledged.take(JSON.parse(line) as Said));
    return child;
  }

  async function stopWriter(child: ChildProcess): Promise<void> {
    const closed = once(child, "close");
    child.stdin?.end();
    await closed;
  }

  async function shown(): Promise<Map<string, string>> {
    const names = await readdir(mnt);
    return new Map(await Promise.all(names.map(async (name) => [name, sumOf(await readFile(join(mnt, name)))] as const)));
  }

  async function stored(): Promise<Map<string, string>> {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
    const keys = Contents.map(({ Key = "" }) => Key).filter((key) => !key.startsWith(".bucketmount"));
    return new Map(
      await Promise.all(
        keys.map(async (Key) => {
          const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key }));
          return [Key, sumOf((await Body?.transformToByteArray()) ?? new Uint8Array())] as const;
        }),
      ),
    );
  }

  async function conflicts(): Promise<string[]> {
    const states = await readdir(join(home, "cache"));
    return (await Promise.all(states.map((state) => readdir(join(home, "cache", state, "conflicts")).catch(() => [])))).flat();
  }

  for (const durability of ["local", "remote"] as const) {
    it(`durability=${durability}: the writer notices nothing, and all of it is in the bucket after the unmount`, {
      timeout: 5 * LONG_MS,
    }, async () => {
      await mount(durability);
      const acknowledged = new Acknowledged();
      const writer = startWriter(acknowledged, SEED);
      for (let i = 0; i < KILLS; i++) {
        const before = acknowledged.changes;
        await sleep(Math.random() * LONGEST_LIFE_MS);
        await kill("engine");
        expect(await pollUntil(LONG_MS, 10, () => acknowledged.changes > before + 3)).toBe(true);
      }
      await stopWriter(writer);
      expect(acknowledged.failures).toEqual([]);
      expect(acknowledged.lost(await shown())).toEqual([]);
      expect(await bucketmount(["umount", mnt])).toEqual({ code: 0, stdout: "", stderr: "" });
      expect(acknowledged.lost(await stored())).toEqual([]);
      expect(await conflicts()).toEqual([]);
      console.log(`durability=${durability}: ${acknowledged.changes} changes acknowledged over ${KILLS} kills`);
    });

    it(`durability=${durability}: all of it is there when supervisor and engine were killed, at the next mount`, {
      timeout: 5 * LONG_MS,
    }, async () => {
      let changes = 0;
      for (let i = 0; i < KILLS; i++) {
        await mount(durability);
        const acknowledged = new Acknowledged();
        const writer = startWriter(acknowledged, SEED + i);
        const closed = once(writer, "close");
        expect(await pollUntil(LONG_MS, 10, () => acknowledged.changes > 3)).toBe(true);
        await sleep(Math.random() * LONGEST_LIFE_MS);
        await kill("all");
        // The kernel ends its calls when nobody holds the connection any more.
        await closed;
        while (await isMounted(mnt)) await unmount(mnt, { lazy: true });
        await mount(durability);
        expect(acknowledged.lost(await shown())).toEqual([]);
        expect(acknowledged.lost(await stored())).toEqual([]);
        expect(await conflicts()).toEqual([]);
        expect(await bucketmount(["umount", mnt])).toEqual({ code: 0, stdout: "", stderr: "" });
        changes += acknowledged.changes;
      }
      console.log(`durability=${durability}: ${changes} changes acknowledged in ${KILLS} lives`);
    });
  }
});
