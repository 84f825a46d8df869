/**
 * `KernelChannel`: one connection to the kernel's FUSE, whoever carries it. The default channel speaks the protocol over
 * `/dev/fuse` itself; a second one may go through libfuse.
 */
import type { Logger } from "#core/log.ts";
import type { OpHandlers } from "#fuse/wire/ops.ts";

export interface KernelFeatures {
  /** FUSE_PASSTHROUGH was negotiated and a trial registration worked. */
  readonly passthrough: boolean;
  /** FUSE_NOTIFY_RESEND is known to the kernel (Linux 6.9). */
  readonly resend: boolean;
  /** Largest WRITE the kernel sends, bytes. */
  readonly maxWrite: number;
  /** Protocol minor version of the kernel. */
  readonly minor: number;
}

export interface KernelChannel {
  readonly features: KernelFeatures;
  /** The fuse_init_out that was answered, byte for byte: a successor needs it. */
  readonly init: Uint8Array;
  /** Answers requests until the mount is gone and every handler has settled, then resolves. Rejects only when the device fails otherwise. Once per channel. */
  serve(handlers: OpHandlers): Promise<void>;
  registerBacking(fd: number): number | undefined;
  unregisterBacking(backingId: number): void;
  /** Returns at once; the notice goes out from another thread, since the kernel may hold it until a request of the same node is answered. */
  invalidateNode(node: number, offset: number, length: number): void;
  /** As invalidateNode: waits, on its own thread, for requests of that directory. */
  invalidateEntry(parent: number, name: string): void;
}

export interface ChannelOptions {
  /** An open /dev/fuse of this mount. */
  readonly fd: number;
  readonly passthrough: "auto" | "no";
  /** The kernel is to enforce POSIX ACLs; umask and inheritance are the handlers' then. */
  readonly acl?: boolean;
  /** The init reply of a predecessor on this connection: no INIT will come, and unanswered requests are asked for again. */
  readonly resume?: Uint8Array;
  /** A file on the cache disk to try a backing registration with. */
  readonly trialFd?: number;
  /** Called with the init reply before the kernel gets it. Store it here: then no death of this process can lose it. */
  readonly beforeInit?: (init: Uint8Array) => void;
  readonly log?: Logger;
}
