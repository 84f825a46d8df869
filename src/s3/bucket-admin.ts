/**
 * `BucketAdmin`: what the controller knows of S3: whole buckets, their versions, uploads and tags, and small
 * objects that are read and written whole (the ownership mark). `object-store.ts` is the data path.
 *
 * Promises of every implementation:
 * - One admin serves one endpoint with one set of credentials, and any bucket there.
 * - *Errors*: only DriverError. A missing bucket is `no_bucket` in every call that names one; an API the server
 *   does not have (501, or a `NotImplemented`-like code) is `not_implemented`. What may be repeated has been repeated.
 * - *Deadlines*: every call ends at the deadline of its options or the implementation's default; an aborted
 *   signal ends it with `interrupted`.
 * - *Nothing is guessed*: an answer that is not what was asked for (a server that ignores `?versions` and sends an ordinary
 *   listing) may look empty. So callers that must know that a bucket is empty ask `listKeys` too.
 */
import type { Etag } from "#core/brand.ts";
import type { CallOptions } from "./object-store.ts";

export type Versioning = "Enabled" | "Suspended" | "Off";

/** One version of a key, or one delete marker. */
export interface ObjectVersion {
  readonly key: string;
  /** As listed; the string "null" for what was written without versioning. */
  readonly versionId: string;
  readonly isDeleteMarker: boolean;
  readonly isLatest: boolean;
}

/** One page of a listing. Give `next` to the next call; undefined on the last page. */
export interface AdminPage<Item, Next> {
  readonly items: readonly Item[];
  readonly next?: Next;
}

export interface VersionCursor {
  readonly keyMarker: string;
  readonly versionIdMarker?: string;
}

export interface UploadCursor {
  readonly keyMarker: string;
  readonly uploadIdMarker?: string;
}

/** A small object, whole. */
export interface SmallObject {
  readonly body: Uint8Array;
  readonly etag: Etag;
  /** Undefined where the store does not say, which on AWS means STANDARD. */
  readonly storageClass?: string | undefined;
}

/** How new objects of a bucket are encrypted at the store. */
export interface BucketEncryption {
  /** SSE-S3 or SSE-KMS. */
  readonly algorithm: "AES256" | "aws:kms";
  /** As given to the store, which may answer it in another form. */
  readonly kmsKeyId?: string | undefined;
}

/** What a bucket does by itself, to all its objects or to those of some sizes. */
export interface LifecycleRule {
  readonly id: string;
  /** Only objects larger than so many bytes. */
  readonly sizeOver?: number | undefined;
  /** Only objects smaller than so many bytes. */
  readonly sizeUnder?: number | undefined;
  /** Days from the last write to the deletion. */
  readonly expireDays?: number | undefined;
  /** Days from a version's replacement to its deletion. */
  readonly noncurrentDays?: number | undefined;
  /** Delete a delete marker that is alone. */
  readonly dropLoneMarkers?: boolean | undefined;
  /** Days from an upload's beginning to its end. */
  readonly abortUploadsDays?: number | undefined;
}

export interface VersionDeleteFailure {
  readonly key: string;
  readonly versionId?: string;
  readonly error: Error;
}

/** The settings of a bucket. What the server does not have is the fault `not_implemented`, or a refusal of its own. */
export interface BucketSettings {
  getVersioning(bucket: string, options?: CallOptions): Promise<Versioning>;
  setVersioning(bucket: string, state: "Enabled" | "Suspended", options?: CallOptions): Promise<void>;

  /** All tags of the bucket; an empty record when it has none (NoSuchTagSet). */
  getTags(bucket: string, options?: CallOptions): Promise<Readonly<Record<string, string>>>;
  /** Replaces all tags of the bucket. */
  setTags(bucket: string, tags: Readonly<Record<string, string>>, options?: CallOptions): Promise<void>;

  /** Undefined when none is set. */
  getEncryption(bucket: string, options?: CallOptions): Promise<BucketEncryption | undefined>;
  setEncryption(bucket: string, encryption: BucketEncryption, options?: CallOptions): Promise<void>;

  /** An empty list when there are none. What a rule has beyond a LifecycleRule is left out. */
  getLifecycle(bucket: string, options?: CallOptions): Promise<readonly LifecycleRule[]>;
  /** Replaces all rules of the bucket. */
  setLifecycle(bucket: string, rules: readonly LifecycleRule[], options?: CallOptions): Promise<void>;

  /** True when all four kinds of public access are blocked. */
  getPublicAccessBlock(bucket: string, options?: CallOptions): Promise<boolean>;
  /** Blocks all four. */
  setPublicAccessBlock(bucket: string, options?: CallOptions): Promise<void>;

