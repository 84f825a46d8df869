/** The kernel's mount calls, as the node layer wants them. */
import { bindMount, mountFuse, openFuseDevice, setImmutable, setReadAhead, unmount } from "#fuse/engine/index.ts";
import type { SealingMounts } from "#node/kernel-mounts.ts";

export const kernelMounts: SealingMounts = { openFuseDevice, mountFuse, setReadAhead, bindMount, unmount, setImmutable };
