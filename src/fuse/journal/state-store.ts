/**
 * `StateStore`: what a successor engine must know, kept in the state folder.
 *
 * INIT happens once per connection, and the kernel goes on using node and handle numbers across an engine's
 * death. So each `put` is in the kernel's page cache when it returns: it survives SIGKILL of the engine.
 * `sync` makes it survive a power loss too. Rows are small and absolute (a put replaces the row of that id),
 * so replaying any prefix of the history gives a state that once was.
 */
import type { Etag, HandleId, NodeId } from "#core/brand.ts";
import type { ObjectHeaders, UploadedPart, UserMetadata } from "#s3/object-store.ts";

export type NodeKind = "file" | "dir" | "symlink" | "special";

/** Where a node the kernel knows stands in the tree. */
export interface InodeRow {
  readonly node: NodeId;
  readonly parent: NodeId;
  readonly name: string;
  readonly kind: NodeKind;
  /** True once the name was removed while the node was still known or open. */
  readonly unlinked?: boolean;
  /** Its further names (hard links), with the version that was last seen under each. */
  readonly links?: readonly { readonly parent: NodeId; readonly name: string; readonly etag?: Etag }[];
}

export interface HandleRow {
  readonly handle: HandleId;
  readonly node: NodeId;
  readonly kind: "file" | "dir";
  /** open(2)'s flags. */
  readonly flags: number;
  /** The backing id the kernel uses for it: it must be used again for this inode by a successor. */
  readonly backingId?: number;
}

/** As the name of a spool file: there is none. */
export const ATTRIBUTES_ONLY = "";

/** A file whose newest content is on the local disk and not (or not surely) in the bucket. */
export interface DirtyRow {
  readonly node: NodeId;
  /** The spool file's name inside the spool folder; ATTRIBUTES_ONLY where the content is in the bucket (`base`) and `metadata` is not. */
  readonly spool: string;
  readonly key: string;
  /** The version this content was made from; null for a file that never was in the bucket. */
  readonly base: { readonly key: string; readonly etag: Etag; readonly size: number } | null;
  /** Byte ranges valid in the spool file, half-open; null when all of it is. Bytes outside come from `base`. */
  readonly extents: readonly (readonly [start: number, end: number])[] | null;
  readonly headers: ObjectHeaders;
  readonly metadata: UserMetadata;
  /** It was closed, and nobody waits for its upload: a successor sends it, whoever has it open. */
  readonly closed?: boolean;
  /** Its object was being removed: when that is gone, so is the file. */
  readonly removing?: boolean;
  /** Uploads of other states of the file than `metadata` tells, which may be in the bucket: begun, and without an answer yet. */
  readonly sent?: readonly SentMark[];
  /** A multipart upload under way, and what of it is in the bucket; `metadata` where its object will carry other than the row's. */
  readonly upload?: {
    readonly uploadId: string;
    readonly key: string;
    readonly parts: readonly UploadedPart[];
    readonly metadata?: UserMetadata;
  };
}

/** By what an object that was sent is known again: the times that its metadata tells, size, and MD5 of the content where that is known. */
export interface SentMark {
  readonly mtime: string;
  readonly ctime: string;
  readonly size: number;
  readonly md5?: string | undefined;
}

/** An object whose removal was promised, and may not have reached the bucket. What stands there by now may be somebody else's. */
export interface RemovalRow {
  /** The file that it was. */
  readonly node: NodeId;
  readonly key: string;
  readonly etag: Etag;
  /** Of its metadata, where it has them. */
  readonly mtime?: string | undefined;
  readonly ctime?: string | undefined;
  /** Milliseconds, to within a second. */
  readonly lastModified: number;
}

/** The connection: what INIT negotiated, byte for byte. */
export interface SessionRow {
  /** The fuse_init_out that was answered. */
  readonly init: Uint8Array;
}

export interface EngineState {
  readonly session: SessionRow | undefined;
  readonly inodes: ReadonlyMap<NodeId, InodeRow>;
  readonly handles: ReadonlyMap<HandleId, HandleRow>;
  readonly dirty: ReadonlyMap<NodeId, DirtyRow>;
  readonly removals: ReadonlyMap<NodeId, RemovalRow>;
  /** The largest numbers ever given out: a successor counts on from here. */
  readonly maxNode: number;
  readonly maxHandle: number;
}

export interface StateStore {
  /** What was stored when this store was opened. */
  readonly recovered: EngineState;
  putSession(row: SessionRow): void;
  putInode(row: InodeRow): void;
  dropInode(node: NodeId): void;
  putHandle(row: HandleRow): void;
  dropHandle(handle: HandleId): void;
  /** `dropped`: the row that this one takes the place of goes at the same moment. */
  putDirty(row: DirtyRow, dropped?: NodeId): void;
  dropDirty(node: NodeId): void;
  putRemoval(row: RemovalRow): void;
  dropRemoval(node: NodeId): void;
  /** A new connection begins: forgets session, inodes and handles; keeps dirty rows, removals and the counters. */
  beginConnection(): void;
  /** Resolves when everything put so far is on the disk itself. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
