/**
 * `ObjectStore`: what the rest of the project knows of S3's data path.
 *
 * Promises of every implementation:
 * - *Strong read-after-write*: a get, head or list that starts after a put, copy or delete returned sees it.
 *   (AWS since December 2020, and every server we test.)
 * - *Whole objects*: a put or completed upload appears at once and whole, or not at all.
 * - *Conditions*: `ifMatch` and `ifNoneMatch` reach the server. A server may ignore them; what it really
 *   does is `probe.ts`'s business, and callers ask for the probe's result before they rely on one.
 *   A failed `ifMatch` is the fault `stale`, a failed `ifNoneMatch` is `exists`.
 * - *Deadlines*: every call ends, at the latest at the deadline of its options or the store's default.
 * - *Errors*: only DriverError. What may be repeated has been repeated (backoff with jitter) before it is thrown.
 *
 * Keys are given as they are, not URL-encoded, without a leading slash. ETags keep their quotes.
 * User metadata names are lower case and without `x-amz-meta-`.
 */
import type { Etag } from "#core/brand.ts";

/** System headers that belong to an object and are kept through every rewrite and copy. */
export interface ObjectHeaders {
  readonly contentType?: string;
  readonly cacheControl?: string;
  readonly contentDisposition?: string;
  readonly contentEncoding?: string;
  readonly contentLanguage?: string;
  readonly expires?: string;
  readonly storageClass?: string;
  readonly serverSideEncryption?: string;
  readonly sseKmsKeyId?: string;
  /**
   * How many tags the object has, where it has any. What is put or uploaded with this gets the tags that the object under its key has at that
   * time, which costs a request; a copy has its source's in any case. Others may change tags at any time: they are no part of a version.
   */
  readonly tagCount?: number;
}

export type UserMetadata = Readonly<Record<string, string>>;

/** What a HEAD or GET tells about an object. */
export interface ObjectInfo {
  readonly key: string;
  /** The whole object's size in bytes, on a ranged GET too. */
  readonly size: number;
  readonly etag: Etag;
  /** Milliseconds since the epoch; whole seconds from HEAD and GET. */
  readonly lastModified: number;
  readonly headers: ObjectHeaders;
  readonly metadata: UserMetadata;
  readonly versionId?: string;
}

/** One object as LIST shows it: no user metadata, unless the server adds it. */
export interface ListedObject {
  readonly key: string;
  readonly size: number;
  readonly etag: Etag;
  /** Milliseconds since the epoch. */
  readonly lastModified: number;
  readonly storageClass?: string;
  /** Only from servers that add it to a LIST (MinIO, RustFS), see probe.ts: then no HEAD is needed. */
  readonly details?: { readonly metadata: UserMetadata; readonly contentType?: string };
}

export interface ListPage {
  readonly objects: readonly ListedObject[];
  /** With a delimiter: the prefixes below, each ending in the delimiter. */
  readonly prefixes: readonly string[];
  /** Give it to the next call; undefined on the last page. */
  readonly next?: string;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the whole call, its retries included. */
  readonly deadlineMs?: number | undefined;
}

export interface GetOptions extends CallOptions {
  /** Half-open: bytes `start` to `end - 1`. */
  readonly range?: { readonly start: number; readonly end: number };
  readonly ifMatch?: Etag;
  /**
   * At least as long as the range. The store may receive the body into it, from its beginning on; the chunks of the stream are then
   * slices of it, which costs less than memory of their own. It is the store's until the stream ended, or failed, or was cancelled.
   */
  readonly into?: Uint8Array;
}

/**
 * A body that streams. It must be read to its end or cancelled; a body that ends early, or whose checksum
 * (where the server sent one for exactly these bytes) is wrong, throws the fault `corrupt` or `unavailable` at the end.
 */
export interface ObjectBody {
  readonly info: ObjectInfo;
  /** Bytes this body will have. */
  readonly length: number;
  /** Chunks as they come; each may be kept by the reader. */
  readonly stream: AsyncIterable<Uint8Array>;
  cancel(): void;
}

export interface PutConditions {
  /** Replace only this version. */
  readonly ifMatch?: Etag;
  /** Create only: nothing may stand there. */
  readonly ifNoneMatch?: "*";
}

export interface PutOptions extends CallOptions, PutConditions {
  readonly headers?: ObjectHeaders;
  readonly metadata?: UserMetadata;
}

