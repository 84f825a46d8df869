/**
 * `Spool`: the folder of spool files of one mount.
 */

import type { Range } from "#core/ranges.ts";
import type { ContentId } from "#fuse/cache/content-cache.ts";
import type { DirtyRow } from "#fuse/journal/state-store.ts";
import type { ContentReader } from "#fuse/read/content-reader.ts";
import type { DirtyFile } from "./dirty-file.ts";

export interface Spool {
  /** An empty file, dirty from the start. */
  create(): DirtyFile;
  /** Where a file of the cache may be moved to by `ContentCache.surrender`; then `adopt` it. */
  pathFor(spool: string): string;
  /** A new spool file name that is not in use. */
  freshName(): string;
  /**
   * A spool file that holds a whole clean content (moved here): clean until it is written to. `tracked`: the version that it is; what
   * differs from that will be known.
   */
  adopt(spool: string, tracked?: ContentId): DirtyFile;
  /**
   * A sparse file of the base version's size; `base` is read on demand and closed with the file. `held`: a spool file that has some of it
   * already (moved here); default: a new one, nothing local yet.
   */
  overlay(base: ContentReader, held?: { readonly spool: string; readonly ranges: Iterable<Range> }): DirtyFile;
  /** After a crash: the spool file of a row. `base` is needed when the row has extents. Dirty. */
  recover(row: DirtyRow, base: ContentReader | undefined): DirtyFile;
  /** True when the store can copy objects of this size part by part, so that what equals a version need not be sent. */
  copies(size: number): boolean;
  /** Spool files on disk that no row names: left by a crash before the row was put. Their paths; nothing is deleted. */
  orphans(rows: Iterable<DirtyRow>): readonly string[];
  /** Bytes of all spool files. */
  bytes(): number;
}
