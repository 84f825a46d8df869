/**
 * An `ObjectStore` in memory that keeps every promise of the interface: the reference that the contract suite also
 * runs on real servers. Counts requests by S3's operation names, so that request budgets can be tested.
 */
import { createHash, randomUUID } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Etag } from "#core/brand.ts";
import { type Clock, systemClock } from "#core/clock.ts";
import { DriverError } from "#core/errors.ts";
import type {
  BeginUploadOptions,
  CallOptions,
  CopyOptions,
  DeleteFailure,
  GetOptions,
  ListedObject,
  ListPage,
  ObjectBody,
  ObjectHeaders,
  ObjectInfo,
  ObjectStore,
  Payload,
  PutConditions,
  PutOptions,
  PutResult,
  UploadedPart,
  UploadId,
  UserMetadata,
} from "#s3/object-store.ts";
import { base64OfCrc32, readPayload } from "#s3/payload.ts";
import type { Tags } from "./object-tagging.ts";

/** What belongs to an object beside its bytes. */
interface About {
  readonly headers: ObjectHeaders;
  readonly metadata: UserMetadata;
  readonly tags: Tags;
}

interface StoredObject extends About {
  readonly bytes: Uint8Array;
  readonly etag: Etag;
  readonly modifiedMs: number;
}

interface Upload extends About {
  readonly key: string;
  readonly parts: Map<number, { readonly bytes: Uint8Array; readonly etag: Etag }>;
}

export interface MemoryObjectStoreOptions {
  readonly bucket?: string;
  readonly clock?: Clock;
  /** As MinIO does: LIST carries user metadata. */
  readonly listMetadata?: boolean;
  /** All parts but the last must have this many bytes. S3 has 5 MiB; the default here lets tests be small. */
  readonly minPartBytes?: number;
  /** A body comes in chunks of this size. */
  readonly chunkBytes?: number;
}

export class MemoryObjectStore implements ObjectStore {
  readonly name: string;
  /** Requests by operation since the last `resetRequests`. */
  readonly requests: Record<string, number> = {};
  readonly #objects = new Map<string, StoredObject>();
  readonly #uploads = new Map<string, Upload>();
  readonly #options: Required<Omit<MemoryObjectStoreOptions, "bucket">>;
  /** The keys in UTF-8 order; undefined after a change. */
  #sorted: string[] | undefined;
  #closed = false;

  constructor({ bucket = "memory", ...options }: MemoryObjectStoreOptions = {}) {
    this.name = `s3://${bucket}`;
    this.#options = { clock: systemClock, listMetadata: false, minPartBytes: 1, chunkBytes: 64 << 10, ...options };
  }

  /** All keys in UTF-8 order, not counted as a request. */
  get keys(): readonly string[] {
    this.#sorted ??= [...this.#objects.keys()].sort(compareUtf8);
    return this.#sorted;
  }

  /** Begun uploads that were neither completed nor aborted. */
  get openUploads(): number {
    return this.#uploads.size;
  }

  /** Sum of all requests counted. */
  get requestCount(): number {
    return Object.values(this.requests).reduce((sum, n) => sum + n, 0);
  }

  resetRequests(): void {
    for (const operation of Object.keys(this.requests)) delete this.requests[operation];
  }

  /** The requests while `work` runs. */
  async requestsDuring(work: () => Promise<unknown>): Promise<Record<string, number>> {
    this.resetRequests();
    await work();
    return { ...this.requests };
  }

  /** Stores an object as another client would, not counted. */
  seed(
    key: string,
    body: string | Uint8Array,
    { headers = {}, metadata = {}, tags = {} }: { headers?: ObjectHeaders; metadata?: UserMetadata; tags?: Tags } = {},
  ): Etag {
    return this.#store(key, typeof body === "string" ? Buffer.from(body) : body, { headers, metadata, tags }).etag;
  }

  /** The bytes of an object, not counted; undefined when there is none. */
  bytes(key: string): Uint8Array | undefined {
    return this.#objects.get(key)?.bytes;
  }

  /** The same as text. */
  text(key: string): string | undefined {
    const bytes = this.bytes(key);
    return bytes && Buffer.from(bytes).toString();
  }

  /** User metadata of an object, not counted. */
  metadata(key: string): UserMetadata | undefined {
    return this.#objects.get(key)?.metadata;
  }

  /** Tags of an object, not counted. */
  tags(key: string): Tags | undefined {
    return this.#objects.get(key)?.tags;
  }

  /** Tags an object as another client would, which makes no new version of it. Not counted. */
  setTags(key: string, tags: Tags): void {
    this.#objects.set(key, { ...this.#find(key), tags });
  }

