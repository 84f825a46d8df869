/**
 * The cases of pjdfstest that fail on a mount, each with the reason in the words of the man pages. The list may only shrink: the test
 * fails when a case in it passes, and when one that is not in it fails.
 */

/**
 * The case makes a path of 4,095 bytes and expects ENAMETOOLONG for one byte more. A path is an object's key here, and S3's keys have
 * at most 1,024 bytes: the directories on the way are refused with ENAMETOOLONG before (path_resolution(7) leaves the limit to the
 * file system; mkdir(2): "pathname was too long").
 */
const KEY_LENGTH = "S3 keys have at most 1,024 bytes";

export const KNOWN_FAILURES: Readonly<Record<string, string>> = {
  "chmod::enametoolong_path": KEY_LENGTH,
  "chown::enametoolong_path": KEY_LENGTH,
  "chown::lchown::enametoolong_path": KEY_LENGTH,
  "link::enametoolong_path": KEY_LENGTH,
  "mkdir::enametoolong_path": KEY_LENGTH,
  "mkfifo::enametoolong_path": KEY_LENGTH,
  "mknod::enametoolong_path": KEY_LENGTH,
  "mknod::privileged::enametoolong_path": KEY_LENGTH,
  "open::enametoolong_path": KEY_LENGTH,
  "rename::enametoolong_path": KEY_LENGTH,
  "rmdir::enametoolong_path": KEY_LENGTH,
  "symlink::enametoolong_path": KEY_LENGTH,
  "truncate::enametoolong_path": KEY_LENGTH,
  "unlink::enametoolong_path": KEY_LENGTH,
};

/**
 * Cases that may pass although what they ask for does not hold. `open(2)` with O_RDONLY|O_TRUNC of a program that runs: the kernel sends a
 * FUSE file system the truncation together with the open (FUSE_ATOMIC_O_TRUNC) and looks for ETXTBSY afterwards, so the caller gets
 * the error and the file is empty all the same. The case fails when the program touches a page meanwhile and dies of it. (With O_WRONLY
 * or O_RDWR the kernel looks first. Truncating in a second request would fetch the old content of every file that is overwritten.)
 */
export const UNSTEADY: Readonly<Record<string, string>> = {
  "open::etxtbsy": "O_RDONLY|O_TRUNC reaches a FUSE file system before the kernel looks whether the file is being executed",
};

/** Cases that pjdfstest leaves out on every file system like this one. */
export const NOT_ASKED: Readonly<Record<string, string>> = {
  "link::link_count_max": "pathconf(3) has no LINK_MAX for FUSE, and there is no limit",
};
