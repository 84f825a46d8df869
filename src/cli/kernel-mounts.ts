/** The kernel's mount calls, as the node layer wants them. */
import { bindMount, mountFuse, openFuseDevice, setReadAhead, unmount } from "#fuse/engine/index.ts";
import type { KernelMounts } from "#node/kernel-mounts.ts";

export const kernelMounts: KernelMounts = { openFuseDevice, mountFuse, setReadAhead, bindMount, unmount };