  async head(key: string, options?: CallOptions): Promise<ObjectInfo> {
    this.#enter("HeadObject", options);
    return infoOf(key, this.#find(key));
  }

  async get(key: string, options: GetOptions = {}): Promise<ObjectBody> {
    this.#enter("GetObject", options);
    const object = this.#find(key);
    if (options.ifMatch !== undefined && options.ifMatch !== object.etag) throw fault("stale", key);
    const { start, end } = options.range ?? { start: 0, end: object.bytes.byteLength };
    if (options.range && (start >= end || start >= object.bytes.byteLength)) throw fault("bad_argument", key);
    const bytes = object.bytes.subarray(start, end);
    let cancelled = false;
    const { chunkBytes } = this.#options;
    async function* stream(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.byteLength; at += chunkBytes) {
        if (cancelled || options.signal?.aborted) throw fault("interrupted", key);
        yield bytes.subarray(at, at + chunkBytes);
      }
    }
    const cancel = () => {
      cancelled = true;
    };
    return { info: infoOf(key, object), length: bytes.byteLength, stream: stream(), cancel };
  }

  async put(key: string, body: Payload, options: PutOptions = {}): Promise<PutResult> {
    this.#enter("PutObject", options);
    const bytes = Uint8Array.from(await readPayload(body));
    this.#checkConditions(key, options);
    const tags = this.#tagsKept(key, options.headers);
    return this.#store(key, bytes, { headers: options.headers ?? {}, metadata: options.metadata ?? {}, tags });
  }

  async list(
    query: { prefix: string; delimiter?: "/"; startAfter?: string; continuation?: string; maxKeys?: number },
    options?: CallOptions,
  ): Promise<ListPage> {
    this.#enter("ListObjectsV2", options);
    const { prefix, delimiter, maxKeys = 1000 } = query;
    // A continuation names the last entry, key or prefix, of the page before; startAfter names a key.
    const done = query.continuation === undefined ? undefined : Buffer.from(query.continuation, "base64").toString();
    const objects: ListedObject[] = [];
    const prefixes: string[] = [];
    let last = "";
    for (const key of this.keys) {
      if (!key.startsWith(prefix)) continue;
      const at = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length);
      const entry = at < 0 ? key : key.slice(0, at + 1);
      if (entry === last && at >= 0) continue;
      if (done !== undefined && compareUtf8(entry, done) <= 0) continue;
      if (query.startAfter !== undefined && compareUtf8(key, query.startAfter) <= 0) continue;
      if (objects.length + prefixes.length === maxKeys) return { objects, prefixes, next: Buffer.from(last).toString("base64") };
      if (at >= 0) prefixes.push(entry);
      else objects.push(this.#listed(key));
      last = entry;
    }
    return { objects, prefixes };
  }

  async copy(source: string, target: string, options: CopyOptions = {}): Promise<PutResult> {
    this.#enter("CopyObject", options);
    const object = this.#find(source);
    if (options.sourceIfMatch !== undefined && options.sourceIfMatch !== object.etag) throw fault("stale", source);
    this.#checkConditions(target, options);
    return this.#store(target, object.bytes, { ...(options.replace ?? object), tags: object.tags });
  }

  async delete(key: string, options: CallOptions & { readonly ifMatch?: Etag } = {}): Promise<void> {
    this.#enter("DeleteObject", options);
    const object = this.#objects.get(key);
    if (object && options.ifMatch !== undefined && options.ifMatch !== object.etag) throw fault("stale", key);
    this.#remove(key);
  }

  async deleteMany(keys: readonly string[], options?: CallOptions): Promise<readonly DeleteFailure[]> {
    for (let at = 0; at < keys.length; at += 1000) {
      this.#enter("DeleteObjects", options);
      for (const key of keys.slice(at, at + 1000)) this.#remove(key);
    }
    return [];
  }

  async beginUpload(key: string, options: BeginUploadOptions = {}): Promise<UploadId> {
    this.#enter("CreateMultipartUpload", options);
    const uploadId = randomUUID();
    const tags = this.#tagsKept(options.tagsOf ?? key, options.headers);
    this.#uploads.set(uploadId, { key, headers: options.headers ?? {}, metadata: options.metadata ?? {}, tags, parts: new Map() });
    return { key, uploadId, ...(options.withCopies ? { withCopies: true } : {}) };
  }

  async uploadPart(upload: UploadId, partNumber: number, body: Payload, options?: CallOptions): Promise<UploadedPart> {
    this.#enter("UploadPart", options);
    return this.#storePart(upload, partNumber, Uint8Array.from(await readPayload(body)));
  }

  async copyPart(
    upload: UploadId,
    partNumber: number,
    source: { key: string; start: number; end: number; ifMatch?: Etag },
    options?: CallOptions,
  ): Promise<UploadedPart> {
    this.#enter("UploadPartCopy", options);
    if (!upload.withCopies) throw fault("bad_argument", upload.key);
    const object = this.#find(source.key);
    if (source.ifMatch !== undefined && source.ifMatch !== object.etag) throw fault("stale", source.key);
    if (source.start >= source.end || source.end > object.bytes.byteLength) throw fault("bad_argument", source.key);
    const { crc32: _, ...part } = this.#storePart(upload, partNumber, object.bytes.slice(source.start, source.end));
    return part;
  }

