/** `S3ObjectStore`: the `ObjectStore` of a real bucket. Each method is one file's work; this is the list of them. */
import type { Etag } from "#core/brand.ts";
import type { Clock } from "#core/clock.ts";
import { type AddressConfig, addressOf } from "./address.ts";
import { COPY_LIMITS, type CopyLimits, copyObject } from "./copy-object.ts";
import type { CredentialProvider } from "./credentials.ts";
import { BatchDelete, deleteObject } from "./delete-objects.ts";
import { createConnections, type DispatcherConfig } from "./dispatcher.ts";
import type { BodyLimits } from "./exchange.ts";
import { getObject, headObject } from "./get-object.ts";
import { type RequestWatch, S3Http, type StoreStats } from "./http.ts";
import { type ListQuery, listObjects } from "./list.ts";
import { abortUpload, beginUpload, completeUpload, copyPart, uploadPart } from "./multipart.ts";
import type {
  BeginUploadOptions,
  CallOptions,
  CopyOptions,
  DeleteFailure,
  GetOptions,
  ListPage,
  ObjectBody,
  ObjectInfo,
  ObjectStore,
  Payload,
  PutConditions,
  PutOptions,
  PutResult,
  UploadedPart,
  UploadId,
} from "./object-store.ts";
import { putObject } from "./put-object.ts";
import type { RetryPolicy } from "./retry.ts";

export interface S3StoreConfig extends AddressConfig {
  readonly credentials: CredentialProvider;
  readonly caBundle?: string | undefined;
  readonly proxy?: string | undefined;
  /** Requests at a time, streamed bodies included. Default 64. */
  readonly maxInFlight?: number | undefined;
  /** LIST asks for user metadata (MinIO's extension); also settable later, after a probe. */
  readonly listMetadata?: boolean | undefined;
  readonly retry?: RetryPolicy | undefined;
  readonly bodyLimits?: BodyLimits | undefined;
  readonly copyLimits?: CopyLimits | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  readonly watch?: RequestWatch | undefined;
}

/** As many as S3 clients commonly hold against one bucket; with 8 MiB parts, 512 MiB in flight at most. */
const MAX_IN_FLIGHT = 64;

export class S3ObjectStore implements ObjectStore {
  readonly name: string;
  /** LIST asks for user metadata. */
  listMetadata: boolean;
  readonly #http: S3Http;
  #route: Pick<DispatcherConfig, "origin" | "connections" | "caBundle" | "proxy">;
  readonly #batchDelete: BatchDelete;
  readonly #copyLimits: CopyLimits;

  constructor(config: S3StoreConfig) {
    const { credentials, caBundle, proxy, maxInFlight = MAX_IN_FLIGHT, listMetadata = false, copyLimits = COPY_LIMITS } = config;
    const { retry, bodyLimits, clock, random, watch } = config;
    const address = addressOf(config);
    this.#route = { origin: address.origin, connections: maxInFlight, caBundle, proxy };
    const connections = createConnections(this.#route);
    this.name = `s3://${config.bucket}`;
    this.listMetadata = listMetadata;
    this.#http = new S3Http({ address, credentials, ...connections, maxInFlight, retry, bodyLimits, clock, random, watch });
    this.#batchDelete = new BatchDelete(this.#http);
    this.#copyLimits = copyLimits;
  }

  /** Requests, errors and bytes since the start. */
  stats(): StoreStats {
    return this.#http.stats();
  }

  /**
   * Goes on with other keys, and by another way where that differs; what is under way ends as it began. Throws `bad_argument` for a wrong
   * CA bundle or proxy: then everything is as before.
   */
  renewAccess({ credentials, caBundle, proxy }: Pick<S3StoreConfig, "credentials" | "caBundle" | "proxy">): void {
    const isSame = caBundle === this.#route.caBundle && proxy === this.#route.proxy;
    const route = { ...this.#route, caBundle, proxy };
    this.#http.renew({ credentials, connections: isSame ? undefined : createConnections(route) });
    this.#route = route;
  }

  head(key: string, options?: CallOptions): Promise<ObjectInfo> {
    return headObject(this.#http, key, options);
  }

  get(key: string, options?: GetOptions): Promise<ObjectBody> {
    return getObject(this.#http, key, options);
  }

  put(key: string, body: Payload, options?: PutOptions): Promise<PutResult> {
    return putObject(this.#http, key, body, options);
  }

  list(query: ListQuery, options?: CallOptions): Promise<ListPage> {
    return listObjects(this.#http, query, this.listMetadata, options);
  }

  /** A page with user metadata, whatever `listMetadata` says: for the probe. */
  listWithMetadata(query: ListQuery, options?: CallOptions): Promise<ListPage> {
    return listObjects(this.#http, query, true, options);
  }

  copy(source: string, target: string, options?: CopyOptions): Promise<PutResult> {
    return copyObject(this.#http, source, target, options, this.#copyLimits);
  }

  delete(key: string, options?: CallOptions & { readonly ifMatch?: Etag }): Promise<void> {
    return deleteObject(this.#http, key, options);
  }

  deleteMany(keys: readonly string[], options?: CallOptions): Promise<readonly DeleteFailure[]> {
    return this.#batchDelete.delete(keys, options);
  }

  beginUpload(key: string, options?: BeginUploadOptions): Promise<UploadId> {
    return beginUpload(this.#http, key, options);
  }

  uploadPart(upload: UploadId, partNumber: number, body: Payload, options?: CallOptions): Promise<UploadedPart> {
    return uploadPart(this.#http, upload, partNumber, body, options);
  }

  copyPart(
    upload: UploadId,
    partNumber: number,
    source: { key: string; start: number; end: number; ifMatch?: Etag },
    options?: CallOptions,
  ): Promise<UploadedPart> {
    return copyPart(this.#http, upload, partNumber, source, options);
  }

  completeUpload(upload: UploadId, parts: readonly UploadedPart[], options?: CallOptions & PutConditions): Promise<PutResult> {
    return completeUpload(this.#http, upload, parts, options);
  }

  abortUpload(upload: UploadId, options?: CallOptions): Promise<void> {
    return abortUpload(this.#http, upload, options);
  }

  close(): Promise<void> {
    return this.#http.close();
  }
}
