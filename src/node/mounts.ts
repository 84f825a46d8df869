/**
 * What is mounted where, from /proc/self/mountinfo (proc(5)). Reading it never touches a mounted file system, so it answers
 * at once whatever state an engine is in.
 */
import { readFile } from "node:fs/promises";

/** The type our mounts carry in the kernel's table: `fuse` with our subtype. */
export const FS_TYPE = "fuse.bucketmount";

export interface MountRow {
  readonly mountId: number;
  readonly parentId: number;
  /** `major:minor` as st_dev has it; a FUSE connection's minor names /sys/fs/fuse/connections/MINOR. */
  readonly device: string;
  /** The directory of the file system that is mounted: `/` unless it is a bind mount of a part. */
  readonly root: string;
  readonly mountPoint: string;
  /** Per mount point: rw, nosuid, ... */
  readonly options: readonly string[];
  readonly fsType: string;
  readonly source: string;
  /** Of the file system itself. */
  readonly superOptions: readonly string[];
}

/** Parses the whole table, in its order: of two mounts on one directory the later one is on top. Lines that are not understood are left out. */
export function parseMountInfo(text: string): MountRow[] {
  return text.split("\n").flatMap((line) => {
    const row = parseLine(line);
    return row === undefined ? [] : [row];
  });
}

/** `36 35 98:0 /root /mnt rw,noatime master:1 shared:2 - ext3 /dev/root rw`: any number of optional fields stands before the dash. */
function parseLine(line: string): MountRow | undefined {
  const dash = line.indexOf(" - ");
  if (dash < 0) return undefined;
  const [mountId, parentId, device, root, mountPoint, options] = line.slice(0, dash).split(" ");
  const [fsType, source, superOptions] = line.slice(dash + 3).split(" ");
  if (options === undefined || device === undefined || root === undefined || mountPoint === undefined || fsType === undefined)
    return undefined;
  return {
    mountId: Number(mountId),
    parentId: Number(parentId),
    device,
    root: unescapeOctal(root),
    mountPoint: unescapeOctal(mountPoint),
    options: options.split(","),
    fsType,
    source: unescapeOctal(source ?? ""),
    superOptions: (superOptions ?? "").split(","),
  };
}

/** The kernel writes space, tab, newline, backslash and `#` as `\040` and so on. */
function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** The mounts of this process's namespace, now. */
export async function readMounts(): Promise<MountRow[]> {
  return parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
}

/** The mounts on exactly this directory, the topmost last. */
export function mountsOn(mounts: readonly MountRow[], mountPoint: string): MountRow[] {
  return mounts.filter((row) => row.mountPoint === mountPoint);
}

/** The mount that is seen at exactly this directory. */
export function topMount(mounts: readonly MountRow[], mountPoint: string): MountRow | undefined {
  return mountsOn(mounts, mountPoint).at(-1);
}

/** True for a mount that one of our engines serves, bind mounts of it included. */
export function isOurs(row: MountRow): boolean {
  return row.fsType === FS_TYPE;
}
