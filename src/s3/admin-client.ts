/** The AWS SDK's client as bucket administration uses it, made to suit servers other than AWS's. */
import { createHash } from "node:crypto";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { getCACertificates } from "node:tls";
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import type { BucketAdminConfig } from "./bucket-admin.ts";

const ATTEMPTS = 4;
/** A connection attempt that takes longer has met a dead address. */
const CONNECT_MS = 5_000;
/** One attempt; the caller's deadline bounds them all. */
const REQUEST_MS = 30_000;

/** A client of the AWS SDK for administration. `special` goes before what the configuration says. */
export function createAdminClient(sdk: typeof import("@aws-sdk/client-s3"), config: BucketAdminConfig, special: S3ClientConfig): S3Client {
  const { endpoint, caBundle, pathStyle = endpoint !== undefined, credentials } = config;
  const ca = caBundle === undefined ? {} : { ca: [...getCACertificates("default"), ...getCACertificates("system"), caBundle] };
  const agent = { keepAlive: true, proxyEnv: proxyEnvironment(config.proxy) };
  const client = new sdk.S3Client({
    ...(endpoint === undefined ? { followRegionRedirects: true } : { endpoint }),
    ...(credentials === undefined
      ? {}
      : { credentials: { ...credentials, sessionToken: credentials.sessionToken } as NonNullable<S3ClientConfig["credentials"]> }),
    ...{ forcePathStyle: pathStyle, maxAttempts: ATTEMPTS },
    // Servers other than AWS's do not all know the newer checksums.
    ...{ requestChecksumCalculation: "WHEN_REQUIRED", responseChecksumValidation: "WHEN_REQUIRED" },
    requestHandler: {
      ...{ connectionTimeout: CONNECT_MS, requestTimeout: REQUEST_MS },
      ...{ httpAgent: new HttpAgent(agent), httpsAgent: new HttpsAgent({ ...agent, ...ca }) },
    },
    ...special,
  });
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const request = args.request as HttpRequest;
      if (context.commandName === "DeleteObjectsCommand") useMd5(request);
      if (pathStyle && !("Key" in args.input)) request.path = request.path.replace(/(?<=[^/])\/$/, "");
      return next(args);
    },
    { step: "build", name: "widerCompatibility", override: true },
  );
  return client;
}

/** One proxy for everything, or the environment's. */
function proxyEnvironment(proxy: string | undefined): NodeJS.ProcessEnv {
  return proxy === undefined ? process.env : { HTTP_PROXY: proxy, HTTPS_PROXY: proxy };
}

/** The SDK's request before it is signed. */
interface HttpRequest {
  /** `/bucket/`: s3rver takes that for `/bucket` when it checks the signature. */
  path: string;
  headers: Record<string, string>;
  body: string;
}

/** DeleteObjects must carry a checksum, and MD5 is the one that every server takes. */
function useMd5(request: HttpRequest): void {
  for (const name of Object.keys(request.headers)) if (/^x-amz-(?:sdk-)?checksum-/i.test(name)) delete request.headers[name];
  request.headers["content-md5"] = createHash("md5").update(request.body).digest("base64");
}
