/**
 * Opening /dev/fuse, and the mount table: mount, bind, unmount.
 */
import { openSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DriverError } from "#core/errors.ts";
import { MNT, MS, mount, systemError, UMOUNT_NOFOLLOW, umount2 } from "./libc.ts";

/** What mountinfo and df show as the file system's type. */
export const FS_TYPE = "fuse.bucketmount";

const DEVICE = "/dev/fuse";

/** Per-mount restrictions that bind mounts have too. */
export interface MountFlags {
  readonly readOnly?: boolean;
  readonly noSuid?: boolean;
  readonly noDev?: boolean;
  readonly noExec?: boolean;
}

export interface FuseMountOptions extends MountFlags {
  /** Shown as the mounted device. */
  readonly source: string;
  /** Without it only the mounting user may enter. */
  readonly allowOther: boolean;
  /** Further mount data, each `name` or `name=value`, such as SELinux's `context=...`. */
  readonly extra?: readonly string[];
  /** Largest READ the kernel sends, bytes; default 1 MiB. */
  readonly maxRead?: number;
}

/**
 * Opens a new FUSE connection. It does nothing until `mountFuse`; closing the last descriptor of it ends the mount.
 * Throws `precondition` with what to do when the machine has no /dev/fuse, `denied` when it may not be opened.
 */
export function openFuseDevice(): number {
  try {
    return openSync(DEVICE, "r+");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (code === "EACCES" || code === "EPERM") {
      throw new DriverError(
        "denied",
        `${DEVICE}: ${code}: needs root; in a container: --privileged, or --device ${DEVICE} --cap-add SYS_ADMIN`,
        { cause: error },
      );
    }
    throw new DriverError(
      "precondition",
      `${DEVICE}: ${code}: load it with \`modprobe fuse\`; in a container start it with \`--device ${DEVICE}\``,
      { cause: error },
    );
  }
}

function flagBits(flags: MountFlags): number {
  return (flags.readOnly ? MS.RDONLY : 0) | (flags.noSuid ? MS.NOSUID : 0) | (flags.noDev ? MS.NODEV : 0) | (flags.noExec ? MS.NOEXEC : 0);
}

/**
 * Mounts the connection `fd` on the directory `dir`. Returns at once: the kernel's INIT waits on `fd`, and whoever touches
 * the mount waits until it is answered. Throws `not_found`, `not_dir`, `denied`, `in_use` or `bad_argument`, naming `dir`.
 */
export async function mountFuse(fd: number, dir: string, options: FuseMountOptions): Promise<void> {
  const data = [
    `fd=${fd}`,
    "rootmode=40000",
    `user_id=${process.getuid?.() ?? 0}`,
    `group_id=${process.getgid?.() ?? 0}`,
    "default_permissions",
    ...(options.allowOther ? ["allow_other"] : []),
    `max_read=${options.maxRead ?? 1 << 20}`,
    ...(options.extra ?? []),
  ].join(",");
  const errno = await mount(options.source, dir, FS_TYPE, flagBits(options), data);
  if (errno !== 0) {
    throw systemError(`mounting ${options.source} on ${dir}`, errno, {
      EINVAL: refusedOptions(options.extra ?? []),
    });
  }
}

function refusedOptions(extra: readonly string[]): string {
  const shown = extra.length === 0 ? "" : `: ${extra.join(",")}`;
  const label = extra.some((option) => /^[a-z]*context=/.test(option)) ? "; an SELinux label needs a kernel that runs SELinux" : "";
  return `the kernel refused the mount options${shown}${label}`;
}

/** Flags of `path`'s mount that a bind remount must repeat: dropping one that another mount locked is EPERM. */
function inheritedFlags(path: string): number {
  const real = join(realpathSync(dirname(path)), basename(path)); // mountinfo has no symlinks; the mount itself is not touched
  const entry = mountEntries().findLast((line) => line.mountPoint === real);
  const has = (name: string, bit: number): number => (entry?.options.includes(name) ? bit : 0);
  return has("ro", MS.RDONLY) | has("nosuid", MS.NOSUID) | has("nodev", MS.NODEV) | has("noexec", MS.NOEXEC);
}

