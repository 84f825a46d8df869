/**
 * A `BucketAdmin` in memory. By default it keeps every promise of the interface; its options make it the lesser servers that
 * exist: without versions (the call missing, or answered as if empty), without tags, without conditional writes, without settings (the
 * calls missing, refused, or taken and ignored), without storage classes.
 */
import { createHash } from "node:crypto";
import type { Etag } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import type {
  BucketAdmin,
  BucketEncryption,
  LifecycleRule,
  ObjectVersion,
  SmallObject,
  VersionDeleteFailure,
  Versioning,
} from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";

export interface MemoryBucketAdminOptions {
  /** `missing`: the calls are not there. `ignored`: a list of versions is empty whatever there is. */
  readonly versions?: "full" | "missing" | "ignored";
  readonly tags?: boolean;
  readonly conditionalWrites?: boolean;
  /** Encryption, lifecycle, public access block, policy. */
  readonly settings?: "full" | "missing" | "refused" | "ignored";
  /** Those that the store knows; any other is kept as STANDARD. */
  readonly storageClasses?: readonly string[];
  /** Items a page; S3 has 1,000. */
  readonly pageSize?: number;
  /** `fragile`: a listing that goes on after a key that is gone is empty, as versitygw's. */
  readonly markers?: "kept" | "fragile";
}

interface StoredVersion {
  readonly key: string;
  readonly versionId: string;
  /** Undefined for a delete marker. */
  readonly body: Uint8Array | undefined;
  readonly storageClass?: string;
}

export interface MemoryBucket {
  versioning: Versioning;
  tags: Record<string, string>;
  /** Newest first within a key. */
  versions: StoredVersion[];
  uploads: { key: string; uploadId: string }[];
  region: string | undefined;
  encryption?: BucketEncryption;
  lifecycle?: readonly LifecycleRule[];
  publicAccessBlock?: boolean;
  policy?: string;
}

type CursorQuery<C> = { readonly prefix?: string; readonly cursor?: C | undefined; readonly maxKeys?: number };

export class MemoryBucketAdmin implements BucketAdmin {
  readonly name = "memory://";
  readonly buckets = new Map<string, MemoryBucket>();
  /** Names of buckets that another account has. */
  readonly foreign = new Set<string>();
  /** Keys that cannot be deleted, as under an object lock. */
  readonly locked = new Set<string>();
  down = false;
  closed = false;
  readonly #options: Required<MemoryBucketAdminOptions>;
  #serial = 0;

  constructor(options: MemoryBucketAdminOptions = {}) {
    const full = { versions: "full", tags: true, conditionalWrites: true, settings: "full", pageSize: 3, markers: "kept" } as const;
    this.#options = { ...full, storageClasses: ["STANDARD_IA"], ...options };
  }

  async ping(options?: CallOptions): Promise<void> {
    this.#begin(options);
  }

  async createBucket(bucket: string, options?: CallOptions & { readonly region?: string | undefined }): Promise<"created" | "owned"> {
    this.#begin(options);
    if (this.foreign.has(bucket)) throw new DriverError("exists", `bucket ${bucket} is somebody else's`);
    if (this.buckets.has(bucket)) return "owned";
    this.buckets.set(bucket, { versioning: "Off", tags: {}, versions: [], uploads: [], region: options?.region });
    return "created";
  }

  async headBucket(bucket: string, options?: CallOptions): Promise<void> {
    this.#begin(options);
    this.#bucket(bucket);
  }

  async deleteBucket(bucket: string, options?: CallOptions): Promise<void> {
    this.#begin(options);
    const found = this.buckets.get(bucket);
    if (found === undefined) return;
    if (found.versions.length > 0) throw new DriverError("in_use", `bucket ${bucket} is not empty`);
    this.buckets.delete(bucket);
  }

