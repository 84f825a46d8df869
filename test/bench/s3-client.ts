/**
 * CPU time of the client per request, the AWS SDK beside our object store, on one server in one run.
 *
 *     node -C source test/bench/s3-client.ts [minio|versitygw|s3rver]
 */
import http from "node:http";
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { createBucketAdmin, createObjectStore } from "#s3/index.ts";
import type { ObjectStore } from "#s3/object-store.ts";
import { availableServers, type S3Server, SERVER_KINDS, startServer } from "../support/s3-servers.ts";

const MIB = 1 << 20;
const IN_FLIGHT = 32;
const BUCKET = "bench";

interface Client {
  head(key: string): Promise<unknown>;
  get(key: string, start: number, end: number): Promise<number>;
  put(key: string, body: Uint8Array): Promise<unknown>;
  /** Into a buffer that is used again. */
  getInto?(key: string, start: number, end: number, into: Uint8Array): Promise<number>;
}

function sdkClient({ endpoint, region, accessKeyId, secretAccessKey }: S3Server): Client {
  const client = new S3Client({
    ...{ endpoint, region, credentials: { accessKeyId, secretAccessKey }, forcePathStyle: true },
    ...{ requestChecksumCalculation: "WHEN_REQUIRED", responseChecksumValidation: "WHEN_REQUIRED" },
    requestHandler: { httpAgent: new http.Agent({ keepAlive: true, maxSockets: 64 }) },
  });
  return {
    head: (Key) => client.send(new HeadObjectCommand({ Bucket: BUCKET, Key })),
    get: async (Key, start, end) => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key, Range: `bytes=${start}-${end - 1}` }));
      return countBytes(Body as AsyncIterable<Uint8Array>);
    },
    put: (Key, Body) => client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body })),
  };
}

function ownClient(store: ObjectStore): Client {
  return {
    head: (key) => store.head(key),
    get: async (key, start, end) => countBytes((await store.get(key, { range: { start, end } })).stream),
    put: (key, body) => store.put(key, body),
    getInto: async (key, start, end, into) => countBytes((await store.get(key, { range: { start, end }, into })).stream),
  };
}

async function countBytes(body: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const chunk of body) bytes += chunk.byteLength;
  return bytes;
}

async function measure(name: string, count: number, inFlight: number, act: (i: number) => Promise<unknown>): Promise<void> {
  const cpu = process.cpuUsage();
  const begun = performance.now();
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < count; i = next++) await act(i);
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  console.log(
    `${name.padEnd(16)} ${(count / seconds).toFixed(0).padStart(6)}/s  ${((user + system) / 1000 / count).toFixed(3)} ms CPU each`,
  );
}

async function run(server: S3Server): Promise<void> {
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  const admin = createBucketAdmin({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
  await admin.createBucket(BUCKET);
  const store = createObjectStore({
    bucket: BUCKET,
    prefix: "",
    endpoint,
    region,
    credentials: { kind: "static", accessKeyId, secretAccessKey },
  });
  const small = Buffer.alloc(4096, 1);
  await store.put("small", small);
  await store.put("big", Buffer.alloc(64 * MIB, 1));
  const clients = { sdk: sdkClient(server), own: ownClient(store) };
  // The first round warms up the machine code of both.
  for (const round of ["warm-up", "measured"]) {
    console.log(`${server.name}, ${round}:`);
    for (const [name, client] of Object.entries(clients)) {
      await measure(`${name} HEAD`, 1500, IN_FLIGHT, () => client.head("small"));
      await measure(`${name} GET 4 KiB`, 1500, IN_FLIGHT, () => client.get("small", 0, 4096));
      await measure(`${name} PUT 4 KiB`, 600, IN_FLIGHT, (i) => client.put(`${name}/${i}`, small));
      await measure(`${name} GET 8 MiB`, 32, 4, (i) => client.get("big", (i % 8) * 8 * MIB, ((i % 8) + 1) * 8 * MIB));
      const { getInto } = client;
      const buffers = Array.from({ length: 4 }, () => Buffer.alloc(8 * MIB));
      if (getInto !== undefined) {
        const lend = async (i: number) => {
          const into = buffers.pop() ?? Buffer.alloc(8 * MIB);
          await getInto("big", (i % 8) * 8 * MIB, ((i % 8) + 1) * 8 * MIB, into);
          buffers.push(into);
        };
        await measure(`${name} GET 8 MiB into`, 32, 4, lend);
      }
      await measure(`${name} PUT 8 MiB`, 16, 4, (i) => client.put(`${name}/big${i % 4}`, Buffer.alloc(8 * MIB, i)));
    }
  }
  await store.close();
  await admin.close();
}

const wanted = SERVER_KINDS.find((kind) => kind === process.argv[2]) ?? availableServers().at(-1) ?? "s3rver";
const server = await startServer(wanted);
try {
  await run(server);
} finally {
  await server.stop();
}
