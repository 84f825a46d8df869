/**
 * `Inode`: one file, directory or symlink that the kernel knows or may come to know.
 *
 * What is true of it lives in three places, each with its own owner:
 * - `version`: what the bucket was last seen to hold (undefined: not looked at yet; null: no object, so a file is only local and a
 *   directory has no marker);
 * - `attributes`: owner, mode, times; from the version's metadata, or changed here and not stored yet (`attributesDirty`);
 * - `content`: present while the file is open or its newest bytes are not in the bucket yet.
 *
 * Lock order: the namespace lock, then a parent's refresh, then one inode's `lock`. No code holds two inode locks, except
 * rename, which takes the moved file's before the replaced one's.
 */
import type { Etag, NodeId } from "#core/brand.ts";
import { Mutex } from "#core/mutex.ts";
import type { NodeKind } from "#fuse/journal/state-store.ts";
import type { ObjectHeaders, UserMetadata } from "#s3/object-store.ts";
import type { Child, Directory } from "./directory.ts";
import type { Attributes } from "./object-metadata.ts";
import type { OpenContent } from "./open-content.ts";

/** One version of an object, with all that HEAD tells. */
export interface Version {
  readonly etag: Etag;
  readonly size: number;
  /** Milliseconds. After an own PUT the server's Date, until a LIST tells the exact one. */
  readonly lastModified: number;
  readonly headers: ObjectHeaders;
  readonly metadata: UserMetadata;
  /** A listing told of it (MinIO's): of the headers only Content-Type is known. Before a request that replaces them, HEAD must be asked. */
  readonly listed?: true;
}

/** A name in a directory. */
export interface Place {
  readonly parent: Inode;
  readonly name: string;
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

export type InodeDirectory = Directory<Inode>;
export type InodeChild = Child<Inode>;

export class Inode {
  // constant
  readonly node: NodeId;
  readonly kind: NodeKind;
  readonly lock = new Mutex();

  // place in the tree
  parent: Inode | null;
  name: string;
  /** Further names of the same file: hard links, see hard-links.ts. Never empty. */
  others: Place[] | undefined;
  /** No name leads here any more: unlinked, replaced, or a newer version has its own inode. Open handles go on. */
  detached = false;
  /** It has no name yet (O_TMPFILE): `detached`, and link(2) may end that. */
  unnamed = false;
  /** It was detached because the object was replaced or removed elsewhere: what is still written here must not be lost silently. */
  superseded = false;

  /** Inodes in the table whose parent this is. */
  liveChildren = 0;

  // what the kernel holds
  lookups = 0;
  /** Recovered from a predecessor: how many lookups the kernel holds is not known, so it is never forgotten. */
  keep = false;
  /** The version whose pages the kernel may have cached from engine-served opens. */
  pageCacheEtag: Etag | undefined;

  // state
  version: Version | null | undefined;
  attributes: Attributes | undefined;
  /** Attributes were changed here and are to ride on the next upload. */
  attributesDirty = false;
  symlinkTarget: string | undefined;
  xattrs: ReadonlyMap<string, Uint8Array> = NO_XATTRS;
  /** When the bucket was last known to agree, ms. */
  validatedAt = 0;
  directory: InodeDirectory | undefined;
  content: OpenContent | undefined;

  constructor(node: NodeId, kind: NodeKind, parent: Inode | null, name: string) {
    this.node = node;
    this.kind = kind;
    this.parent = parent;
    this.name = name;
  }

  /** True while the only copy of the newest content or attributes is here. */
  get local(): boolean {
    const { content } = this;
    if ((this.version === null && this.kind !== "dir") || this.attributesDirty) return true;
    return content?.sending !== undefined || (content?.dirty?.changed() ?? false);
  }

  /** True for `ancestor` itself and everything below it. */
  isWithin(ancestor: Inode): boolean {
    for (let at: Inode | null = this; at !== null; at = at.parent) if (at === ancestor) return true;
    return false;
  }
}
