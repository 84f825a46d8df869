/**
 * A mount for a group: everything in it belongs to that group, which may read and write it. That is what Kubernetes promises for a pod's
 * fsGroup (CSI's volume_mount_group), and it is a matter of showing: no object is changed for it.
 *
 * - What carries the group's own id is shown as it is. It was made or changed in such a mount, where a mode that somebody set holds.
 * - Anything else is shown with the group's id, and with what `groupAccess` adds to its mode.
 * - What is made here carries the group's id and access, whatever the umask of its maker.
 */
import { S_IFDIR, S_IFLNK, S_IFMT, S_ISGID, S_IXGRP } from "./mode.ts";

const S_IXUSR = 0o100;
const GROUP_READ_WRITE = 0o060;

/**
 * The bits that let a node's group in, as the kubelet sets them for fsGroup: read and write; in a directory search and set-group-id too; in
 * a file execution where its owner may. A symlink's mode says nothing.
 */
export function groupAccess(mode: number): number {
  const type = mode & S_IFMT;
  if (type === S_IFLNK) return 0;
  if (type === S_IFDIR) return GROUP_READ_WRITE | S_IXGRP | S_ISGID;
  return GROUP_READ_WRITE | ((mode & S_IXUSR) === 0 ? 0 : S_IXGRP);
}

/** The attributes as a mount with this umask shows them: without those permissions, whatever an object carries. */
export function shownWithUmask<T extends { readonly mode: number }>(attributes: T, umask: number): T {
  if ((attributes.mode & umask) === 0 || (attributes.mode & S_IFMT) === S_IFLNK) return attributes;
  return { ...attributes, mode: (attributes.mode & ~umask) >>> 0 };
}

/** The attributes as a mount for this group shows them. Undefined: no group. */
export function shownToGroup<T extends { readonly mode: number; readonly gid: number }>(attributes: T, group: number | undefined): T {
  if (group === undefined || attributes.gid === group) return attributes;
  return { ...attributes, gid: group, mode: attributes.mode | groupAccess(attributes.mode) };
}
