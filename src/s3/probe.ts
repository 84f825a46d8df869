/**
 * What a store really does with conditions. Servers that do not know a condition ignore it silently, so each is tried
 * apart, on throw-away keys that are removed again.
 */
import { randomUUID } from "node:crypto";
import type { Etag } from "#core/brand.ts";
import { type Fault, isFault } from "#core/errors.ts";
import type { CallOptions, ListPage, ObjectStore } from "./object-store.ts";

/** What was found to work. A thing that could not be tried counts as not working. */
export interface StoreAbilities {
  /** PUT with If-None-Match: * refuses when something is there. */
  readonly putIfNoneMatch: boolean;
  /** PUT with If-Match refuses another ETag. */
  readonly putIfMatch: boolean;
  /** DELETE with If-Match refuses another ETag. */
  readonly deleteIfMatch: boolean;
  /** CompleteMultipartUpload with If-None-Match: * refuses when something is there. */
  readonly completeIfNoneMatch: boolean;
  /** Copy refuses when the source has another ETag. */
  readonly copySourceIfMatch: boolean;
  /** Copy with If-None-Match: * refuses when something stands at the target. */
  readonly copyIfNoneMatch: boolean;
  /** A part of an upload can be copied, and not when the source has another ETag. */
  readonly copyPartIfMatch: boolean;
  /** LIST can carry user metadata (MinIO's `metadata=true`). */
  readonly listMetadata: boolean;
}

export interface ProbeOptions extends CallOptions {
  /** A page with user metadata; without it `listMetadata` is false. */
  readonly listWithMetadata?: (query: { prefix: string }, options?: CallOptions) => Promise<ListPage>;
}

/** An ETag that no object has. */
const OTHER_ETAG = '"00000000000000000000000000000000"' as Etag;

const BODY = Buffer.from("bucketmount probes what this store can do; this object may be deleted\n");

interface Probe {
  readonly store: ObjectStore;
  /** Every key begins with it. */
  readonly base: string;
  readonly call: CallOptions;
}

/**
 * Tries each ability under `prefix` (`""` or ending in `/`), on keys `.bucketmount/probe-<random>-...` and no other.
 * Throws only what makes probing impossible: no bucket, wrong credentials, no right to write.
 */
export async function probeStore(store: ObjectStore, prefix: string, options: ProbeOptions = {}): Promise<StoreAbilities> {
  const { signal, deadlineMs, listWithMetadata } = options;
  const base = `${prefix}.bucketmount/probe-${randomUUID()}-`;
  const call = { signal, deadlineMs };
  const probe: Probe = { store, base, call };
  const keys = ["put", "delete", "complete", "copy", "list"].map((name) => base + name);
  try {
    const [putIfNoneMatch, putIfMatch] = await probePut(probe);
    const [deleteIfMatch, completeIfNoneMatch, [copySourceIfMatch, copyIfNoneMatch], copyPartIfMatch, listMetadata] = await Promise.all([
      probeDelete(probe),
      probeComplete(probe),
      probeCopy(probe),
      probeCopyPart(probe),
      listWithMetadata ? probeList(probe, listWithMetadata) : false,
    ]);
    return {
      ...{ putIfNoneMatch, putIfMatch, deleteIfMatch, completeIfNoneMatch },
      ...{ copySourceIfMatch, copyIfNoneMatch, copyPartIfMatch, listMetadata },
    };
  } finally {
    // A store that cannot delete keeps five tiny objects; that is no reason to fail.
    await Promise.allSettled(keys.map((key) => store.delete(key, { deadlineMs })));
  }
}

/** The first PUT's failure is the caller's to hear: with it nothing works. */
async function probePut({ store, base, call }: Probe): Promise<readonly [boolean, boolean]> {
  const key = `${base}put`;
  await store.put(key, BODY, call);
  return [
    await refuses(() => store.put(key, BODY, { ...call, ifNoneMatch: "*" }), "exists"),
    await refuses(() => store.put(key, BODY, { ...call, ifMatch: OTHER_ETAG }), "stale"),
  ];
}

async function probeDelete({ store, base, call }: Probe): Promise<boolean> {
  const key = `${base}delete`;
  await store.put(key, BODY, call);
  if (!(await refuses(() => store.delete(key, { ...call, ifMatch: OTHER_ETAG }), "stale"))) return false;
  return store.head(key, call).then(
    () => true,
    () => false,
  );
}

async function probeComplete({ store, base, call }: Probe): Promise<boolean> {
  const key = `${base}complete`;
  await store.put(key, BODY, call);
  const upload = await store.beginUpload(key, call).catch(() => undefined);
  if (upload === undefined) return false;
  const refused = await refuses(async () => {
    const part = await store.uploadPart(upload, 1, BODY, call);
    await store.completeUpload(upload, [part], { ...call, ifNoneMatch: "*" });
  }, "exists");
  await store.abortUpload(upload, call).catch(() => undefined);
  return refused;
}

async function probeCopy({ store, base, call }: Probe): Promise<readonly [boolean, boolean]> {
  const [source, target] = [`${base}put`, `${base}copy`];
  const sourceIfMatch = await refuses(() => store.copy(source, target, { ...call, sourceIfMatch: OTHER_ETAG }), "stale");
  await store.put(target, BODY, call);
  return [sourceIfMatch, await refuses(() => store.copy(source, target, { ...call, ifNoneMatch: "*" }), "exists")];
}

async function probeCopyPart({ store, base, call }: Probe): Promise<boolean> {
  const upload = await store.beginUpload(`${base}part`, { ...call, withCopies: true }).catch(() => undefined);
  if (upload === undefined) return false;
  const source = { key: `${base}put`, start: 0, end: BODY.length };
  const refused = await refuses(() => store.copyPart(upload, 1, { ...source, ifMatch: OTHER_ETAG }, call), "stale");
  await store.abortUpload(upload, call).catch(() => undefined);
  return refused;
}

async function probeList({ store, base, call }: Probe, list: NonNullable<ProbeOptions["listWithMetadata"]>): Promise<boolean> {
  const key = `${base}list`;
  await store.put(key, BODY, { ...call, metadata: { probe: "yes" } });
  return list({ prefix: key }, call).then(
    ({ objects: [object] }) => object?.details?.metadata.probe === "yes",
    () => false,
  );
}

/** Only this refusal proves the ability: success means ignored, and any other error means not known. */
async function refuses(act: () => Promise<unknown>, fault: Fault): Promise<boolean> {
  try {
    await act();
    return false;
  } catch (error) {
    return isFault(error, fault);
  }
}
