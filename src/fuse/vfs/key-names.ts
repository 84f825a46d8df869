/**
 * Between names in a directory and keys in the bucket. The key of a node is the mount's prefix and the names on the way to it,
 * joined by "/"; a directory's ends in "/".
 */
import { DriverError } from "#core/errors.ts";
import type { Inode } from "./inode.ts";

/** NAME_MAX of Linux, in bytes. */
export const NAME_MAX = 255;
/** The longest key S3 takes, in bytes. */
const KEY_MAX = 1024;

/** Keys under this name at a bucket's root are the driver's own (ownership mark, probes) and are not shown. */
export const RESERVED_NAME = ".bucketmount";

/** `NAME_$folder$` is how Hadoop and its kin (EMR, s3n) keep a directory NAME that may be empty. */
const FOLDER_SUFFIX = "_$folder$";

/** May this part of a key be shown as a file name. What may not (yet) is left out of listings and left alone. */
export function isShowable(name: string): boolean {
  if (name === "" || name === "." || name === ".." || name.includes("\0") || name.endsWith(FOLDER_SUFFIX)) return false;
  return Buffer.byteLength(name) <= NAME_MAX;
}

/** The directory that an object of this name stands for, in Hadoop's form. */
export function folderMarkedBy(name: string): string | undefined {
  const folder = name.endsWith(FOLDER_SUFFIX) ? name.slice(0, -FOLDER_SUFFIX.length) : "";
  return isShowable(folder) ? folder : undefined;
}

/** The key of Hadoop's mark for a directory, by the directory's key without its slash. */
export function folderMarkKey(key: string): string {
  return key + FOLDER_SUFFIX;
}

/** The name's length as Linux has it. A lone surrogate stands for one byte that is not UTF-8, and would count as three. */
function bytesOf(name: string): number {
  return Buffer.byteLength(name) - 2 * (name.isWellFormed() ? 0 : (name.match(/\p{Surrogate}/gu)?.length ?? 0));
}

/** Throws for names that no directory of Linux holds. (FUSE itself takes up to 1,024 bytes.) */
export function checkLength(name: string): void {
  if (bytesOf(name) > NAME_MAX) throw new DriverError("name_too_long", `the name is longer than ${NAME_MAX} bytes`);
}

/** Throws for names that cannot become part of a key. */
export function checkName(name: string): void {
  checkLength(name);
  // A lone surrogate stands for a byte that is not UTF-8; S3's keys are UTF-8.
  if (!name.isWellFormed()) throw new DriverError("bad_argument", "the name is not valid UTF-8, which S3 keys must be");
}

/** The key of a file, or of a directory without its slash; the mount's root gives the bare prefix. */
export function pathKey(prefix: string, inode: Inode): string {
  const names: string[] = [];
  for (let at = inode; at.parent !== null; at = at.parent) names.push(at.name);
  const key = prefix + names.reverse().join("/");
  if (Buffer.byteLength(key) > KEY_MAX)
    throw new DriverError("name_too_long", `the key would be longer than ${KEY_MAX} bytes`, { context: { key } });
  return key;
}

/** The prefix of everything in a directory: "" for a bucket's root, else ending in "/". It is the key of its marker too. */
export function directoryKey(prefix: string, directory: Inode): string {
  return directory.parent === null ? prefix : `${pathKey(prefix, directory)}/`;
}

export function childKey(prefix: string, parent: Inode, name: string): string {
  const key = directoryKey(prefix, parent) + name;
  if (Buffer.byteLength(key) > KEY_MAX)
    throw new DriverError("name_too_long", `the key would be longer than ${KEY_MAX} bytes`, { context: { key } });
  return key;
}
