/**
 * mount(2) and umount2(2), as this layer needs them. The engine layer brings the system calls (`#fuse/engine/index.ts`);
 * tests bring a fake. All calls are synchronous and touch no FUSE path beyond the kernel's own walk to it.
 */
import type { MountOptions } from "#fuse/engine/protocol.ts";

export interface BindOptions {
  readonly readOnly: boolean;
  readonly noSuid: boolean;
  readonly noDev: boolean;
  readonly noExec: boolean;
}

/** Every method throws a DriverError that names the path; a busy mount is the fault `in_use`. */
export interface KernelMounts {
  /** Opens /dev/fuse; the caller closes the descriptor. */
  openDevice(): number;
  /** Mounts the connection of `fd`. Returns before INIT is answered: nobody may touch the path until an engine does. */
  mountFuse(fd: number, source: string, mountPoint: string, options: MountOptions): void;
  bind(source: string, target: string, options: BindOptions): void;
  /** Takes the topmost mount off. `lazy`: out of sight at once, gone when its last user is (MNT_DETACH). */
  unmount(mountPoint: string, options: { readonly lazy: boolean }): void;
}
