/** The S3 server of the cluster: versitygw with versioning, as one more daemon of the node. It keeps its objects in the work folder. */
import { mkdir, writeFile } from "node:fs/promises";
import { Agent } from "node:http";
import { join } from "node:path";
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListBucketsCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from "@aws-sdk/client-s3";
import { findBinary } from "../support/s3-servers.ts";
import { type Cluster, NODE_ADDRESS } from "./cluster.ts";
import { until } from "./until.ts";

const NAME = "versitygw";
const PORT = 9000;
export const STORE_ENDPOINT = `http://${NODE_ADDRESS}:${PORT}`;
export const STORE_KEYS = { accessKeyId: "clusteraccess", secretAccessKey: "clustersecret" } as const;
const REGION = "us-east-1";

/** The tests are outside of the cluster's network: they reach the server by a socket in the work folder. */
function socketOf(cluster: Cluster): string {
  return join(cluster.work, "s3.sock");
}

/** Writes the daemon's script, as up.sh does for its own, and starts it. */
export async function startObjectStore(cluster: Cluster): Promise<void> {
  const program = findBinary(NAME);
  if (program === undefined) throw new Error(`no ${NAME}: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0`);
  const [objects, versions] = [join(cluster.work, "objects"), join(cluster.work, "versions")];
  for (const folder of [objects, versions]) await mkdir(folder, { recursive: true });
  const lines = [
    `export ROOT_ACCESS_KEY=${STORE_KEYS.accessKeyId} ROOT_SECRET_KEY=${STORE_KEYS.secretAccessKey}`,
    `exec "${program}" --port 0.0.0.0:${PORT} --port "${socketOf(cluster)}" --region ${REGION} --keep-alive --quiet \\`,
    `  posix --versioning-dir "${versions}" "${objects}"`,
  ];
  await writeFile(join(cluster.work, "svc", NAME), `${lines.join("\n")}\n`, { mode: 0o600 });
  await resumeObjectStore(cluster);
}

/** Starts it after the cluster's end, with the objects that it had. */
export async function resumeObjectStore(cluster: Cluster): Promise<void> {
  await cluster.script("svc", "start", NAME);
  const store = new StoreView(cluster);
  await until("the object store", async () => store.buckets());
  store.close();
}

/** A bucket's name that is new in a cluster that was kept from an earlier run, too. */
export function newBucketName(name: string): string {
  return `${name}-${Date.now().toString(36)}`;
}

/** Stops and continues it: whoever asks meanwhile waits. */
export async function signalObjectStore(cluster: Cluster, signal: "STOP" | "CONT"): Promise<void> {
  await cluster.shell(`kill -${signal} $(cat "${cluster.work}/run/${NAME}.pid")`);
}

/** What is in the store, by another client than ours. */
export class StoreView {
  readonly client: S3Client;

  constructor(cluster: Cluster) {
    // Node's Agent hands its options to each connection, and a socket's path is one of them.
    const agent = new Agent({ socketPath: socketOf(cluster), keepAlive: true } as object);
    this.client = new S3Client({
      ...{ endpoint: "http://localhost", region: REGION, forcePathStyle: true, credentials: STORE_KEYS },
      requestHandler: { httpAgent: agent },
    });
  }

  close(): void {
    this.client.destroy();
  }

  async buckets(): Promise<readonly string[]> {
    const { Buckets = [] } = await this.client.send(new ListBucketsCommand());
    return Buckets.map(({ Name = "" }) => Name);
  }

  async createBucket(bucket: string): Promise<void> {
    await this.client.send(new CreateBucketCommand({ Bucket: bucket }));
  }

  async keys(bucket: string, prefix = ""): Promise<readonly string[]> {
    const keys: string[] = [];
    for await (const page of paginateListObjectsV2({ client: this.client }, { Bucket: bucket, Prefix: prefix })) {
      keys.push(...(page.Contents ?? []).map(({ Key = "" }) => Key));
    }
    return keys;
  }

  /** The number of versions and delete markers in one page of at most a thousand. */
  async someVersions(bucket: string): Promise<number> {
    const { Versions = [], DeleteMarkers = [] } = await this.client.send(new ListObjectVersionsCommand({ Bucket: bucket }));
    return Versions.length + DeleteMarkers.length;
  }

  async put(bucket: string, key: string, body: string): Promise<void> {
    await this.client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }));
  }

  async remove(bucket: string, key: string): Promise<void> {
    await this.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
  }

  async get(bucket: string, key: string): Promise<string> {
    const { Body } = await this.client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    return (await Body?.transformToString()) ?? "";
  }
}
