/**
 * `ContentCache`: contents of clean object versions as plain files on the local disk, bounded in bytes, kept over
 * restarts. One folder belongs to one mount, so that a file may become a kernel backing file and be taken over by a
 * writer without another mount seeing it.
 *
 * A version is named by key + ETag + size; its content never changes. A *whole* file is complete and checked; a
 * *partial* one is sparse, with a record of which ranges it has.
 */
import type { Etag } from "#core/brand.ts";
import type { Range } from "#core/ranges.ts";

export interface ContentId {
  readonly key: string;
  readonly etag: Etag;
  readonly size: number;
}

/** A complete file, open for reading and writing (a backing file must be), pinned against eviction until closed. */
export interface WholeFile {
  readonly id: ContentId;
  readonly fd: number;
  readonly path: string;
  close(): void;
}

/** A sparse file that is being filled. Several users of one version share one; it is pinned while any is open. */
export interface PartialFile {
  readonly id: ContentId;
  readonly fd: number;
  /** True when all of [start, end) is there. */
  has(start: number, end: number): boolean;
  /** The parts of [start, end) that are not there, in order. */
  missing(start: number, end: number): Range[];
  /**
   * Writes bytes at `offset`; they count as present when it resolves with true. False: the cache is full of files in use, nothing
   * was kept.
   */
  write(offset: number, data: Uint8Array | readonly Uint8Array[]): Promise<boolean>;
  /** Exactly `end - start` bytes that `has` confirmed. */
  read(start: number, end: number): Promise<Uint8Array>;
  readonly complete: boolean;
  /** Complete: becomes a whole file of the cache (also later openings find it). Otherwise undefined. */
  promote(): WholeFile | undefined;
  close(): void;
}

export interface ContentCacheStats {
  /** Space taken on the disk, in whole blocks. */
  readonly bytes: number;
  readonly files: number;
  readonly limitBytes: number;
  readonly hits: number;
  readonly misses: number;
  readonly evictions: number;
}

export interface ContentCache {
  /**
   * The whole file of this version if it is here. Counts as a hit or miss, unless `counted` is false: asked before for the same
   * purpose. Synchronous: it is on the way of open(2).
   */
  openWhole(id: ContentId, counted?: boolean): WholeFile | undefined;
  /** Opens what is there of this version, or an empty sparse file. Synchronous. */
  openPartial(id: ContentId): PartialFile;
  /** Stores a whole small file given in memory, and opens it. */
  store(id: ContentId, data: Uint8Array | readonly Uint8Array[]): Promise<WholeFile>;
  /**
   * A file elsewhere on the same disk (a spool file just uploaded) becomes the whole file of this version, by rename. Throws
   * `corrupt` when it has another size; then it stays where it is.
   */
  adopt(id: ContentId, path: string): void;
  /**
   * Gives the whole file away: it leaves the cache and stands at `path` (rename; same inode, so open descriptors and kernel
   * backing ids go on meaning it). False when the version is not here whole.
   */
  surrender(id: ContentId, path: string): boolean;
  /**
   * Gives a partial file away in the same manner; answers which ranges of it are valid. Undefined, and nothing happens, when nothing of
   * the version is here, or somebody has it open.
   */
  surrenderPartial(id: ContentId, path: string): Range[] | undefined;
  /**
   * A sparse file elsewhere on the same disk, of which `ranges` are valid, becomes the partial file of this version, by rename. False, and
   * it stays where it is, when something of the version is here already.
   */
  adoptPartial(id: ContentId, path: string, ranges: Iterable<Range>): boolean;
  /** A version that is no longer the object's: may be deleted at once unless pinned. */
  discard(id: ContentId): void;
  stats(): ContentCacheStats;
  close(): Promise<void>;
}
