/**
 * `BucketAdmin` on the AWS SDK, which is loaded at the first call. Administration is rare and wide (versions, tags,
 * regions, uploads); the SDK knows all of it, and its cost per call does not matter here.
 */
import type { S3ClientConfig, StorageClass } from "@aws-sdk/client-s3";
import type { Etag } from "#core/brand.ts";
import { DriverError, isFault } from "#core/errors.ts";
import { orFault } from "./admin-calls.ts";
import type {
  AdminPage,
  BucketAdmin,
  BucketAdminConfig,
  ObjectVersion,
  SmallObject,
  UploadCursor,
  VersionCursor,
  VersionDeleteFailure,
} from "./bucket-admin.ts";
import { SdkBucketSettings } from "./bucket-settings.ts";
import { createCredentialProvider } from "./credentials.ts";
import { errorOfRefusal, saysOwnBucket } from "./errors.ts";
import type { CallOptions } from "./object-store.ts";
import { S3ObjectStore } from "./s3-object-store.ts";
import type { CredentialSource } from "./store-config.ts";

/** The mark of a bucket has a few hundred bytes. */
const SMALL_OBJECT_BYTES = 1 << 20;
/** Single deletes at a time, where the server has no DeleteObjects. */
const PARALLEL_DELETES = 16;

/** Administration of any bucket at one endpoint. Nothing is sent, and the SDK not loaded, before the first call. */
export function createBucketAdmin(config: BucketAdminConfig): BucketAdmin {
  return new SdkBucketAdmin(config);
}

class SdkBucketAdmin extends SdkBucketSettings implements BucketAdmin {
  readonly #config: BucketAdminConfig;
  /** The data path's clients, for copies: they know how to copy what is too large for one request. */
  readonly #stores = new Map<string, S3ObjectStore>();

  constructor(config: BucketAdminConfig) {
    super(config);
    this.#config = config;
  }

  get name(): string {
    return this.calls.name;
  }

  async ping(options: CallOptions = {}): Promise<void> {
    // Not signed: whether a server is there does not depend on anybody's credentials.
    const unsigned: S3ClientConfig = {
      credentials: { accessKeyId: "none", secretAccessKey: "none" },
      signer: { sign: async (request) => request },
    };
    await this.calls
      .run(
        { operation: "ListBuckets", bucket: "" },
        options,
        ({ sdk, client, call }) => client.send(new sdk.ListBucketsCommand({}), call),
        { client: unsigned },
      )
      .catch((error: DriverError) => {
        const status = Number(error.context.status ?? 0);
        if (status === 0 || status >= 500) throw error;
      });
  }

  async createBucket(bucket: string, options: CallOptions & { readonly region?: string | undefined } = {}): Promise<"created" | "owned"> {
    const region = options.region ?? this.calls.region;
    // AWS takes a constraint only at that region's endpoint; elsewhere there is one endpoint.
    const client = this.#config.endpoint === undefined ? { region } : {};
    const constraint = region === "us-east-1" ? {} : { CreateBucketConfiguration: { LocationConstraint: region as never } };
    try {
      await this.calls.run(
        { operation: "CreateBucket", bucket },
        options,
        (tools) => tools.client.send(new tools.sdk.CreateBucketCommand({ Bucket: bucket, ...constraint }), tools.call),
        { client },
      );
      return "created";
    } catch (error) {
      if (saysOwnBucket(error)) return "owned";
      throw error;
    }
  }

  async headBucket(bucket: string, options: CallOptions = {}): Promise<void> {
    await this.calls.run({ operation: "HeadBucket", bucket }, options, ({ sdk, client, call }) =>
      client.send(new sdk.HeadBucketCommand({ Bucket: bucket }), call),
    );
  }

  async deleteBucket(bucket: string, options: CallOptions = {}): Promise<void> {
    const about = { operation: "DeleteBucket", bucket };
    await this.calls
      .run(about, options, ({ sdk, client, call }) => client.send(new sdk.DeleteBucketCommand({ Bucket: bucket }), call))
      .catch(orFault("no_bucket"));
  }

