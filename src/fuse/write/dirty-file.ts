/**
 * `DirtyFile`: the newest content of a file that is open for writing, in a spool file on the local disk.
 *
 * The kernel may write to the spool file directly (passthrough), so what is dirty is found by looking at the file, not by
 * counting write calls: `changed()` compares size, mtime and ctime with those at the last upload.
 * Content that was not written here comes from the *base* version, on demand (`extents`), or is all there from the start. A version
 * that an upload stored is the base from then on.
 */
import type { Etag } from "#core/brand.ts";
import type { Timespec } from "#core/clock.ts";
import type { ContentId, WholeFile } from "#fuse/cache/content-cache.ts";
import type { DirtyRow } from "#fuse/journal/state-store.ts";
import type { ObjectHeaders, PutConditions, PutResult, UserMetadata } from "#s3/object-store.ts";

export interface UploadTarget extends PutConditions {
  readonly key: string;
  readonly headers: ObjectHeaders;
  readonly metadata: UserMetadata;
  readonly signal?: AbortSignal | undefined;
  /**
   * Aborted when the upload is not wanted any more: no further byte is sent, and the call rejects with `interrupted`. Other than with
   * `signal`, a request that stores the object is not broken off, since nobody would know then whether it was carried out.
   */
  readonly cancelled?: AbortSignal | undefined;
  /**
   * A process may have the spool file mapped shared and writable: it was a backing file of a handle open for reading and writing.
   * The file's pages are then written to the disk first (fdatasync), without which a store into a page that is dirty already cannot be
   * noticed. Not needed for handles that only write: they cannot be mapped so.
   */
  readonly mayBeMapped?: boolean;
  /** Told of the multipart upload that begins, and (undefined) of its end: for `DirtyRow.upload`, so that a successor can abort it. */
  readonly onMultipart?: (upload: DirtyRow["upload"]) => void;
}

/** What parts that are sent before the upload go to; asked while the file is written, so both are synchronous and cheap. */
export interface AheadTarget {
  /** The key that an upload would go to now; undefined: there will be none. */
  key(): string | undefined;
  /** An upload begins. Its metadata is fixed from now on, its conditions are those of the upload that ends it. */
  begin(): UploadTarget;
}

export interface UploadResult extends PutResult {
  readonly size: number;
  /** Of the content that was sent. */
  readonly mtime: Timespec;
  /** What the object carries: the target's, or that of the `AheadTarget` where parts that were sent ahead were used. The same object. */
  readonly metadata: UserMetadata;
}

export interface DirtyFile {
  /** Open for reading and writing. */
  readonly fd: number;
  readonly path: string;
  /** The spool file's name in its folder, for the state store. */
  readonly spool: string;
  /** All bytes are local. */
  readonly whole: boolean;
  /**
   * Every write must come through `write`, since it is noted what differs from the version in the bucket: the file cannot be a kernel
   * backing file. Without this it can.
   */
  readonly isTracked: boolean;
  /** Ranges valid locally, or null when whole: what the state store keeps. */
  extents(): readonly (readonly [start: number, end: number])[] | null;
  /** From fstat(2) of the spool file: true while the kernel writes to it as well. Synchronous. */
  stat(): { readonly size: number; readonly mtime: Timespec; readonly ctime: Timespec; readonly blocks: number };
  read(offset: number, size: number, signal?: AbortSignal): Promise<readonly Uint8Array[]>;
  write(offset: number, data: Uint8Array): Promise<number>;
  truncate(size: number): Promise<void>;
  /** Sets the spool file's times, so that its mtime stays the truth. Counts as a change only of metadata. */
  setTimes(atime: Timespec, mtime: Timespec): void;
  /** Brings in everything that is still only in the base version. */
  fill(signal?: AbortSignal): Promise<void>;
  /**
   * Takes the content of a whole clean file in place of its own. As long as it has exactly that, an upload has the store copy the version.
   * Only for an empty file that is not tracked, while nobody writes to it.
   */
  takeCopy(source: WholeFile): Promise<void>;
  /** The bytes of version `before` stand in the bucket as `after`, unless they were changed here: if that was the base, this is. */
  follow(before: Pick<ContentId, "key" | "etag">, after: ContentId): void;
  /** True when the content differs from what was last uploaded or adopted. A doubtful case is true. */
  changed(): boolean;
  /** Regards the present content as uploaded: after adopting a clean file. */
  markClean(): void;
  /**
   * Uploads the present content: one PUT, or parts in parallel from `multipartFrom` bytes on, those that are as in the base copied
   * inside the store where it can do that. Everything written before the call is
   * in the object. If the file changed while it was being sent, it is sent again before this resolves, so the object never is a mix.
   * After it `changed()` is false, unless the file is written to all the time: then a copy of one moment was sent.
   * Conditions of the target hold against what stood in the bucket before the call, also when it is sent more than once, and when an
   * earlier call failed after a version of its own had reached the bucket.
   */
  upload(target: UploadTarget): Promise<UploadResult>;
  /** The version that an upload to this key, which failed later, had stored there. */
  leftAt(key: string): Etag | undefined;
  /**
   * From now on parts may be sent before `upload` is called, while the file is new and grows (early-parts.ts). A failure of theirs
   * is nobody's error. Nothing for files that have a base version; the first call counts.
   */
  sendAhead(target: AheadTarget): void;
  /** Shows this mtime for as long as the content stays what `upload` last sent. No change, of nothing. */
  showMtime(mtime: Timespec): void;
  /** fdatasync(2) of the spool file. */
  sync(): Promise<void>;
  /** Closes the descriptor; the spool file stays. */
  close(): void;
  /** Closes and removes the spool file. Only for content that is in the bucket or that the user deleted. */
  discard(): void;
}
