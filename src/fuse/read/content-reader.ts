/**
 * `ContentReader`: reads one clean object version, from the cache where it has it, from the bucket where not, with
 * read-ahead. Every GET carries If-Match of the version's ETag: a replaced object gives the fault `stale`, never mixed bytes.
 */
import type { ContentId, WholeFile } from "#fuse/cache/content-cache.ts";

export interface ContentReader {
  readonly id: ContentId;
  /**
   * Bytes [offset, offset + size), cut at the end of the file. Pieces in order, lent until the next turn of the event loop: use them at
   * once, or copy.
   */
  read(offset: number, size: number, signal?: AbortSignal): Promise<readonly Uint8Array[]>;
  /** Brings the whole content to the disk and opens it. Concurrent calls share the work. */
  fill(signal?: AbortSignal): Promise<WholeFile>;
  /** A reader of another version: what this one is asked for goes on there. */
  sibling(id: ContentId): ContentReader;
  /** Stops read-ahead and lets the cached file go. */
  close(): void;
}

export interface ContentReaders {
  /** A reader of this version; readers of one version share their fetches. */
  open(id: ContentId): ContentReader;
  /** Bytes held in memory for reads now, and their limit. */
  memory(): { readonly bytes: number; readonly limitBytes: number };
  close(): Promise<void>;
}
