// One bucket, two file systems: what one writes, the other sees the same.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyTree, listTree } from "../../scripts/demo/tree.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { hasCommand, type MountedBucket, mountOurs, mountS3fs } from "../support/mounted-bucket.ts";
import { availableServers, type S3Server, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";
import { describeTree, makeSampleTree } from "./sample-tree.ts";

const KIND = availableServers().find((kind) => kind !== "s3rver");
const missing = !hasCommand("s3fs") ? "s3fs (apt-get install s3fs)" : KIND === undefined ? "versitygw or minio" : undefined;
if (missing !== undefined) console.warn(`SKIPPED s3fs interoperability: ${missing} is not installed`);

type Mount = (server: S3Server, bucket: string) => Promise<MountedBucket>;

describe.skipIf(missing !== undefined || skipMounts("s3fs interoperability"))("one bucket through both file systems", () => {
  let server: S3Server;
  let source: string;
  beforeAll(async () => {
    server = await startServer(KIND ?? "versitygw");
    source = mkdtempSync(join(tmpdir(), "interop-"));
    makeSampleTree(join(source, "tree"));
  });
  afterAll(async () => {
    rmSync(source, { recursive: true, force: true });
    await server.stop();
  });

  async function through(write: Mount, read: Mount, bucket: string): Promise<string[]> {
    const client = createSdkClient(server);
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    client.destroy();
    const writer = await write(server, bucket);
    try {
      await copyTree(join(source, "tree"), writer.path, await listTree(join(source, "tree")), 1, () => undefined);
    } finally {
      await writer.unmount();
    }
    const reader = await read(server, bucket);
    try {
      return await describeTree(reader.path);
    } finally {
      await reader.unmount();
    }
  }

  it("`s3fs` sees the names, sizes, modes, owners, times and link targets that we wrote", async () => {
    expect(await through(mountOurs, mountS3fs, "ours-to-s3fs")).toEqual(await describeTree(join(source, "tree")));
  });

  it("`bucketmount mount` sees the names, sizes, modes, owners, times and link targets that s3fs wrote", async () => {
    expect(await through(mountS3fs, mountOurs, "s3fs-to-ours")).toEqual(await describeTree(join(source, "tree")));
  });

  it("`bucketmount mount` keeps all of it through a mount of its own", async () => {
    expect(await through(mountOurs, mountOurs, "ours-to-ours")).toEqual(await describeTree(join(source, "tree")));
  });
});
