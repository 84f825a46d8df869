/** What stands in a bucket below a prefix, through the AWS SDK, in the words of programs/obey.py. */
import { GetObjectCommand, ListObjectsV2Command, type S3Client } from "@aws-sdk/client-s3";

export interface StoredObject {
  /** Bytes as runs: "a*2 b*1". */
  readonly content: string;
  /** Of the metadata, without the type; undefined where it says none. */
  readonly permissions: string | undefined;
}

/** Bytes as runs, as obey.py tells them. */
export function told(bytes: Uint8Array): string {
  const runs: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at] ?? 0;
    let end = at + 1;
    while (bytes[end] === byte) end++;
    runs.push(`${byte > 32 && byte < 127 ? String.fromCharCode(byte) : byte}*${end - at}`);
    at = end;
  }
  return runs.join(" ") || "nothing";
}

/** Every object below the prefix, by the rest of its key. */
export async function bucketContent(client: S3Client, bucket: string, prefix: string): Promise<Record<string, StoredObject>> {
  const keys: string[] = [];
  let token: string | undefined;
  do {
    const page = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token }));
    keys.push(...(page.Contents ?? []).map(({ Key = "" }) => Key));
    token = page.NextContinuationToken;
  } while (token !== undefined);
  const entries = keys.map(async (key) => [key.slice(prefix.length), await objectAt(client, bucket, key)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

async function objectAt(client: S3Client, bucket: string, key: string): Promise<StoredObject> {
  const { Body, Metadata = {} } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  const { mode } = Metadata;
  const permissions = mode === undefined ? undefined : (Number(mode) & 0o7777).toString(8);
  return { content: told((await Body?.transformToByteArray()) ?? new Uint8Array()), permissions };
}
