/** The bucket as any other S3 client sees it: through AWS's SDK, past all of our own code. */
import { ListBucketsCommand, ListObjectsV2Command, paginateListObjectsV2, type S3Client } from "@aws-sdk/client-s3";
import type { S3Server } from "../../test/support/s3-servers.ts";
import { createSdkClient } from "../../test/support/sdk-client.ts";

export interface BucketView {
  buckets(): Promise<string[]>;
  /** The first keys with their sizes. */
  sample(bucket: string, count: number): Promise<{ key: string; size: number }[]>;
  /** Every key. */
  keys(bucket: string): AsyncIterable<string>;
  close(): void;
}

export function viewBuckets(s3: S3Server): BucketView {
  const client = createSdkClient(s3);
  return {
    buckets: async () => ((await client.send(new ListBucketsCommand({}))).Buckets ?? []).map(({ Name }) => Name ?? ""),
    sample: async (Bucket, MaxKeys) => {
      const { Contents } = await client.send(new ListObjectsV2Command({ Bucket, MaxKeys }));
      return (Contents ?? []).map(({ Key = "", Size = 0 }) => ({ key: Key, size: Size }));
    },
    keys: (Bucket) => allKeys(client, Bucket),
    close: () => client.destroy(),
  };
}

async function* allKeys(client: S3Client, Bucket: string): AsyncIterable<string> {
  for await (const page of paginateListObjectsV2({ client }, { Bucket })) yield* (page.Contents ?? []).map(({ Key }) => Key ?? "");
}
