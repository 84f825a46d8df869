/**
 * `OpenContent`: the bytes of an open file, shared by all its handles, and how the kernel reaches them.
 *
 * Clean content is a whole file of the cache or a reader that fetches; the first writer turns it into a `DirtyFile`. In passthrough
 * the kernel reads and writes the local file itself, and all opens of the inode must say so with the same backing
 * file until the last is closed (Linux answers EIO otherwise); so the mode is settled by the first open and kept. A whole cached
 * file moves into the spool when a writer comes: the same file on disk, so that readers with it open see the writes.
 */
import type { Etag } from "#core/brand.ts";
import type { DriverError } from "#core/errors.ts";
import type { WholeFile } from "#fuse/cache/content-cache.ts";
import type { DirtyRow } from "#fuse/journal/state-store.ts";
import type { ContentReader } from "#fuse/read/content-reader.ts";
import type { DirtyFile } from "#fuse/write/dirty-file.ts";
import type { MetadataAhead } from "./metadata-ahead.ts";
import type { SentVersion } from "./own-version.ts";

/** Bytes on their way into the bucket: sending.ts. */
export interface Sending {
  /** Resolves when the store answered, whatever it said. */
  readonly transferred: Promise<void>;
  /** Waits for the answer and lets the inode follow; under its lock. Rejects with what the writer must hear. Once is enough, more is no harm. */
  finish(): Promise<void>;
  /** The file is removed or moves: what is not sent need not be. `finish` rejects with `interrupted` then, unless all of it was sent. */
  cancel(): void;
  readonly isCancelled: boolean;
}

export interface OpenContent {
  /** Set: the mode is `passthrough`. */
  backingId: number | undefined;
  whole: WholeFile | undefined;
  reader: ContentReader | undefined;
  dirty: DirtyFile | undefined;
  handles: number;
  writers: number;
  /** A handle opened for reading and writing had it as its backing file: a mapping may write to it unseen. */
  mayBeMapped: boolean;
  /** The multipart upload under way, for a successor to end. */
  upload: DirtyRow["upload"];
  /** Uploads that failed since the last success: one of them may be in the bucket all the same. */
  sent: SentVersion[];
  /** During a rename of unsent content: what stands under the new name, which the upload replaces in place of the inode's own version. */
  replaces?: { readonly etag: Etag } | null | undefined;
  /** O_EXCL created it: the first upload must find nothing there. */
  exclusive: boolean;
  /** Parts were sent before the upload, at some time: what the last such object was said to carry. */
  ahead?: MetadataAhead;
  /** A close that did not wait for the bucket made it due. */
  closed?: boolean;
  /** The request that removes the object is under way. */
  removing?: boolean;
  /** The content is on its way into the bucket. */
  sending?: Sending | undefined;
  /** What is on its way, for a successor: the file may be another by then. */
  underWay?: SentVersion | undefined;
  /** An upload that nobody waited for found the object replaced elsewhere: told to who closes or syncs next. */
  refusal?: DriverError | undefined;
}