/**
 * Makes `source` appear at `target` too, restricted further by `flags`. When the restriction fails the bind is taken back.
 * Throws as `mountFuse` does, naming both paths.
 */
export async function bindMount(source: string, target: string, flags: MountFlags = {}): Promise<void> {
  const errno = await mount(source, target, null, MS.BIND, null);
  if (errno !== 0) throw systemError(`binding ${source} to ${target}`, errno, { EINVAL: "the source is in another mount namespace" });
  const wanted = flagBits(flags);
  if (wanted === 0) return;
  const remountErrno = await mount("none", target, null, MS.REMOUNT | MS.BIND | wanted | inheritedFlags(target), null);
  if (remountErrno === 0) return;
  await umount2(target, MNT.DETACH | UMOUNT_NOFOLLOW);
  throw systemError(`restricting the bind of ${source} to ${target}`, remountErrno);
}

export interface UnmountOptions {
  /** Takes it out of the tree now; it ends when its last file is closed. */
  readonly lazy?: boolean;
  /** Aborts the connection first: whoever waits in it gets an error. Data not written yet is lost to them. */
  readonly force?: boolean;
}

/** Unmounts what is mounted last on `dir`. Throws `in_use` while files are open there (unless lazy), `bad_argument` when nothing is mounted. */
export async function unmount(dir: string, options: UnmountOptions = {}): Promise<void> {
  const flags = UMOUNT_NOFOLLOW | (options.lazy ? MNT.DETACH : 0) | (options.force ? MNT.FORCE : 0);
  const errno = await umount2(dir, flags);
  if (errno !== 0) throw systemError(`unmounting ${dir}`, errno, { EINVAL: "nothing is mounted there" });
}

/** One line of /proc/self/mountinfo. */
export interface MountEntry {
  readonly id: number;
  readonly parentId: number;
  /** major:minor; the minor number of a FUSE mount names its folder in /sys/fs/fuse/connections. */
  readonly device: string;
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  readonly type: string;
  readonly source: string;
}

/** mountinfo writes blank, tab, newline and backslash as \ooo. */
function unescapeField(field: string): string {
  return field.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Parses the text of /proc/PID/mountinfo (proc_pid_mountinfo(5)). Lines that are not of its form are left out. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const [left, right] = line.split(" - ");
    const [id, parentId, device, root, mountPoint, options] = left?.split(" ") ?? [];
    const [type, source] = right?.split(" ") ?? [];
    if (id === undefined || parentId === undefined || device === undefined || type === undefined) continue;
    entries.push({
      id: Number(id),
      parentId: Number(parentId),
      device,
      root: unescapeField(root ?? ""),
      mountPoint: unescapeField(mountPoint ?? ""),
      options: (options ?? "").split(","),
      type,
      source: unescapeField(source ?? ""),
    });
  }
  return entries;
}

/** This process's mounts, oldest first: of several on one directory the last is on top. Touches no mount. */
export function mountEntries(): MountEntry[] {
  return parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
}

/**
 * Sets how far the kernel reads ahead in a mount: /sys/class/bdi/MAJOR:MINOR/read_ahead_kb. INIT cannot ask for more than the
 * kernel's default of 128 KiB, which is also the largest READ of a sequential reader until this is raised. Needs root, and INIT
 * answered before (it resets the value). Throws `denied` or `not_found`.
 */
export function setReadAhead(entry: Pick<MountEntry, "device">, sizeBytes: number): void {
  const path = `/sys/class/bdi/${entry.device}/read_ahead_kb`;
  try {
    writeFileSync(path, String(Math.floor(sizeBytes / 1024)));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new DriverError(code === "ENOENT" ? "not_found" : "denied", `${path}: ${code}`, { cause: error });
  }
}
