/** The AWS SDK's client for a test server: another S3 client than ours, to fill buckets and to see what is in them. */
import { S3Client } from "@aws-sdk/client-s3";
import type { S3Server } from "./s3-servers.ts";

export function createSdkClient({
  endpoint,
  region,
  accessKeyId,
  secretAccessKey,
}: Pick<S3Server, "endpoint" | "region" | "accessKeyId" | "secretAccessKey">): S3Client {
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } });
  // s3rver takes `/bucket/` for `/bucket` when it checks the signature.
  client.middlewareStack.add(
    (next) => (args) => {
      const request = args.request as { path: string };
      if (!("Key" in args.input)) request.path = request.path.replace(/(?<=[^/])\/$/, "");
      return next(args);
    },
    { step: "build", name: "withoutTrailingSlash" },
  );
  return client;
}
