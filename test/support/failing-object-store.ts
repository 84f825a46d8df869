/**
 * Wraps any `ObjectStore` and makes chosen calls fail, lose their answer, break in the body, or wait.
 *
 * ```ts
 * const store = new FailingObjectStore(new MemoryObjectStore());
 * store.fail("put", { fault: "unavailable", times: 2 });            // before it is carried out
 * store.fail("put", { fault: "timed_out", after: true });           // carried out, the answer is lost
 * store.fail("get", { fault: "unavailable", bodyBytes: 1000 });     // the body breaks
 * const release = store.hold("put");                                // the next puts wait
 * ```
 */
import type { Etag } from "#core/brand.ts";
import { DriverError, type Fault } from "#core/errors.ts";
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

export type StoreMethod = Exclude<keyof ObjectStore, "name" | "close">;

export interface Failure {
  readonly fault: Fault;
  /** How many calls; default 1. */
  readonly times?: number;
  /** Only calls for these keys (of a copy: the target; of a list: the prefix; of a deleteMany: any of them). */
  readonly when?: (key: string) => boolean;
  /** The call is carried out first. */
  readonly after?: boolean;
  /** `get` only: the call succeeds, and its body fails after so many bytes. */
  readonly bodyBytes?: number;
}

interface Armed extends Failure {
  left: number;
}

export class FailingObjectStore implements ObjectStore {
  readonly inner: ObjectStore;
  /** Calls by method, failed ones included. */
  readonly calls: Partial<Record<StoreMethod, number>> = {};
  readonly #armed = new Map<StoreMethod, Armed[]>();
  readonly #gates = new Map<StoreMethod, Promise<void>>();

  constructor(inner: ObjectStore) {
    this.inner = inner;
  }

  get name(): string {
    return this.inner.name;
  }

  /** Arms a failure. Several for one method are used up in the order in which they were armed. */
  fail(method: StoreMethod, failure: Failure): void {
    const list = this.#armed.get(method) ?? [];
    list.push({ ...failure, left: failure.times ?? 1 });
    this.#armed.set(method, list);
  }

  /** Disarms all. */
  mend(): void {
    this.#armed.clear();
  }

  /** Calls of `method` wait from now on, until the function that it answers is called. */
  hold(method: StoreMethod): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gates.set(method, promise);
    return () => {
      this.#gates.delete(method);
      resolve();
    };
  }

  head(key: string, options?: CallOptions): Promise<ObjectInfo> {
    return this.#through("head", key, () => this.inner.head(key, options));
  }

  async get(key: string, options?: GetOptions): Promise<ObjectBody> {
    const failure = await this.#enter("get", key, (armed) => armed.bodyBytes === undefined);
    if (failure) throw errorOf(failure, "get", key);
    const breaking = this.#take("get", key, (armed) => armed.bodyBytes !== undefined);
    const body = await this.inner.get(key, options);
    return breaking ? { ...body, cancel: () => body.cancel(), stream: breakingStream(body, breaking, key) } : body;
  }

  put(key: string, body: Payload, options?: PutOptions): Promise<PutResult> {
    return this.#through("put", key, () => this.inner.put(key, body, options));
  }

  list(query: Parameters<ObjectStore["list"]>[0], options?: CallOptions): Promise<ListPage> {
    return this.#through("list", query.prefix, () => this.inner.list(query, options));
  }

  copy(source: string, target: string, options?: CopyOptions): Promise<PutResult> {
    return this.#through("copy", target, () => this.inner.copy(source, target, options));
  }

  delete(key: string, options?: CallOptions & { readonly ifMatch?: Etag }): Promise<void> {
    return this.#through("delete", key, () => this.inner.delete(key, options));
  }

  deleteMany(keys: readonly string[], options?: CallOptions): Promise<readonly DeleteFailure[]> {
    return this.#through("deleteMany", keys, () => this.inner.deleteMany(keys, options));
  }

  beginUpload(key: string, options?: BeginUploadOptions): Promise<UploadId> {
    return this.#through("beginUpload", key, () => this.inner.beginUpload(key, options));
  }

  uploadPart(upload: UploadId, partNumber: number, body: Payload, options?: CallOptions): Promise<UploadedPart> {
    return this.#through("uploadPart", upload.key, () => this.inner.uploadPart(upload, partNumber, body, options));
  }

  copyPart(...args: Parameters<ObjectStore["copyPart"]>): Promise<UploadedPart> {
    return this.#through("copyPart", args[0].key, () => this.inner.copyPart(...args));
  }

  completeUpload(upload: UploadId, parts: readonly UploadedPart[], options?: CallOptions & PutConditions): Promise<PutResult> {
    return this.#through("completeUpload", upload.key, () => this.inner.completeUpload(upload, parts, options));
  }

  abortUpload(upload: UploadId, options?: CallOptions): Promise<void> {
    return this.#through("abortUpload", upload.key, () => this.inner.abortUpload(upload, options));
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  async #through<T>(method: StoreMethod, key: string | readonly string[], act: () => Promise<T>): Promise<T> {
    const failure = await this.#enter(method, key, () => true);
    if (failure && !failure.after) throw errorOf(failure, method, key);
    const result = await act();
    if (failure) throw errorOf(failure, method, key);
    return result;
  }

  async #enter(method: StoreMethod, key: string | readonly string[], kind: (armed: Armed) => boolean): Promise<Armed | undefined> {
    this.calls[method] = (this.calls[method] ?? 0) + 1;
    await this.#gates.get(method);
    return this.#take(method, key, kind);
  }

  #take(method: StoreMethod, key: string | readonly string[], kind: (armed: Armed) => boolean): Armed | undefined {
    const keys = typeof key === "string" ? [key] : key;
    const found = this.#armed.get(method)?.find((armed) => armed.left > 0 && kind(armed) && keys.some(armed.when ?? (() => true)));
    if (found) found.left -= 1;
    return found;
  }
}

async function* breakingStream(body: ObjectBody, failure: Armed, key: string): AsyncGenerator<Uint8Array> {
  let left = failure.bodyBytes ?? 0;
  try {
    for await (const chunk of body.stream) {
      if (chunk.byteLength > left) {
        if (left > 0) yield chunk.subarray(0, left);
        throw errorOf(failure, "get", key);
      }
      left -= chunk.byteLength;
      yield chunk;
    }
  } finally {
    body.cancel();
  }
}

function errorOf({ fault }: Failure, method: StoreMethod, key: string | readonly string[]): DriverError {
  return new DriverError(fault, `${method} ${String(key)}: made to fail`, { context: { operation: method, key: String(key) } });
}