  /** The policy as JSON, in the server's spelling; undefined when there is none. */
  getPolicy(bucket: string, options?: CallOptions): Promise<string | undefined>;
  setPolicy(bucket: string, policy: string, options?: CallOptions): Promise<void>;
}

export interface BucketAdmin extends BucketSettings {
  /** For messages: the endpoint's URL, without credentials. */
  readonly name: string;

  /**
   * Resolves when the endpoint answers HTTP at all within the deadline, with 401 or 403 too; rejects with `unavailable` or
   * `timed_out` otherwise. Costs one light request (ListBuckets).
   */
  ping(options?: CallOptions): Promise<void>;

  /**
   * Creates a bucket, with a LocationConstraint for `region` where the server needs one (none for us-east-1).
   * `owned`: it was there and is the caller's own (BucketAlreadyOwnedByYou). Beware: AWS in us-east-1 and some servers answer
   * `created` for an own bucket that was there. Somebody else's bucket is the fault `exists`.
   */
  createBucket(bucket: string, options?: CallOptions & { readonly region?: string | undefined }): Promise<"created" | "owned">;
  /** Resolves when the bucket is there and may be used; faults `no_bucket`, `denied`. */
  headBucket(bucket: string, options?: CallOptions): Promise<void>;
  /** Deletes an empty bucket; a missing one is success; one that is not empty is the fault `in_use`. */
  deleteBucket(bucket: string, options?: CallOptions): Promise<void>;

  /** A page of at most `maxKeys` (1 to 1000, default 1000) current keys. */
  listKeys(
    bucket: string,
    query?: { readonly prefix?: string; readonly continuation?: string | undefined; readonly maxKeys?: number },
    options?: CallOptions,
  ): Promise<AdminPage<string, string>>;
  /** A page of versions and delete markers, in the server's order. */
  listVersions(
    bucket: string,
    query?: { readonly prefix?: string; readonly cursor?: VersionCursor | undefined; readonly maxKeys?: number },
    options?: CallOptions,
  ): Promise<AdminPage<ObjectVersion, VersionCursor>>;
  /**
   * Deletes up to 1,000 keys or versions in one request (DeleteObjects, quiet); falls back to single deletes where the server has no
   * such call. Without `versionId` the current version is deleted (a marker is left in a versioned bucket). What was
   * missing counts as deleted. Answers those that failed.
   */
  deleteVersions(
    bucket: string,
    targets: readonly { readonly key: string; readonly versionId?: string | undefined }[],
    options?: CallOptions,
  ): Promise<readonly VersionDeleteFailure[]>;

  /**
   * A page of unfinished multipart uploads, of all keys or those with the prefix. A page may be empty and not the last. Who wants all of them
   * lists again until there are none: some servers' pages pass over uploads of a key that has several.
   */
  listUploads(
    bucket: string,
    query?: { readonly prefix?: string; readonly cursor?: UploadCursor | undefined; readonly maxUploads?: number },
    options?: CallOptions,
  ): Promise<AdminPage<{ readonly key: string; readonly uploadId: string }, UploadCursor>>;
  /** Ends an upload and frees its parts; a missing upload is success. */
  abortUpload(bucket: string, upload: { readonly key: string; readonly uploadId: string }, options?: CallOptions): Promise<void>;

  /** Reads a small object whole (at most 1 MiB, else `too_big`); a missing key is `not_found`. */
  readObject(bucket: string, key: string, options?: CallOptions): Promise<SmallObject>;
  /** Writes a small object; with `ifNoneMatch` a present one is the fault `exists` (where the server honours it). */
  writeObject(
    bucket: string,
    key: string,
    body: Uint8Array,
    options?: CallOptions & { readonly ifNoneMatch?: "*"; readonly contentType?: string; readonly storageClass?: string },
  ): Promise<{ readonly etag: Etag }>;
  /**
   * Copies an object of any size inside the bucket, with headers, metadata and storage class. `not_found` means that there is no source;
   * one that is there and that the store cannot copy is `not_implemented`.
   */
  copyObject(bucket: string, source: string, target: string, options?: CallOptions): Promise<void>;

  /** Closes connections. */
  close(): Promise<void>;
}

/** Where and as whom to talk to a store. The same shape for the driver-wide source and for a request's secrets. */
export interface BucketAdminConfig {
  /** URL; undefined means AWS's own for the region. */
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  /** Path-style addressing; undefined means: with a custom endpoint yes, with AWS no. */
  readonly pathStyle?: boolean | undefined;
  /** PEM of additional certificate authorities. */
  readonly caBundle?: string | undefined;
  /** URL of an HTTP proxy; it may hold a password. Undefined: what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say. */
  readonly proxy?: string | undefined;
  /** Undefined means the usual AWS chain (environment, profile, web identity, instance role). */
  readonly credentials?:
    | { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string | undefined }
    | undefined;
}