  async listKeys(
    bucket: string,
    query: { readonly prefix?: string; readonly continuation?: string | undefined; readonly maxKeys?: number } = {},
    options: CallOptions = {},
  ): Promise<AdminPage<string, string>> {
    const input = {
      Bucket: bucket,
      Prefix: query.prefix,
      ContinuationToken: query.continuation,
      MaxKeys: query.maxKeys,
      EncodingType: "url" as const,
    };
    const about = { operation: "ListObjectsV2", bucket };
    const page = await this.calls.run(about, options, ({ sdk, client, call }) => client.send(new sdk.ListObjectsV2Command(input), call));
    const items = (page.Contents ?? []).map(({ Key = "" }) => decodeListed(Key, page.EncodingType));
    return { items, ...(page.IsTruncated && page.NextContinuationToken ? { next: page.NextContinuationToken } : {}) };
  }

  async listVersions(
    bucket: string,
    query: { readonly prefix?: string; readonly cursor?: VersionCursor | undefined; readonly maxKeys?: number } = {},
    options: CallOptions = {},
  ): Promise<AdminPage<ObjectVersion, VersionCursor>> {
    const { prefix, cursor, maxKeys } = query;
    const input = {
      ...{ Bucket: bucket, Prefix: prefix, MaxKeys: maxKeys, EncodingType: "url" as const },
      ...{ KeyMarker: cursor?.keyMarker, VersionIdMarker: cursor?.versionIdMarker },
    };
    const about = { operation: "ListObjectVersions", bucket };
    const page = await this.calls.run(about, options, ({ sdk, client, call }) =>
      client.send(new sdk.ListObjectVersionsCommand(input), call),
    );
    const itemOf =
      (isDeleteMarker: boolean) => (one: { Key?: string | undefined; VersionId?: string | undefined; IsLatest?: boolean | undefined }) => ({
        ...{ key: decodeListed(one.Key ?? "", page.EncodingType), versionId: one.VersionId ?? "null" },
        ...{ isDeleteMarker, isLatest: one.IsLatest ?? false },
      });
    const items = [...(page.Versions ?? []).map(itemOf(false)), ...(page.DeleteMarkers ?? []).map(itemOf(true))];
    if (!page.IsTruncated || page.NextKeyMarker === undefined) return { items };
    const keyMarker = decodeListed(page.NextKeyMarker, page.EncodingType);
    return { items, next: { keyMarker, ...(page.NextVersionIdMarker ? { versionIdMarker: page.NextVersionIdMarker } : {}) } };
  }

