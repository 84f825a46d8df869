/**
 * FUSE_PASSTHROUGH (Linux 6.9): backing files, registered with the connection by ioctl. The kernel then reads and writes the
 * backing file itself. Needs CAP_SYS_ADMIN and a backing file that is not on a stacked file system (overlayfs, another FUSE).
 */
import { BackingMap } from "#fuse/wire/abi.ts";
import { errnoName, ioctl } from "./libc.ts";

/** _IOW(229, 1, struct fuse_backing_map) */
const FUSE_DEV_IOC_BACKING_OPEN = 0x4010_e501;
/** _IOW(229, 2, uint32_t) */
const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004_e502;

/** Registers an open file. The id is positive and belongs to the connection, not to this process; the descriptor may be closed afterwards. */
export function openBacking(fuseFd: number, fd: number): { readonly id: number } | { readonly errno: string } {
  const argument = new Uint8Array(BackingMap.size);
  BackingMap.write(new DataView(argument.buffer), 0, { fd, flags: 0 });
  const result = ioctl(fuseFd, FUSE_DEV_IOC_BACKING_OPEN, argument);
  return result > 0 ? { id: result } : { errno: errnoName(-result) };
}

/** Gives an id back. Handles opened with it keep their file. Answers the errno's name when the kernel does not know the id. */
export function closeBacking(fuseFd: number, id: number): string | undefined {
  const argument = new Uint8Array(4);
  new DataView(argument.buffer).setUint32(0, id, true);
  const result = ioctl(fuseFd, FUSE_DEV_IOC_BACKING_CLOSE, argument);
  return result < 0 ? errnoName(-result) : undefined;
}

/** Registers a file and lets it go again. Answers undefined when that works, else the errno's name. */
export function tryBacking(fuseFd: number, fd: number): string | undefined {
  const opened = openBacking(fuseFd, fd);
  return "errno" in opened ? opened.errno : closeBacking(fuseFd, opened.id);
}
