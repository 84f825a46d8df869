/**
 * The immutable attribute of a directory (chattr +i, ioctl_fs(2)): nobody may make, remove or rename anything in it, root included,
 * nor remove it. Mounting over it is allowed.
 */
import { close, constants, open } from "node:fs";
import { promisify } from "node:util";
import type { ErrnoName } from "#core/errno.ts";
import { errnoName, ioctl, systemError } from "./libc.ts";

/** From <linux/fs.h>: _IOR('f', 1, long) and _IOW('f', 2, long), though the kernel reads and writes an int. */
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_IMMUTABLE_FL = 0x10;

/** What file systems without attributes answer, and a kernel that does not let this process set them (CAP_LINUX_IMMUTABLE). */
const CANNOT: readonly ErrnoName[] = ["ENOTTY", "EOPNOTSUPP", "ENOSYS", "EINVAL", "EPERM"];

const [openFile, closeFile] = [promisify(open), promisify(close)];

/**
 * Sets or clears the attribute; true when it is as asked. False: the file system has no such attribute, or this process may not change it.
 * Throws what open(2) of the directory throws: a symlink is not followed. Not for a directory that may be a FUSE mount: its engine
 * would have to answer.
 */
export async function setImmutable(dir: string, immutable: boolean): Promise<boolean> {
  const fd = await openFile(dir, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const argument = Buffer.alloc(8);
    const asked = ioctl(fd, FS_IOC_GETFLAGS, argument);
    if (asked < 0) return refused(dir, asked);
    const flags = argument.readUInt32LE(0);
    const wanted = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
    if (wanted === flags) return true;
    argument.writeUInt32LE(wanted >>> 0, 0);
    const set = ioctl(fd, FS_IOC_SETFLAGS, argument);
    return set < 0 ? refused(dir, set) : true;
  } finally {
    await closeFile(fd);
  }
}

function refused(dir: string, result: number): false {
  if (CANNOT.some((name) => name === errnoName(-result))) return false;
  throw systemError(`changing the attributes of ${dir}`, -result);
}
