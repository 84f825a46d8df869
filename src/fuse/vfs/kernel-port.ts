/**
 * What the vfs asks of the kernel side, beyond answering its requests. The engine injects the channel's
 * implementation; on a channel without these abilities `passthrough` is false and the notices do nothing.
 */
import type { NodeId } from "#core/brand.ts";

export interface KernelPort {
  /** May a backing file be registered at all (kernel, privilege, file system of the cache folder). */
  readonly passthrough: boolean;
  /**
   * Registers an open file as a backing file (FUSE_DEV_IOC_BACKING_OPEN). Undefined when the kernel refuses;
   * the caller then serves the file itself. The id stays valid until `unregisterBacking`, over engine restarts too.
   */
  registerBacking(fd: number): number | undefined;
  unregisterBacking(backingId: number): void;
  /** The kernel forgets attributes and cached pages of a node, from `offset` for `length` bytes (0: to the end; offset -1: attributes only). */
  invalidateNode(node: NodeId, offset: number, length: number): void;
  /** The kernel forgets a directory entry. Must not be called while a request of the kernel's for that directory is being answered (it holds the lock). */
  invalidateEntry(parent: NodeId, name: string): void;
}