/**
 * What is sent: bytes in memory, or a range of an open file (read as it is sent, and again on a retry;
 * the caller keeps descriptor and bytes unchanged until the call ends).
 * `seen` is told once, in order, of the bytes that are sent, while they are valid: for a check of the caller's own, without another read.
 */
export type Payload =
  | Uint8Array
  | { readonly fd: number; readonly start: number; readonly end: number; readonly seen?: (chunk: Uint8Array) => void };

export interface PutResult {
  readonly etag: Etag;
  /** Within a second, the LastModified that a LIST will show, in milliseconds: what a copy's answer says, else the server's Date header. */
  readonly dateMs: number;
  readonly versionId?: string;
}

export interface CopyOptions extends CallOptions, PutConditions {
  /** Copy only if the source still is this version. */
  readonly sourceIfMatch?: Etag;
  /** Given: replaces all metadata and headers. Not given: they are copied. */
  readonly replace?: { readonly headers: ObjectHeaders; readonly metadata: UserMetadata };
  /** The source's size where the caller knows it: over 5 GiB the copy is done in parts. */
  readonly sourceSize?: number;
}

/** One multipart upload that was begun; all of it can be stored and continued by another process. */
export interface UploadId {
  readonly key: string;
  readonly uploadId: string;
  /** Begun with `withCopies`. */
  readonly withCopies?: boolean;
}

export interface BeginUploadOptions extends CallOptions {
  readonly headers?: ObjectHeaders;
  readonly metadata?: UserMetadata;
  /**
   * Must be given when `copyPart` will be used: copied parts have no CRC-32 that servers would agree on, so an upload with
   * copies is begun without one (and its own parts carry an MD5, which costs more).
   */
  readonly withCopies?: boolean;
  /** Whose tags `headers.tagCount` speaks of; default: those of the object under the upload's key. */
  readonly tagsOf?: string;
}

export interface UploadedPart {
  /** 1 to 10,000. */
  readonly partNumber: number;
  readonly etag: Etag;
  /** Base64 CRC-32 of the part where it was sent with one. */
  readonly crc32?: string;
}

export interface DeleteFailure {
  readonly key: string;
  readonly error: Error;
}

export interface ObjectStore {
  /** For messages: `s3://bucket`. */
  readonly name: string;

  head(key: string, options?: CallOptions): Promise<ObjectInfo>;
  get(key: string, options?: GetOptions): Promise<ObjectBody>;
  put(key: string, body: Payload, options?: PutOptions): Promise<PutResult>;
  /**
   * One page of keys in UTF-8 order. `prefix` and `delimiter` as in ListObjectsV2; `startAfter` skips keys up to and with it;
   * `continuation` is the last page's `next`. At most `maxKeys` (1 to 1000, default 1000) objects and prefixes.
   */
  list(
    query: { prefix: string; delimiter?: "/"; startAfter?: string; continuation?: string; maxKeys?: number },
    options?: CallOptions,
  ): Promise<ListPage>;
  /** Server-side copy inside the bucket. */
  copy(source: string, target: string, options?: CopyOptions): Promise<PutResult>;
  /** Deletes one key; a missing key is success. In a versioned bucket this leaves a delete marker. */
  delete(key: string, options?: CallOptions & { readonly ifMatch?: Etag }): Promise<void>;
  /** Deletes any number of keys, 1,000 a request; answers those that failed. Falls back to single deletes where the server has no DeleteObjects. */
  deleteMany(keys: readonly string[], options?: CallOptions): Promise<readonly DeleteFailure[]>;

  beginUpload(key: string, options?: BeginUploadOptions): Promise<UploadId>;
  uploadPart(upload: UploadId, partNumber: number, body: Payload, options?: CallOptions): Promise<UploadedPart>;
  /** Copies a range of an object of the bucket into a part (5 MiB to 5 GiB, except the last) of an upload begun `withCopies`. */
  copyPart(
    upload: UploadId,
    partNumber: number,
    source: { key: string; start: number; end: number; ifMatch?: Etag },
    options?: CallOptions,
  ): Promise<UploadedPart>;
  completeUpload(upload: UploadId, parts: readonly UploadedPart[], options?: CallOptions & PutConditions): Promise<PutResult>;
  /** Ends an upload and frees its parts; a missing upload is success. */
  abortUpload(upload: UploadId, options?: CallOptions): Promise<void>;

  /** Closes connections. Calls in flight end with the fault `interrupted`. */
  close(): Promise<void>;
}