  async completeUpload(upload: UploadId, parts: readonly UploadedPart[], options: CallOptions & PutConditions = {}): Promise<PutResult> {
    this.#enter("CompleteMultipartUpload", options);
    const begun = this.#upload(upload);
    const chosen = parts.map((part) => {
      const stored = begun.parts.get(part.partNumber);
      if (!stored || stored.etag !== part.etag) throw fault("bad_argument", upload.key);
      return stored;
    });
    const inOrder = parts.every((part, i) => i === 0 || part.partNumber > (parts[i - 1]?.partNumber ?? 0));
    const bigEnough = chosen.slice(0, -1).every((part) => part.bytes.byteLength >= this.#options.minPartBytes);
    if (chosen.length === 0 || !inOrder || !bigEnough) throw fault("bad_argument", upload.key);
    this.#checkConditions(upload.key, options);
    this.#uploads.delete(upload.uploadId);
    const sums = createHash("md5");
    for (const part of chosen) sums.update(Buffer.from(part.etag.slice(1, -1), "hex"));
    const etag = `"${sums.digest("hex")}-${chosen.length}"` as Etag;
    return this.#store(upload.key, Buffer.concat(chosen.map((part) => part.bytes)), begun, etag);
  }

  async abortUpload(upload: UploadId, options?: CallOptions): Promise<void> {
    this.#enter("AbortMultipartUpload", options);
    this.#uploads.delete(upload.uploadId);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #enter(operation: string, options: CallOptions | undefined): void {
    if (this.#closed || options?.signal?.aborted) throw new DriverError("interrupted", `${operation} was interrupted`);
    this.requests[operation] = (this.requests[operation] ?? 0) + 1;
  }

  #find(key: string): StoredObject {
    const object = this.#objects.get(key);
    if (!object) throw fault("not_found", key);
    return object;
  }

  #checkConditions(key: string, { ifMatch, ifNoneMatch }: PutConditions): void {
    const object = this.#objects.get(key);
    if (ifNoneMatch !== undefined && object) throw fault("exists", key);
    if (ifMatch !== undefined && object?.etag !== ifMatch) throw fault("stale", key);
  }

  #tagsKept(key: string, headers: ObjectHeaders | undefined): Tags {
    if (!headers?.tagCount) return {};
    this.#enter("GetObjectTagging", undefined);
    return this.#objects.get(key)?.tags ?? {};
  }

  #store(key: string, bytes: Uint8Array, about: About, etag = md5Etag(bytes)): PutResult {
    const modifiedMs = this.#options.clock.now();
    if (!this.#objects.has(key)) this.#sorted = undefined;
    this.#objects.set(key, { bytes, etag, modifiedMs, headers: { ...about.headers }, metadata: { ...about.metadata }, tags: about.tags });
    return { etag, dateMs: wholeSeconds(modifiedMs) };
  }

  #remove(key: string): void {
    if (this.#objects.delete(key)) this.#sorted = undefined;
  }

  #listed(key: string): ListedObject {
    const { bytes, etag, modifiedMs, metadata, headers } = this.#find(key);
    const details = { metadata, ...(headers.contentType === undefined ? {} : { contentType: headers.contentType }) };
    return {
      ...{ key, size: bytes.byteLength, etag, lastModified: modifiedMs, storageClass: headers.storageClass ?? "STANDARD" },
      ...(this.#options.listMetadata ? { details } : {}),
    };
  }

  #upload({ uploadId, key }: UploadId): Upload {
    const upload = this.#uploads.get(uploadId);
    if (upload?.key !== key) throw fault("not_found", key);
    return upload;
  }

  #storePart(upload: UploadId, partNumber: number, bytes: Uint8Array): UploadedPart {
    if (!Number.isInteger(partNumber) || partNumber < 1 || partNumber > 10_000) throw fault("bad_argument", upload.key);
    const etag = md5Etag(bytes);
    this.#upload(upload).parts.set(partNumber, { bytes, etag });
    return { partNumber, etag, crc32: base64OfCrc32(crc32(bytes)) };
  }
}

/** S3's order of keys: by bytes of their UTF-8, which differs from UTF-16's above U+FFFF. */
function compareUtf8(a: string, b: string): number {
  if (a === b) return 0;
  const ascii = /^[\0-\x7f]*$/;
  if (ascii.test(a) && ascii.test(b)) return a < b ? -1 : 1;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function md5Etag(bytes: Uint8Array): Etag {
  return `"${createHash("md5").update(bytes).digest("hex")}"` as Etag;
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

function infoOf(key: string, { bytes, etag, modifiedMs, headers: { tagCount: _, ...headers }, metadata, tags }: StoredObject): ObjectInfo {
  const tagCount = Object.keys(tags).length;
  const shown = tagCount === 0 ? headers : { ...headers, tagCount };
  return { key, size: bytes.byteLength, etag, lastModified: wholeSeconds(modifiedMs), headers: shown, metadata };
}

function fault(name: "not_found" | "exists" | "stale" | "bad_argument" | "interrupted", key: string): DriverError {
  return new DriverError(name, `${name}: ${key}`, { context: { key } });
}
