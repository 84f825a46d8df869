/**
 * `KernelChannel`: one connection to the kernel's FUSE, whoever carries it. The default channel speaks the protocol over
 * `/dev/fuse` itself; a second one may go through libfuse.
 */
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
  /** Answers requests until the mount is gone, then resolves. Rejects only when the device fails otherwise. */
  serve(handlers: OpHandlers): Promise<void>;
  registerBacking(fd: number): number | undefined;
  unregisterBacking(backingId: number): void;
  invalidateNode(node: number, offset: number, length: number): void;
  invalidateEntry(parent: number, name: string): void;
}

export interface ChannelOptions {
  /** An open /dev/fuse of this mount. */
  readonly fd: number;
  readonly passthrough: "auto" | "no";
  /** The init reply of a predecessor on this connection: no INIT will come, and unanswered requests are asked for again. */
  readonly resume?: Uint8Array;
  /** A file on the cache disk to try a backing registration with. */
  readonly trialFd?: number;
}
