/** Tags of objects, set and read as another S3 client does. */
import { GetObjectTaggingCommand, PutObjectTaggingCommand, type S3Client } from "@aws-sdk/client-s3";

export type Tags = Readonly<Record<string, string>>;

export interface ObjectTagging {
  set(key: string, tags: Tags): Promise<void>;
  of(key: string): Promise<Tags>;
}

export function taggingWith(client: S3Client, Bucket: string): ObjectTagging {
  return {
    async set(Key, tags) {
      const TagSet = Object.entries(tags).map(([name, Value]) => ({ Key: name, Value }));
      await client.send(new PutObjectTaggingCommand({ Bucket, Key, Tagging: { TagSet } }));
    },
    async of(Key) {
      const { TagSet = [] } = await client.send(new GetObjectTaggingCommand({ Bucket, Key }));
      return Object.fromEntries(TagSet.map((tag) => [tag.Key ?? "", tag.Value ?? ""]));
    },
  };
}
