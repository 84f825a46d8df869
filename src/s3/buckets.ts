/**
 * `BucketAdmin` on the AWS SDK, which is loaded at the first call. Administration is rare and wide (versions, tags,
 * regions, uploads); the SDK knows all of it, and its cost per call does not matter here.
 */
import type { S3Client, S3ClientConfig, S3ServiceException } from "@aws-sdk/client-s3";
import type { Etag } from "#core/brand.ts";
import type { Cause } from "#core/causes.ts";
import { DriverError } from "#core/errors.ts";
import { awsEndpoint } from "./address.ts";
import { createAdminClient } from "./admin-client.ts";
import type {
  AdminPage,
  BucketAdmin,
  BucketAdminConfig,
  ObjectVersion,
  SmallObject,
  UploadCursor,
  VersionCursor,
  VersionDeleteFailure,
  Versioning,
} from "./bucket-admin.ts";
import { errorOfRefusal, errorOfTransport, saysNoTags, saysOwnBucket } from "./errors.ts";
import type { CallOptions } from "./object-store.ts";

type Sdk = typeof import("@aws-sdk/client-s3");

/** What a call is about, for its error. */
interface About {
  readonly operation: string;
  readonly bucket: string;
  readonly key?: string;
}

/** What a call is made with. */
interface Tools {
  readonly sdk: Sdk;
  readonly client: S3Client;
  readonly call: { readonly abortSignal: AbortSignal };
}

/** Administration is in no application's way: it may wait out a slow server. */
const DEADLINE_MS = 60_000;
/** The mark of a bucket has a few hundred bytes. */
const SMALL_OBJECT_BYTES = 1 << 20;
/** Single deletes at a time, where the server has no DeleteObjects. */
const PARALLEL_DELETES = 16;

/** Administration of any bucket at one endpoint. Nothing is sent, and the SDK not loaded, before the first call. */
export function createBucketAdmin(config: BucketAdminConfig): BucketAdmin {
  return new SdkBucketAdmin(config);
}

class SdkBucketAdmin implements BucketAdmin {
  readonly name: string;
  readonly #config: BucketAdminConfig;
  readonly #region: string;
  readonly #clients = new Map<string, Promise<S3Client>>();

  constructor(config: BucketAdminConfig) {
    this.#config = config;
    this.#region = config.region ?? process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? "us-east-1";
    this.name = config.endpoint ?? awsEndpoint(this.#region);
  }

  async ping(options: CallOptions = {}): Promise<void> {
    // Not signed: whether a server is there does not depend on anybody's credentials.
    const unsigned: S3ClientConfig = {
      credentials: { accessKeyId: "none", secretAccessKey: "none" },
      signer: { sign: async (request) => request },
    };
    await this.#run(
      { operation: "ListBuckets", bucket: "" },
      options,
      ({ sdk, client, call }) => client.send(new sdk.ListBucketsCommand({}), call),
      unsigned,
    ).catch((error: DriverError) => {
      const status = Number(error.context.status ?? 0);
      if (status === 0 || status >= 500) throw error;
    });
  }

