/**
 * The public face of `s3`: the one folder that talks to S3.
 *
 * Two ways lead there. Objects (get, put, head, list, copy, delete, parts) go through `ObjectStore`: our own client on undici,
 * because the file system's cost is the cost of these calls (`test/bench/s3-client.ts`, against MinIO, CPU each: HEAD 0.13 ms
 * beside the SDK's 0.83, GET of 4 KiB 0.14 and 0.74, PUT of 4 KiB 0.24 and 0.76, GET of 8 MiB 7.7 and 16, PUT of 8 MiB 10 and 21). Buckets
 * (create, versions, tags, uploads) go through `BucketAdmin` on the AWS SDK, which is loaded only by who makes one.
 */
import { createCredentialProvider } from "./credentials.ts";
import { type ProbeOptions, probeStore, type StoreAbilities } from "./probe.ts";
import { S3ObjectStore, type S3StoreConfig } from "./s3-object-store.ts";
import type { StoreConfig } from "./store-config.ts";

export { createBucketAdmin } from "./buckets.ts";
export { environmentCredentials } from "./credentials.ts";
export type { RequestWatch } from "./http.ts";
export { readPasswdFile } from "./passwd-file.ts";
export { createStorePing } from "./ping.ts";
export { probeStore, type StoreAbilities } from "./probe.ts";
export { S3ObjectStore } from "./s3-object-store.ts";
export type { StoreConfig } from "./store-config.ts";

/** What has a default and is not part of a volume's configuration. */
export type StoreTuning = Omit<
  Partial<S3StoreConfig>,
  "bucket" | "endpoint" | "region" | "pathStyle" | "caBundle" | "proxy" | "credentials"
>;

/** Opens the store of a bucket. Nothing is sent yet. Throws `bad_argument` for a wrong endpoint, bucket name or CA bundle. */
export function createObjectStore(config: StoreConfig, tuning: StoreTuning = {}): S3ObjectStore {
  const { bucket, endpoint, region, pathStyle, caBundle, proxy } = config;
  return new S3ObjectStore({
    ...tuning,
    bucket,
    endpoint,
    region,
    pathStyle,
    caBundle,
    proxy,
    credentials: createCredentialProvider(config.credentials),
  });
}

/**
 * Probes a store under its prefix, and switches metadata in lists on where it works. The error of a wrong bucket, endpoint or
 * key comes from here: a LIST first, whose refusal has a body that says what is wrong, which a HEAD's has not.
 */
export async function probeObjectStore(store: S3ObjectStore, prefix: string, options: ProbeOptions = {}): Promise<StoreAbilities> {
  await checkAccess(store, prefix, options);
  const abilities = await probeStore(store, prefix, { ...options, listWithMetadata: (query, call) => store.listWithMetadata(query, call) });
  store.listMetadata = abilities.listMetadata;
  return abilities;
}

/** One small LIST: fails with what is wrong with bucket, endpoint, region or credentials. */
export async function checkAccess(store: S3ObjectStore, prefix: string, options: ProbeOptions = {}): Promise<void> {
  const { signal, deadlineMs } = options;
  await store.list({ prefix, maxKeys: 1 }, { signal, deadlineMs });
}

/**
 * Goes on as `config` says in credentials, CA bundle and proxy, after one small LIST has shown that the store takes them. Throws that
 * LIST's fault: then everything is as before.
 */
export async function renewAccess(store: S3ObjectStore, config: StoreConfig, options: ProbeOptions = {}): Promise<void> {
  const trial = createObjectStore(config);
  try {
    await checkAccess(trial, config.prefix, options);
  } finally {
    await trial.close();
  }
  store.renewAccess({ ...config, credentials: createCredentialProvider(config.credentials) });
}
