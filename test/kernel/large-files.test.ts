/**
 * Large files on a real mount and a real server: what a change of one byte and a cp(1) move, by the mount's own count of requests, and that
 * the objects are right.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFile, open, readFile, truncate } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { bucketmount, type MountedBucket, mountOurs } from "../support/mounted-bucket.ts";
import { availableServers, type S3Server, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";

const run = promisify(execFile);
const MIB = 1 << 20;
const BUCKET = "large-files";
const LONG_MS = 300_000;

const isHere = availableServers().includes("versitygw");
if (!isHere) console.warn("SKIPPED large files on versitygw: it is not installed");

describe.skipIf(!isHere || skipMounts("large files"))("large files on versitygw", () => {
  let server: S3Server;
  let client: S3Client;
  let mounted: MountedBucket;
  const at = (name: string) => join(mounted.path, name);
  const content = randomBytes(96 * MIB);

  beforeAll(async () => {
    server = await startServer("versitygw");
    client = createSdkClient(server);
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: "large", Body: content }));
    mounted = await mountOurs(server, BUCKET);
  }, LONG_MS);
  afterAll(async () => {
    await mounted?.unmount();
    client?.destroy();
    await server?.stop();
  }, LONG_MS);

  async function stored(key: string): Promise<Buffer> {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  }

  async function requests(): Promise<Record<string, number>> {
    const { stdout } = await bucketmount(["status", mounted.path, "--json"]);
    const told = JSON.parse(stdout) as { requests?: Record<string, number> } | readonly { requests: Record<string, number> }[];
    return { ...(Array.isArray(told) ? told[0] : told)?.requests };
  }

  /** How many requests of these kinds the work makes. */
  async function cost(work: () => Promise<unknown>, ...kinds: string[]): Promise<number[]> {
    const before = await requests();
    await work();
    const after = await requests();
    return kinds.map((kind) => (after[kind] ?? 0) - (before[kind] ?? 0));
  }

  /** Until it is read from there twice: what was fetched becomes a whole file of the cache behind the reader. */
  async function readToCache(name: string): Promise<void> {
    for (let times = 0; times < 2; ) {
      const [fetched = 0] = await cost(() => readFile(at(name)), "GetObject");
      times = fetched === 0 ? times + 1 : 0;
    }
  }

  async function change(offset: number, text: string): Promise<void> {
    const file = await open(at("large"), "r+");
    try {
      await file.write(text, offset);
    } finally {
      await file.close();
    }
    content.write(text, offset);
  }

  it("a change of one byte fetches and sends one part, and the bucket copies the others", { timeout: LONG_MS }, async () => {
    const kinds = ["GetObject", "UploadPart", "UploadPartCopy", "PutObject"];
    expect(await cost(() => change(20 * MIB, "X"), ...kinds)).toEqual([1, 1, 3, 0]);
    expect((await stored("large")).equals(content)).toBe(true);
    await readToCache("large");
    expect((await readFile(at("large"))).equals(content)).toBe(true);
    expect(await cost(() => change(95 * MIB + 5, "Y"), ...kinds)).toEqual([0, 1, 2, 0]);
    expect((await stored("large")).equals(content)).toBe(true);
  });

  it("an append, and a cut, move what is new of the file", { timeout: LONG_MS }, async () => {
    const kinds = ["UploadPart", "UploadPartCopy"];
    expect(await cost(() => appendFile(at("large"), "appended"), ...kinds)).toEqual([1, 2]);
    expect((await stored("large")).equals(Buffer.concat([content, Buffer.from("appended")]))).toBe(true);
    expect(await cost(() => truncate(at("large"), 90 * MIB), ...kinds)).toEqual([0, 2]);
    expect((await stored("large")).equals(content.subarray(0, 90 * MIB))).toBe(true);
  });

  it("cp(1) of a file in the cache sends nothing, and what is written to the copy stays its own", { timeout: LONG_MS }, async () => {
    await readToCache("large");
    const kinds = ["UploadPart", "UploadPartCopy", "PutObject"];
    expect(await cost(() => run("cp", ["--reflink=auto", at("large"), at("copy")]), ...kinds)).toEqual([0, 2, 0]);
    const whole = content.subarray(0, 90 * MIB);
    expect((await stored("copy")).equals(whole)).toBe(true);
    expect((await readFile(at("copy"))).equals(whole)).toBe(true);
    await appendFile(at("copy"), "more");
    expect((await stored("copy")).equals(Buffer.concat([whole, Buffer.from("more")]))).toBe(true);
    expect((await stored("large")).equals(whole)).toBe(true);
  });
});
