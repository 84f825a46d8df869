/**
 * Reads one large object cold and sequentially from a local S3 server, in three ways: bare ranged GETs through undici (what the
 * machine can do), the object store's own GETs, and a `ContentReader` read as the kernel reads (1 MiB requests, several at once), first
 * from the bucket and then from the disk.
 *
 * Run: node -C source test/bench/read.ts [MEBIBYTES] [minio|versitygw|s3rver]
 */
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import aws4 from "aws4";
import { Agent, request } from "undici";
import type { ContentId } from "#fuse/cache/content-cache.ts";
import { createDiskContentCache } from "#fuse/cache/disk-cache.ts";
import type { ContentReader, ContentReaders } from "#fuse/read/content-reader.ts";
import { createContentReaders } from "#fuse/read/content-readers.ts";
import { createBucketAdmin, createObjectStore, type S3ObjectStore, type StoreConfig } from "#s3/index.ts";
import { type S3Server, type ServerKind, startServer } from "../support/s3-servers.ts";

const MIB = 1024 * 1024;
const PART = 8 * MIB;
const BUCKET = "bench";
const KEY = "large";
const ROUNDS = 6;

/** Does `work` for all positions 0, step, ... with so many at once. */
async function spread(size: number, step: number, atOnce: number, work: (at: number) => Promise<number>): Promise<void> {
  let next = 0;
  let bytes = 0;
  const worker = async () => {
    while (next < size) {
      const at = next;
      next += step;
      const count = await work(at);
      bytes += count;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  if (bytes !== size) throw new Error(`${bytes} of ${size} bytes`);
}

interface Case {
  readonly name: string;
  /** Not measured, nor is the round's `end`. */
  prepare(): Promise<Round> | Round;
}

/**
 * The median rate of each case, MiB/s. The cases take turns, so that whatever else the machine does meets all of them; the first
 * turn warms up and does not count.
 */
async function measure(cases: readonly Case[], size: number): Promise<number[]> {
  const rates = cases.map((): number[] => []);
  const cpuMs = cases.map(() => 0);
  for (let round = 0; round <= ROUNDS; round++) {
    const order = [...cases.entries()];
    // A case that writes a lot costs the one after it, so each has two neighbours.
    for (const [i, { prepare }] of round % 2 === 0 ? order : order.reverse()) {
      const { run, end } = await prepare();
      const cpu = process.cpuUsage();
      const start = performance.now();
      await run();
      const seconds = (performance.now() - start) / 1000;
      const used = process.cpuUsage(cpu);
      await end?.();
      if (round === 0) continue;
      rates[i]?.push(size / MIB / seconds);
      cpuMs[i] = (cpuMs[i] ?? 0) + (used.user + used.system) / 1000 / ROUNDS;
    }
  }
  return cases.map(({ name }, i) => {
    const sorted = (rates[i] ?? []).sort((x, y) => x - y).map(Math.round);
    const median = sorted[ROUNDS >> 1] ?? 0;
    console.log(
      `${name.padEnd(44)} ${String(median).padStart(6)} MiB/s (${sorted[0]} to ${sorted.at(-1)}), CPU ${cpuMs[i]?.toFixed(0)} ms`,
    );
    return median;
  });
}

interface Round {
  readonly run: () => Promise<void>;
  readonly end?: () => Promise<void>;
}

function bareGets(server: S3Server, size: number, atOnce: number): () => Promise<void> {
  const agent = new Agent({ connections: atOnce });
  const { host } = new URL(server.endpoint);
  return () =>
    spread(size, PART, atOnce, async (at) => {
      const range = `bytes=${at}-${Math.min(size, at + PART) - 1}`;
      const path = `/${BUCKET}/${KEY}`;
      const unsigned = {
        service: "s3",
        region: server.region,
        method: "GET",
        path,
        headers: { host, range, "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
      };
      const { headers } = aws4.sign(unsigned, server);
      const { body } = await request(`${server.endpoint}${path}`, { dispatcher: agent, headers });
      let bytes = 0;
      for await (const chunk of body) bytes += (chunk as Uint8Array).length;
      return bytes;
    });
}

function storeGets(store: S3ObjectStore, size: number, atOnce: number): () => Promise<void> {
  return () =>
    spread(size, PART, atOnce, async (at) => {
      const body = await store.get(KEY, { range: { start: at, end: Math.min(size, at + PART) } });
      let bytes = 0;
      for await (const chunk of body.stream) bytes += chunk.length;
      return bytes;
    });
}

async function uploadObject(store: S3ObjectStore, size: number): Promise<ContentId> {
  const upload = await store.beginUpload(KEY);
  const part = Buffer.alloc(PART, "0123456789abcdef");
  const parts = [];
  for (let at = 0; at < size; at += PART)
    parts.push(await store.uploadPart(upload, at / PART + 1, part.subarray(0, Math.min(PART, size - at))));
  const { etag } = await store.completeUpload(upload, parts);
  return { key: KEY, etag, size };
}

async function main(): Promise<void> {
  const size = Number(process.argv[2] ?? 512) * MIB;
  const server = await startServer((process.argv[3] ?? "minio") as ServerKind);
  const dir = await mkdtemp(join(tmpdir(), "bench-read-"));
  try {
    const { accessKeyId, secretAccessKey, endpoint, region } = server;
    const config: StoreConfig = {
      bucket: BUCKET,
      endpoint,
      region,
      prefix: "",
      credentials: { kind: "static", accessKeyId, secretAccessKey },
    };
    await createBucketAdmin({ endpoint, region, credentials: server }).createBucket(BUCKET);
    const store = createObjectStore(config);
    const id = await uploadObject(store, size);
    await compare(server, store, id, dir);
    await store.close();
  } finally {
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function compare(server: S3Server, store: S3ObjectStore, id: ContentId, dir: string): Promise<void> {
  const { size } = id;
  const warmDir = join(dir, "warm");
  const filled = openReaders(store, warmDir, 4 * size);
  await readAll(filled.readers.open(id), 4);
  await filled.close();
  const warm = openReaders(store, warmDir, 4 * size);
  const cases: Case[] = [
    { name: "bare undici GETs of 8 MiB, 8 at once", prepare: () => ({ run: bareGets(server, size, 8) }) },
    { name: "ObjectStore.get of 8 MiB, 8 at once", prepare: () => ({ run: storeGets(store, size, 8) }) },
    { name: "ContentReader cold, 1 MiB reads, 4 at once", prepare: () => coldRound(store, id, dir, 4 * size) },
    { name: "the same, nothing kept on the disk", prepare: () => coldRound(store, id, dir, 0) },
    { name: "ContentReader warm, 1 MiB reads, 4 at once", prepare: () => ({ run: () => readAll(warm.readers.open(id), 4) }) },
  ];
  const [bare = 0, gets = 0, cold = 0] = await measure(cases, size);
  await warm.close();
  const rss = (process.memoryUsage().rss / MIB).toFixed(0);
  console.log(`cold / bare: ${(cold / bare).toFixed(2)}, cold / ObjectStore: ${(cold / gets).toFixed(2)}; RSS ${rss} MiB`);
}

/** A cache of its own: what an earlier round left could answer otherwise. */
async function coldRound(store: S3ObjectStore, id: ContentId, dir: string, limitBytes: number): Promise<Round> {
  const coldDir = await mkdtemp(join(dir, "cold-"));
  const { readers, close } = openReaders(store, coldDir, limitBytes);
  const before = store.stats().receivedBytes;
  return {
    run: () => readAll(readers.open(id), 4),
    async end() {
      await close();
      const fetched = store.stats().receivedBytes - before;
      if (fetched !== id.size) throw new Error(`not a cold read: ${fetched} of ${id.size} bytes were fetched`);
      rmSync(coldDir, { recursive: true });
    },
  };
}

function openReaders(store: S3ObjectStore, dir: string, limitBytes: number): { readers: ContentReaders; close: () => Promise<void> } {
  const cache = createDiskContentCache({ dir, limitBytes });
  const readers = createContentReaders({ store, cache });
  return {
    readers,
    async close() {
      await readers.close();
      await cache.close();
    },
  };
}

async function readAll(reader: ContentReader, atOnce: number): Promise<void> {
  await spread(reader.id.size, MIB, atOnce, async (at) => (await reader.read(at, MIB)).reduce((sum, piece) => sum + piece.length, 0));
  reader.close();
}

await main();