  async createBucket(bucket: string, options: CallOptions & { readonly region?: string | undefined } = {}): Promise<"created" | "owned"> {
    const region = options.region ?? this.#region;
    // AWS takes a constraint only at that region's endpoint; elsewhere there is one endpoint.
    const client = this.#config.endpoint === undefined ? { region } : {};
    const constraint = region === "us-east-1" ? {} : { CreateBucketConfiguration: { LocationConstraint: region as never } };
    try {
      await this.#run(
        { operation: "CreateBucket", bucket },
        options,
        (tools) => tools.client.send(new tools.sdk.CreateBucketCommand({ Bucket: bucket, ...constraint }), tools.call),
        client,
      );
      return "created";
    } catch (error) {
      if (saysOwnBucket(error)) return "owned";
      throw error;
    }
  }

  async headBucket(bucket: string, options: CallOptions = {}): Promise<void> {
    await this.#run({ operation: "HeadBucket", bucket }, options, ({ sdk, client, call }) =>
      client.send(new sdk.HeadBucketCommand({ Bucket: bucket }), call),
    );
  }

  async deleteBucket(bucket: string, options: CallOptions = {}): Promise<void> {
    const about = { operation: "DeleteBucket", bucket };
    await this.#run(about, options, ({ sdk, client, call }) => client.send(new sdk.DeleteBucketCommand({ Bucket: bucket }), call)).catch(
      orFault("no_bucket"),
    );
  }

  async getVersioning(bucket: string, options: CallOptions = {}): Promise<Versioning> {
    const about = { operation: "GetBucketVersioning", bucket };
    const { Status } = await this.#run(about, options, ({ sdk, client, call }) =>
      client.send(new sdk.GetBucketVersioningCommand({ Bucket: bucket }), call),
    );
    return Status ?? "Off";
  }

  async setVersioning(bucket: string, state: "Enabled" | "Suspended", options: CallOptions = {}): Promise<void> {
    const input = { Bucket: bucket, VersioningConfiguration: { Status: state } };
    await this.#run({ operation: "PutBucketVersioning", bucket }, options, ({ sdk, client, call }) =>
      client.send(new sdk.PutBucketVersioningCommand(input), call),
    );
  }

  async getTags(bucket: string, options: CallOptions = {}): Promise<Readonly<Record<string, string>>> {
    const about = { operation: "GetBucketTagging", bucket };
    try {
      const { TagSet = [] } = await this.#run(about, options, ({ sdk, client, call }) =>
        client.send(new sdk.GetBucketTaggingCommand({ Bucket: bucket }), call),
      );
      return Object.fromEntries(TagSet.map(({ Key = "", Value = "" }) => [Key, Value]));
    } catch (error) {
      if (saysNoTags(error)) return {};
      throw error;
    }
  }

  async setTags(bucket: string, tags: Readonly<Record<string, string>>, options: CallOptions = {}): Promise<void> {
    const TagSet = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
    const input = { Bucket: bucket, Tagging: { TagSet } };
    await this.#run({ operation: "PutBucketTagging", bucket }, options, ({ sdk, client, call }) =>
      client.send(new sdk.PutBucketTaggingCommand(input), call),
    );
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
    const page = await this.#run(about, options, ({ sdk, client, call }) => client.send(new sdk.ListObjectsV2Command(input), call));
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
    const page = await this.#run(about, options, ({ sdk, client, call }) => client.send(new sdk.ListObjectVersionsCommand(input), call));
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
      const { Errors = [] } = await this.#run(about, options, ({ sdk, client, call }) =>
        client.send(new sdk.DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }), call),
      );
      return Errors.flatMap(({ Key: key = "", VersionId, Code: code = "", Message: message = "" }) => {
        const error = errorOfRefusal({ ...about, status: 200, code, message, key, endpoint: this.name, region: this.#region });
        return error.fault === "not_found" ? [] : [{ key, error, ...(VersionId ? { versionId: VersionId } : {}) }];
      });
    } catch (error) {
      if (!(error instanceof DriverError && error.fault === "not_implemented")) throw error;
      return this.#deleteSingly(bucket, targets, options);
    }
  }

  async listUploads(
    bucket: string,
    { cursor, maxUploads }: { readonly cursor?: UploadCursor | undefined; readonly maxUploads?: number } = {},
    options: CallOptions = {},
  ): Promise<AdminPage<{ readonly key: string; readonly uploadId: string }, UploadCursor>> {
    const input = {
      ...{ Bucket: bucket, MaxUploads: maxUploads, EncodingType: "url" as const },
      ...{ KeyMarker: cursor?.keyMarker, UploadIdMarker: cursor?.uploadIdMarker },
    };
    const about = { operation: "ListMultipartUploads", bucket };
    const page = await this.#run(about, options, ({ sdk, client, call }) => client.send(new sdk.ListMultipartUploadsCommand(input), call));
    const items = (page.Uploads ?? []).map(({ Key = "", UploadId: uploadId = "" }) => ({
      key: decodeListed(Key, page.EncodingType),
      uploadId,
    }));
    if (!page.IsTruncated || page.NextKeyMarker === undefined) return { items };
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
    await this.#run(about, options, ({ sdk, client, call }) => client.send(new sdk.AbortMultipartUploadCommand(input), call)).catch(
      orFault("not_found"),
    );
  }

  async readObject(bucket: string, key: string, options: CallOptions = {}): Promise<SmallObject> {
    return this.#run({ operation: "GetObject", bucket, key }, options, async ({ sdk, client, call }) => {
      const { Body, ETag = "", ContentLength = 0 } = await client.send(new sdk.GetObjectCommand({ Bucket: bucket, Key: key }), call);
      if (ContentLength > SMALL_OBJECT_BYTES) {
        (Body as { destroy?: () => void } | undefined)?.destroy?.();
        throw new DriverError(
          "too_big",
          `s3://${bucket}/${key} has ${ContentLength} bytes, more than the ${SMALL_OBJECT_BYTES} it may have`,
          { context: { bucket, key } },
        );
      }
      return { body: (await Body?.transformToByteArray()) ?? new Uint8Array(), etag: ETag as Etag };
    });
  }

  async writeObject(
    bucket: string,
    key: string,
    body: Uint8Array,
    options: CallOptions & { readonly ifNoneMatch?: "*"; readonly contentType?: string } = {},
  ): Promise<{ readonly etag: Etag }> {
    const input = { Bucket: bucket, Key: key, Body: body, ContentType: options.contentType, IfNoneMatch: options.ifNoneMatch };
    const about = { operation: "PutObject", bucket, key };
    const { ETag = "" } = await this.#run(
      about,
      options,
      ({ sdk, client, call }) => client.send(new sdk.PutObjectCommand(input), call),
      {},
      options.ifNoneMatch === "*",
    );
    return { etag: ETag as Etag };
  }

  async close(): Promise<void> {
    const clients = await Promise.allSettled(this.#clients.values());
    this.#clients.clear();
    for (const client of clients) if (client.status === "fulfilled") client.value.destroy();
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
        await this.#run({ operation: "DeleteObject", bucket, key }, options, ({ sdk, client, call }) =>
          client.send(new sdk.DeleteObjectCommand(input), call),
        )
          .catch(orFault("not_found"))
          .catch((error: Error) => failures.push({ key, error, ...(versionId === undefined ? {} : { versionId }) }));
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL_DELETES, targets.length) }, worker));
    return failures;
  }

  /** One call: a deadline, a client, and faults for what it throws. */
  async #run<T>(
    about: About,
    { signal, deadlineMs = DEADLINE_MS }: CallOptions,
    make: (tools: Tools) => Promise<T>,
    client: S3ClientConfig = {},
    creating = false,
  ): Promise<T> {
    const timeout = AbortSignal.timeout(deadlineMs);
    try {
      const sdk = await import("@aws-sdk/client-s3");
      const abortSignal = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
      return await make({ sdk, client: await this.#client(sdk, client), call: { abortSignal } });
    } catch (thrown) {
      if (timeout.aborted && !signal?.aborted) {
        throw new DriverError("timed_out", `${about.operation}: no answer from ${this.name} in ${deadlineMs} ms`, {
          context: { ...about, cause: "unreachable" satisfies Cause },
          cause: thrown,
        });
      }
      throw this.#errorOf(thrown, about, creating);
    }
  }

  #client(sdk: Sdk, special: S3ClientConfig): Promise<S3Client> {
    const kind = special.signer ? "unsigned" : String(special.region ?? this.#region);
    const found = this.#clients.get(kind) ?? Promise.resolve(createAdminClient(sdk, this.#config, { region: this.#region, ...special }));
    this.#clients.set(kind, found);
    return found;
  }

  #errorOf(thrown: unknown, about: About, creating: boolean): DriverError {
    if (thrown instanceof DriverError) return thrown;
    const { name, message, $metadata, $response } = thrown as Partial<S3ServiceException> & Error;
    const status = $metadata?.httpStatusCode;
    if (status === undefined) return errorOfTransport(thrown, this.name, { ...about });
    return errorOfRefusal(
      {
        ...{ ...about, status, creating, endpoint: this.name, region: this.#region, requestId: $metadata?.requestId },
        // Without a body the SDK makes up a name and a message.
        ...(/^(?:Unknown|UnknownError|\d+)$/.test(name)
          ? { code: "", message: "" }
          : { code: name, message: message === "UnknownError" ? "" : message }),
        rightRegion: $response?.headers["x-amz-bucket-region"],
        skewMs: skewOf($response?.headers["date"]),
      },
      thrown,
    );
  }
}

/** The SDK decodes XML but not the URL encoding that was asked for. */
function decodeListed(text: string, encoding: string | undefined): string {
  return encoding === "url" ? decodeURIComponent(text.replaceAll("+", " ")) : text;
}

/** The server's clock less ours. */
function skewOf(date: string | undefined): number | undefined {
  const ms = Date.parse(date ?? "") - Date.now();
  return Number.isNaN(ms) ? undefined : ms;
}

/** Takes one fault for success. */
function orFault(fault: "not_found" | "no_bucket"): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof DriverError && error.fault === fault)) throw error;
  };
}
