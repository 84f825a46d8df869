/** A `ContentReader` without a cache: each read is a ranged GET of exactly that version. */
import type { ContentId, WholeFile } from "#fuse/cache/content-cache.ts";
import type { ContentReader } from "#fuse/read/content-reader.ts";
import type { ObjectStore } from "#s3/object-store.ts";
import { bytesOf } from "./store-assertions.ts";

export class StoreContentReader implements ContentReader {
  readonly id: ContentId;
  closed = false;
  readonly #store: ObjectStore;

  constructor(store: ObjectStore, id: ContentId) {
    this.#store = store;
    this.id = id;
  }

  /** A reader of what stands under the key now. */
  static async of(store: ObjectStore, key: string): Promise<StoreContentReader> {
    const { etag, size } = await store.head(key);
    return new StoreContentReader(store, { key, etag, size });
  }

  async read(offset: number, size: number, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    if (this.closed) throw new Error("the reader is closed");
    const { key, etag, size: end } = this.id;
    const range = { start: offset, end: Math.min(offset + size, end) };
    if (range.start >= range.end) return [];
    return [await bytesOf(await this.#store.get(key, { range, ifMatch: etag, signal }))];
  }

  async fill(): Promise<WholeFile> {
    throw new Error("there is no cache");
  }

  sibling(id: ContentId): StoreContentReader {
    return new StoreContentReader(this.#store, id);
  }

  close(): void {
    this.closed = true;
  }
}