  async getVersioning(bucket: string, options?: CallOptions): Promise<Versioning> {
    this.#begin(options);
    if (this.#options.versions === "missing") throw new DriverError("not_implemented", "no versioning here");
    return this.#bucket(bucket).versioning;
  }

  async setVersioning(bucket: string, state: "Enabled" | "Suspended", options?: CallOptions): Promise<void> {
    this.#begin(options);
    if (this.#options.versions === "missing") throw new DriverError("not_implemented", "no versioning here");
    if (this.#options.versions === "full") this.#bucket(bucket).versioning = state;
  }

  async getTags(bucket: string, options?: CallOptions): Promise<Readonly<Record<string, string>>> {
    this.#begin(options);
    if (!this.#options.tags) throw new DriverError("not_implemented", "no tags here");
    return { ...this.#bucket(bucket).tags };
  }

  async setTags(bucket: string, tags: Readonly<Record<string, string>>, options?: CallOptions): Promise<void> {
    this.#begin(options);
    if (!this.#options.tags) throw new DriverError("not_implemented", "no tags here");
    this.#bucket(bucket).tags = { ...tags };
  }

  async getEncryption(bucket: string, options?: CallOptions): Promise<BucketEncryption | undefined> {
    return this.#settingsOf(bucket, options).encryption;
  }

  async setEncryption(bucket: string, encryption: BucketEncryption, options?: CallOptions): Promise<void> {
    this.#set(bucket, options, { encryption });
  }

  async getLifecycle(bucket: string, options?: CallOptions): Promise<readonly LifecycleRule[]> {
    return this.#settingsOf(bucket, options).lifecycle ?? [];
  }

  async setLifecycle(bucket: string, lifecycle: readonly LifecycleRule[], options?: CallOptions): Promise<void> {
    this.#set(bucket, options, { lifecycle });
  }

  async getPublicAccessBlock(bucket: string, options?: CallOptions): Promise<boolean> {
    return this.#settingsOf(bucket, options).publicAccessBlock ?? false;
  }

  async setPublicAccessBlock(bucket: string, options?: CallOptions): Promise<void> {
    this.#set(bucket, options, { publicAccessBlock: true });
  }

  async getPolicy(bucket: string, options?: CallOptions): Promise<string | undefined> {
    return this.#settingsOf(bucket, options).policy;
  }

  async setPolicy(bucket: string, policy: string, options?: CallOptions): Promise<void> {
    this.#set(bucket, options, { policy });
  }

  #settingsOf(bucket: string, options: CallOptions | undefined): MemoryBucket {
    this.#begin(options);
    if (this.#options.settings === "missing") throw new DriverError("not_implemented", "no such setting here");
    return this.#bucket(bucket);
  }

  #set(bucket: string, options: CallOptions | undefined, settings: Partial<MemoryBucket>): void {
    const found = this.#settingsOf(bucket, options);
    if (this.#options.settings === "refused") throw new DriverError("bad_argument", "MalformedXML");
    if (this.#options.settings === "full") Object.assign(found, settings);
  }

  async listKeys(
    bucket: string,
    query: { readonly prefix?: string; readonly continuation?: string | undefined; readonly maxKeys?: number } = {},
    options?: CallOptions,
  ): Promise<{ items: readonly string[]; next?: string }> {
    this.#begin(options);
    const keys = this.#sorted(bucket)
      .filter((version, index, all) => all[index - 1]?.key !== version.key && version.body !== undefined)
      .map(({ key }) => key)
      .filter((key) => key.startsWith(query.prefix ?? "") && (query.continuation === undefined || key > query.continuation));
    const items = keys.slice(0, Math.min(query.maxKeys ?? this.#options.pageSize, this.#options.pageSize));
    const last = items.at(-1);
    return items.length < keys.length && last !== undefined ? { items, next: last } : { items };
  }

  async listVersions(
    bucket: string,
    query: CursorQuery<{ readonly keyMarker: string; readonly versionIdMarker?: string }> = {},
    options?: CallOptions,
  ): Promise<{ items: readonly ObjectVersion[]; next?: { keyMarker: string; versionIdMarker?: string } }> {
    this.#begin(options);
    if (this.#options.versions === "missing") throw new DriverError("not_implemented", "no versions here");
    if (this.#options.versions === "ignored") return { items: [] };
    const { prefix = "", cursor } = query;
    const all = this.#sorted(bucket).filter(({ key }) => key.startsWith(prefix));
    const lost = this.#options.markers === "fragile" && cursor !== undefined && !all.some(({ key }) => key === cursor.keyMarker);
    const rest = lost ? [] : all.filter(({ key }) => cursor === undefined || key > cursor.keyMarker);
    // Pages end between keys: then a cursor needs no version and stays right when versions go.
    const size = Math.min(query.maxKeys ?? this.#options.pageSize, this.#options.pageSize);
    let end = Math.min(size, rest.length);
    while (end < rest.length && rest[end]?.key === rest[end - 1]?.key) end++;
    const items = rest.slice(0, end).map((version) => ({
      key: version.key,
      versionId: version.versionId,
      isDeleteMarker: version.body === undefined,
      isLatest: all.find(({ key }) => key === version.key) === version,
    }));
    const last = items.at(-1);
    return end < rest.length && last !== undefined ? { items, next: { keyMarker: last.key, versionIdMarker: last.versionId } } : { items };
  }

  async deleteVersions(
    bucket: string,
    targets: readonly { readonly key: string; readonly versionId?: string | undefined }[],
    options?: CallOptions,
  ): Promise<readonly VersionDeleteFailure[]> {
    this.#begin(options);
    const found = this.#bucket(bucket);
    const failures: VersionDeleteFailure[] = [];
    for (const { key, versionId } of targets) {
      if (this.locked.has(key)) failures.push({ key, error: new DriverError("denied", "object lock") });
      else if (versionId !== undefined) found.versions = found.versions.filter((item) => item.key !== key || item.versionId !== versionId);
      else if (found.versioning === "Enabled") found.versions.unshift({ key, versionId: this.#newId(), body: undefined });
      else found.versions = found.versions.filter((item) => item.key !== key);
    }
    return failures;
  }

  async listUploads(
    bucket: string,
    query: {
      readonly prefix?: string;
      readonly cursor?: { readonly keyMarker: string; readonly uploadIdMarker?: string } | undefined;
      readonly maxUploads?: number;
    } = {},
    options?: CallOptions,
  ): Promise<{ items: readonly { key: string; uploadId: string }[]; next?: { keyMarker: string; uploadIdMarker?: string } }> {
    this.#begin(options);
    const after = query.cursor?.uploadIdMarker ?? "";
    const { prefix = "" } = query;
    const rest = this.#bucket(bucket).uploads.filter(({ key, uploadId }) => key.startsWith(prefix) && uploadId > after);
    const items = rest.slice(0, Math.min(query.maxUploads ?? this.#options.pageSize, this.#options.pageSize));
    const last = items.at(-1);
    return items.length < rest.length && last !== undefined
      ? { items, next: { keyMarker: last.key, uploadIdMarker: last.uploadId } }
      : { items };
  }

  async abortUpload(bucket: string, upload: { readonly key: string; readonly uploadId: string }, options?: CallOptions): Promise<void> {
    this.#begin(options);
    const found = this.#bucket(bucket);
    found.uploads = found.uploads.filter(({ uploadId }) => uploadId !== upload.uploadId);
  }

  async readObject(bucket: string, key: string, options?: CallOptions): Promise<SmallObject> {
    this.#begin(options);
    if (this.foreign.has(bucket)) throw new DriverError("denied", `bucket ${bucket} is somebody else's`);
    const { body, storageClass } = this.#bucket(bucket).versions.find((version) => version.key === key) ?? {};
    if (body === undefined) throw new DriverError("not_found", `${bucket}/${key} is missing`);
    return { body, etag: etagOf(body), ...(storageClass === undefined ? {} : { storageClass }) };
  }

  async writeObject(
    bucket: string,
    key: string,
    body: Uint8Array,
    options?: CallOptions & { readonly ifNoneMatch?: "*"; readonly contentType?: string; readonly storageClass?: string },
  ): Promise<{ readonly etag: Etag }> {
    this.#begin(options);
    const found = this.#bucket(bucket);
    const there = found.versions.find((version) => version.key === key)?.body !== undefined;
    if (there && options?.ifNoneMatch === "*" && this.#options.conditionalWrites)
      throw new DriverError("exists", `${bucket}/${key} is there`);
    const { storageClass = "" } = options ?? {};
    const kept = this.#options.storageClasses.includes(storageClass) ? { storageClass } : {};
    if (found.versioning === "Enabled") {
      found.versions.unshift({ key, versionId: this.#newId(), body, ...kept });
    } else {
      found.versions = [{ key, versionId: "null", body, ...kept }, ...found.versions.filter((item) => item.key !== key)];
    }
    return { etag: etagOf(body) };
  }

  async copyObject(bucket: string, source: string, target: string, options?: CallOptions): Promise<void> {
    const { body, storageClass } = await this.readObject(bucket, source, options);
    await this.writeObject(bucket, target, body, { ...options, ...(storageClass === undefined ? {} : { storageClass }) });
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** A bucket of somebody's, with whatever the test puts into it. */
  addBucket(bucket: string, keys: readonly string[] = []): MemoryBucket {
    const made: MemoryBucket = {
      versioning: "Off",
      tags: {},
      versions: keys.map((key) => ({ key, versionId: "null", body: new Uint8Array([1]) })),
      uploads: [],
      region: undefined,
    };
    this.buckets.set(bucket, made);
    return made;
  }

  /** Versions, delete markers and unfinished uploads in a bucket, below a prefix: `count` of each. */
  async fill(bucket: string, count: number, prefix = ""): Promise<void> {
    const found = this.#bucket(bucket);
    for (let n = 0; n < count; n++) {
      await this.writeObject(bucket, `${prefix}dir/file-${n}`, new Uint8Array([n]));
      await this.writeObject(bucket, `${prefix}dir/file-${n}`, new Uint8Array([n, n]));
      await this.deleteVersions(bucket, [{ key: `${prefix}dir/file-${n}` }]);
      await this.writeObject(bucket, `${prefix}kept/file-${n}`, new Uint8Array([n]));
      found.uploads.push({ key: `${prefix}part/${n}`, uploadId: this.#newId() });
    }
  }

  #begin(options: CallOptions | undefined): void {
    if (options?.signal?.aborted) throw new DriverError("interrupted", "aborted");
    if (this.down) throw new DriverError("unavailable", "connection refused");
  }

  #bucket(bucket: string): MemoryBucket {
    const found = this.buckets.get(bucket);
    if (found === undefined) throw new DriverError("no_bucket", `bucket ${bucket} is missing`);
    return found;
  }

  /** By key; newest first within one. */
  #sorted(bucket: string): StoredVersion[] {
    return this.#bucket(bucket).versions.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  }

  #newId(): string {
    this.#serial += 1;
    return `v${String(this.#serial).padStart(8, "0")}`;
  }
}

function etagOf(body: Uint8Array): Etag {
  return `"${createHash("md5").update(body).digest("hex")}"` as Etag;
}
