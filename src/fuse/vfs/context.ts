/** What the parts of one mounted file system share: its store, its local folders, its options. Made once by the engine. */
import type { Clock } from "#core/clock.ts";
import type { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import type { SharedMutex } from "#core/mutex.ts";
import type { AttrCache } from "#fuse/cache/attr-cache.ts";
import type { ContentCache } from "#fuse/cache/content-cache.ts";
import type { StateStore } from "#fuse/journal/state-store.ts";
import type { ContentReaders } from "#fuse/read/content-reader.ts";
import type { Spool } from "#fuse/write/spool.ts";
import type { ObjectStore } from "#s3/object-store.ts";
import type { InodeTable } from "./inode-table.ts";
import type { KernelPort } from "./kernel-port.ts";
import type { AttributeDefaults } from "./object-metadata.ts";
import type { Removals } from "./removals.ts";
import type { UploadDelays } from "./upload-queue.ts";

/** Which conditions the store really obeys, from its probe. What it does not is not relied on. */
export interface StoreConditions {
  readonly putIfNoneMatch: boolean;
  readonly putIfMatch: boolean;
  readonly deleteIfMatch: boolean;
  readonly copySourceIfMatch: boolean;
}

export interface VfsOptions extends AttributeDefaults {
  /** "" or ending in "/". */
  readonly prefix: string;
  readonly readOnly: boolean;
  /** How long an entry or attribute is believed without asking the bucket again, ms. */
  readonly metadataTtlMs: number;
  /** Files up to this size are brought to the disk whole at open, bytes. */
  readonly fillAtOpenBytes: number;
  /**
   * Whole cached files of this size and above that are opened for writing are written through the engine, which then knows what the
   * bucket has already (DirtyFile.isTracked). Smaller ones the kernel writes itself: faster, and then all of the file is sent.
   */
  readonly trackFromBytes: number;
  readonly storageClass?: string | undefined;
  /** remote: close(2) waits until the file is in the bucket. local: it is sent soon after; fsync(2) waits. */
  readonly durability: "remote" | "local";
  /** With `durability=local`: close(2) waits while more than this is unsent, bytes. Default: no limit. */
  readonly unsentLimitBytes?: number | undefined;
  readonly uploadDelays?: UploadDelays | undefined;
  /** The kernel enforces ACLs, and leaves umask and default ACLs to us. */
  readonly acl?: boolean;
  /** Permission bits that nothing shows. */
  readonly umask?: number;
  /** The group that everything belongs to; see group-view.ts. It may change while mounted. */
  group?: number | undefined;
  /** Where the data of a writer goes whose object was replaced elsewhere. */
  readonly conflictDir: string;
}

export interface VfsContext {
  /** An `OrderedStore` over `removals`. */
  readonly store: ObjectStore;
  readonly removals: Removals;
  readonly conditions: StoreConditions;
  readonly options: VfsOptions;
  readonly inodes: InodeTable;
  readonly state: StateStore;
  readonly attrs: AttrCache;
  readonly contents: ContentCache;
  readonly readers: ContentReaders;
  readonly spool: Spool;
  readonly kernel: KernelPort;
  readonly clock: Clock;
  readonly log: Logger;
  /**
   * Shared by changes of single names and by uploads, owned by a directory's rename: an upload that began under a key which the
   * rename then leaves behind would bring the old name back. Not re-entrant: taken once, where a request comes in.
   */
  readonly namespace: SharedMutex;
  /** Hears how many closed files could not be uploaded and wait for another try, and why the last one could not. */
  readonly onUploads?: ((waiting: number, failure: DriverError | undefined) => void) | undefined;
}
