/**
 * A `ContentReader` over bytes in memory. `reads` tells what was asked for; `gate`, when set, is awaited before each answer.
 */
import type { Etag } from "#core/brand.ts";
import type { ContentId, WholeFile } from "#fuse/cache/content-cache.ts";
import type { ContentReader } from "#fuse/read/content-reader.ts";

export class MemoryContentReader implements ContentReader {
  readonly id: ContentId;
  readonly reads: (readonly [start: number, end: number])[] = [];
  gate: (() => Promise<void>) | undefined;
  closed = false;
  readonly #content: Uint8Array;
  readonly #mostBytes: number;

  /** Answers at most `mostBytes` a read. */
  constructor(content: Uint8Array, mostBytes = Number.POSITIVE_INFINITY, id?: ContentId) {
    this.id = id ?? { key: "base", etag: '"base"' as Etag, size: content.byteLength };
    this.#content = content;
    this.#mostBytes = mostBytes;
  }

  async read(offset: number, size: number): Promise<readonly Uint8Array[]> {
    if (this.closed) throw new Error("the reader is closed");
    const end = Math.min(offset + Math.min(size, this.#mostBytes), this.#content.byteLength);
    this.reads.push([offset, end]);
    await this.gate?.();
    if (offset >= end) return [];
    // In two pieces, as a reader may.
    const middle = (offset + end) >> 1;
    return [this.#content.subarray(offset, middle), this.#content.subarray(middle, end)];
  }

  async fill(): Promise<WholeFile> {
    throw new Error("a dirty file is filled by reads: the whole base must not be on the disk twice");
  }

  /** Of the same bytes, which is right wherever nothing was changed. */
  sibling(id: ContentId): MemoryContentReader {
    return new MemoryContentReader(this.#content, this.#mostBytes, id);
  }

  close(): void {
    this.closed = true;
  }
}
