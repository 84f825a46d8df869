/**
 * `OrderedStore`: the store as this host sees it. A request that could see an object which is on its way out (`Removals`), or that puts
 * something in its place, waits until it is gone. All others go through at once.
 */
import { untilAborted } from "#core/single-flight.ts";
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
} from "#s3/object-store.ts";
import type { Removals } from "./removals.ts";

type ListQuery = Parameters<ObjectStore["list"]>[0];
type CopiedRange = Parameters<ObjectStore["copyPart"]>[2];

export class OrderedStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #removals: Removals;

  constructor(store: ObjectStore, removals: Removals) {
    this.#store = store;
    this.#removals = removals;
  }

  get name(): string {
    return this.#store.name;
  }

  head(key: string, options?: CallOptions): Promise<ObjectInfo> {
    return this.#after([key], options, () => this.#store.head(key, options));
  }

  get(key: string, options?: GetOptions): Promise<ObjectBody> {
    return this.#after([key], options, () => this.#store.get(key, options));
  }

  put(key: string, body: Payload, options?: PutOptions): Promise<PutResult> {
    return this.#after([key], options, () => this.#store.put(key, body, options));
  }

  list(query: ListQuery, options?: CallOptions): Promise<ListPage> {
    const wait = this.#removals.settledUnder(query.prefix);
    if (wait === undefined) return this.#store.list(query, options);
    return untilAborted(wait, options?.signal).then(() => this.#store.list(query, options));
  }

  copy(source: string, target: string, options?: CopyOptions): Promise<PutResult> {
    return this.#after([source, target], options, () => this.#store.copy(source, target, options));
  }

  delete(key: string, options?: CallOptions & { readonly ifMatch?: ObjectInfo["etag"] }): Promise<void> {
    return this.#after([key], options, () => this.#store.delete(key, options));
  }

  deleteMany(keys: readonly string[], options?: CallOptions): Promise<readonly DeleteFailure[]> {
    return this.#after(keys, options, () => this.#store.deleteMany(keys, options));
  }

  /** It takes the tags of what stands under the key. */
  beginUpload(key: string, options?: BeginUploadOptions): Promise<UploadId> {
    return this.#after([key], options, () => this.#store.beginUpload(key, options));
  }

  uploadPart(upload: UploadId, partNumber: number, body: Payload, options?: CallOptions): Promise<UploadedPart> {
    return this.#store.uploadPart(upload, partNumber, body, options);
  }

  copyPart(upload: UploadId, partNumber: number, source: CopiedRange, options?: CallOptions): Promise<UploadedPart> {
    return this.#after([source.key], options, () => this.#store.copyPart(upload, partNumber, source, options));
  }

  completeUpload(upload: UploadId, parts: readonly UploadedPart[], options?: CallOptions & PutConditions): Promise<PutResult> {
    return this.#after([upload.key], options, () => this.#store.completeUpload(upload, parts, options));
  }

  abortUpload(upload: UploadId, options?: CallOptions): Promise<void> {
    return this.#store.abortUpload(upload, options);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #after<T>(keys: readonly string[], options: CallOptions | undefined, request: () => Promise<T>): Promise<T> {
    if (this.#removals.isIdle) return request();
    const waits = keys.map((key) => this.#removals.settled(key)).filter((wait) => wait !== undefined);
    if (waits.length === 0) return request();
    return untilAborted(Promise.all(waits), options?.signal).then(request);
  }
}
