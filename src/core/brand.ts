/**
 * Numbers and strings that must not be mixed up. Each is plain at run time.
 */
declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/**
 * The kernel's name for an inode of one mount. 1 is the root. Given out by LOOKUP, CREATE, MKDIR,
 * SYMLINK, MKNOD and READDIRPLUS, each of which adds one to the lookup count; dead once FORGET brought
 * that count to zero. A number is never used twice in the life of a mount, over engine restarts too.
 */
export type NodeId = Brand<number, "NodeId">;

/** An open file or directory of one mount: from OPEN, CREATE or OPENDIR until RELEASE or RELEASEDIR. Never used twice. */
export type HandleId = Brand<number, "HandleId">;

/** An entity tag as the store sent it, quotes included. Opaque: only compared for equality. */
export type Etag = Brand<string, "Etag">;

/** A CSI volume id: what CreateVolume answered, opaque to the orchestrator. */
export type VolumeId = Brand<string, "VolumeId">;

export const ROOT_NODE = 1 as NodeId;