  async deleteVersions(
    bucket: string,
    targets: readonly { readonly key: string; readonly versionId?: string | undefined }[],
    options: CallOptions = {},
  ): Promise<readonly VersionDeleteFailure[]> {
    if (targets.length === 0) return [];
    const Objects = targets.map(({ key, versionId }) => ({ Key: key, VersionId: versionId }));
    const about = { operation: "DeleteObjects", bucket };
    try {
      const { Errors = [] } = await this.calls.run(about, options, ({ sdk, client, call }) =>
        client.send(new sdk.DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }), call),
      );
      return Errors.flatMap(({ Key: key = "", VersionId, Code: code = "", Message: message = "" }) => {
        const error = errorOfRefusal({ ...about, status: 200, code, message, key, endpoint: this.name, region: this.calls.region });
        return error.fault === "not_found" ? [] : [{ key, error, ...(VersionId ? { versionId: VersionId } : {}) }];
      });
    } catch (error) {
      if (!isFault(error, "not_implemented")) throw error;
      return this.#deleteSingly(bucket, targets, options);
    }
  }

  /**
   * The prefix is not left to the server: MinIO takes it for a whole key. The listing begins at it, and ends where a server that lists in
   * order is past it; one that does not is read whole.
   */
  async listUploads(
    bucket: string,
    query: { readonly prefix?: string; readonly cursor?: UploadCursor | undefined; readonly maxUploads?: number } = {},
    options: CallOptions = {},
  ): Promise<AdminPage<{ readonly key: string; readonly uploadId: string }, UploadCursor>> {
    const { prefix = "", cursor = prefix === "" ? undefined : { keyMarker: prefix }, maxUploads } = query;
    const list = (uploadIdMarker: string | undefined) =>
      this.calls.run({ operation: "ListMultipartUploads", bucket }, options, ({ sdk, client, call }) => {
        const markers = { KeyMarker: cursor?.keyMarker, UploadIdMarker: uploadIdMarker };
        const input = { Bucket: bucket, MaxUploads: maxUploads, EncodingType: "url" as const, ...markers };
        return client.send(new sdk.ListMultipartUploadsCommand(input), call);
      });
    const page = await list(cursor?.uploadIdMarker).catch((error: unknown) => {
      // versitygw refuses its own marker after a key's last upload. Without it a key's other uploads are passed over, until the next listing.
      if (cursor?.uploadIdMarker === undefined || !isFault(error, "bad_argument")) throw error;
      return list(undefined);
    });
    const all = (page.Uploads ?? []).map(({ Key = "", UploadId: uploadId = "" }) => ({
      key: decodeListed(Key, page.EncodingType),
      uploadId,
    }));
    const items = all.filter(({ key }) => key.startsWith(prefix));
    if (!page.IsTruncated || page.NextKeyMarker === undefined || isPast(prefix, all)) return { items };
    const keyMarker = decodeListed(page.NextKeyMarker, page.EncodingType);
    return { items, next: { keyMarker, ...(page.NextUploadIdMarker ? { uploadIdMarker: page.NextUploadIdMarker } : {}) } };
  }

  async abortUpload(
    bucket: string,
    { key, uploadId }: { readonly key: string; readonly uploadId: string },
    options: CallOptions = {},
  ): Promise<void> {
    const input = { Bucket: bucket, Key: key, UploadId: uploadId };
    const about = { operation: "AbortMultipartUpload", bucket, key };
    await this.calls
      .run(about, options, ({ sdk, client, call }) => client.send(new sdk.AbortMultipartUploadCommand(input), call))
      .catch(orFault("not_found"));
  }

  async readObject(bucket: string, key: string, options: CallOptions = {}): Promise<SmallObject> {
    return this.calls.run({ operation: "GetObject", bucket, key }, options, async ({ sdk, client, call }) => {
      const {
        Body,
        ETag = "",
        ContentLength = 0,
        StorageClass,
      } = await client.send(new sdk.GetObjectCommand({ Bucket: bucket, Key: key }), call);
      if (ContentLength > SMALL_OBJECT_BYTES) {
        (Body as { destroy?: () => void } | undefined)?.destroy?.();
        throw new DriverError(
          "too_big",
          `s3://${bucket}/${key} has ${ContentLength} bytes, more than the ${SMALL_OBJECT_BYTES} it may have`,
          { context: { bucket, key } },
        );
      }
      const body = (await Body?.transformToByteArray()) ?? new Uint8Array();
      return { body, etag: ETag as Etag, ...(StorageClass === undefined ? {} : { storageClass: StorageClass }) };
    });
  }

  async writeObject(
    bucket: string,
    key: string,
    body: Uint8Array,
    options: CallOptions & { readonly ifNoneMatch?: "*"; readonly contentType?: string; readonly storageClass?: string } = {},
  ): Promise<{ readonly etag: Etag }> {
    const { ifNoneMatch, contentType, storageClass } = options;
    const input = {
      ...{ Bucket: bucket, Key: key, Body: body, ContentType: contentType, IfNoneMatch: ifNoneMatch },
      StorageClass: storageClass as StorageClass | undefined,
    };
    const about = { operation: "PutObject", bucket, key };
    const { ETag = "" } = await this.calls.run(
      about,
      options,
      ({ sdk, client, call }) => client.send(new sdk.PutObjectCommand(input), call),
      { creating: options.ifNoneMatch === "*" },
    );
    return { etag: ETag as Etag };
  }

  async copyObject(bucket: string, source: string, target: string, options: CallOptions = {}): Promise<void> {
    const store = this.#store(bucket);
    const { size, headers, metadata } = await store.head(source, options);
    // Not every server copies the empty object of a directory; and a copy without headers gets the bucket's storage class.
    if (size === 0) {
      await store.put(target, new Uint8Array(0), { ...options, headers, metadata });
      return;
    }
    try {
      await store.copy(source, target, { ...options, sourceSize: size, replace: { headers, metadata } });
    } catch (error) {
      if (isFault(error, "not_found")) throw await this.#notCopied(store, source, options, error);
      throw error;
    }
  }

  /** Whether the source of a copy really is not there: s3rver does not find keys that it decodes twice. */
  async #notCopied(store: S3ObjectStore, source: string, options: CallOptions, error: DriverError): Promise<DriverError> {
    try {
      await store.head(source, options);
    } catch (gone) {
      return DriverError.from(gone);
    }
    return new DriverError("not_implemented", `${error.message}; the object is there, but this store cannot copy it`, {
      context: error.context,
      cause: error,
    });
  }

  async close(): Promise<void> {
    await this.calls.close();
    await Promise.all([...this.#stores.values()].map((store) => store.close()));
    this.#stores.clear();
  }

  #store(bucket: string): S3ObjectStore {
    const { endpoint, pathStyle, caBundle, proxy, credentials } = this.#config;
    const found =
      this.#stores.get(bucket) ??
      new S3ObjectStore({
        ...{ bucket, endpoint, pathStyle, caBundle, proxy, region: this.calls.region },
        credentials: createCredentialProvider(credentials === undefined ? { kind: "chain" } : staticKeys(credentials)),
      });
    this.#stores.set(bucket, found);
    return found;
  }

  async #deleteSingly(
    bucket: string,
    targets: readonly { readonly key: string; readonly versionId?: string | undefined }[],
    options: CallOptions,
  ): Promise<readonly VersionDeleteFailure[]> {
    const failures: VersionDeleteFailure[] = [];
    let next = 0;
    const worker = async () => {
      for (let target = targets[next++]; target !== undefined; target = targets[next++]) {
        const { key, versionId } = target;
        const input = { Bucket: bucket, Key: key, VersionId: versionId };
        await this.calls
          .run({ operation: "DeleteObject", bucket, key }, options, ({ sdk, client, call }) =>
            client.send(new sdk.DeleteObjectCommand(input), call),
          )
          .catch(orFault("not_found"))
          .catch((error: Error) => failures.push({ key, error, ...(versionId === undefined ? {} : { versionId }) }));
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL_DELETES, targets.length) }, worker));
    return failures;
  }
}

function staticKeys({ accessKeyId, secretAccessKey, sessionToken }: NonNullable<BucketAdminConfig["credentials"]>): CredentialSource {
  return { kind: "static", accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

/** The SDK decodes XML but not the URL encoding that was asked for. */
function decodeListed(text: string, encoding: string | undefined): string {
  return encoding === "url" ? decodeURIComponent(text.replaceAll("+", " ")) : text;
}

/** True when these keys are in order and the last one comes after all that begin with the prefix. */
function isPast(prefix: string, uploads: readonly { readonly key: string }[]): boolean {
  const last = uploads.at(-1)?.key ?? "";
  const sorted = uploads.every(({ key }, index) => index === 0 || (uploads[index - 1]?.key ?? "") <= key);
  return prefix !== "" && sorted && last > prefix && !last.startsWith(prefix);
}
