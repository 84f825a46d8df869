/**
 * mount(2) and umount2(2), as this layer needs them. The engine layer's public face (`#fuse/engine/index.ts`) has functions
 * of exactly these shapes; tests may bring a fake.
 */
export interface MountFlags {
  readonly readOnly?: boolean;
  readonly noSuid?: boolean;
  readonly noDev?: boolean;
  readonly noExec?: boolean;
}

export interface FuseMountRequest extends MountFlags {
  /** Shown as the mounted device. */
  readonly source: string;
  readonly allowOther: boolean;
  /** Further mount data, each `name=value`. */
  readonly extra?: readonly string[];
}

/** Every method throws a DriverError that names the path; a busy mount is the fault `in_use`. */
export interface KernelMounts {
  /** Opens /dev/fuse; the caller closes the descriptor. */
  openFuseDevice(): number;
  /** Mounts the connection of `fd`. Returns before INIT is answered: who touches the path waits until an engine does. */
  mountFuse(fd: number, dir: string, request: FuseMountRequest): Promise<void>;
  /** How far the kernel reads ahead on the mount with this `major:minor`. Only after INIT was answered, which resets it. */
  setReadAhead(mount: { readonly device: string }, sizeBytes: number): void;
  bindMount(source: string, target: string, flags: MountFlags): Promise<void>;
  /** Takes the topmost mount off. `lazy`: out of sight at once, gone when its last user is (MNT_DETACH). */
  unmount(dir: string, options: { readonly lazy?: boolean }): Promise<void>;
}

/** What the CSI side needs besides: a directory that waits for its mount must not be written to. */
export interface SealingMounts extends KernelMounts {
  /** Sets or clears the immutable attribute of a directory; false when its file system has none, or this process may not. */
  setImmutable(dir: string, immutable: boolean): Promise<boolean>;
}
