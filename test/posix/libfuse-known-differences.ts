/**
 * What does not hold on a mount with `--channel fuse-native`, by suite and title, each with what the library does not pass on
 * (docs/ARCHITECTURE.md). The lists may only shrink: a test fails when something in them works, and when something else does not.
 */

import { KNOWN_FAILURES } from "./pjdfstest-known-failures.ts";

export const OPERATIONS: Readonly<Record<string, string>> = {
  "renameat2 exchanges, and replaces nothing where that is asked": "libfuse 2 answers EINVAL to every flag of rename",
  "O_TMPFILE has no name until linkat gives it one": "libfuse 2 has no files without a name: EOPNOTSUPP",
  "fallocate lengthens, punches and zeroes, also what a mapping sees": "the package does not pass fallocate on: EOPNOTSUPP",
};

/** fuse-native.c hands JavaScript the access time in place of the modification time: its utimens gives `l->atime` twice. */
const MTIME = "the package hands on the access time of utimensat(2) twice, and not the modification time";
const OWNER = "the package does not tell who calls: what is made belongs to who mounted";

export const PJDFSTEST: Readonly<Record<string, string>> = {
  ...KNOWN_FAILURES,
  "mkdir::uid_gid_eq_euid_egid": OWNER,
  "mkfifo::uid_gid_eq_euid_egid": OWNER,
  "mknod::uid_gid_eq_euid_egid": OWNER,
  "open::uid_gid_eq_euid_egid": OWNER,
  "utimensat::changes_timestamps::block": MTIME,
  "utimensat::changes_timestamps::char": MTIME,
  "utimensat::changes_timestamps::dir": MTIME,
  "utimensat::changes_timestamps::fifo": MTIME,
  "utimensat::changes_timestamps::regular": MTIME,
  "utimensat::changes_timestamps::socket": MTIME,
  "utimensat::follow_symlink": MTIME,
  "utimensat::subsecond": MTIME,
  "utimensat::utime_omit": MTIME,
  "utimensat::y2038": MTIME,
};

export const APPLICATIONS: Readonly<Record<string, string>> = {
  "rsync -aHAX copies a tree with all attributes, and moves nothing the second time": MTIME,
  "tar carries all attributes in and out": MTIME,
  "open files whose name is removed, replaced or moved go on":
    "libfuse lists a directory by its path: one that is removed while it is open has none",
};

/** What works or not by chance, and is not asked for. */
export const UNSTEADY_APPLICATIONS: Readonly<Record<string, string>> = {
  "readers of a file that is replaced by renames see whole versions in order":
    "libfuse gives a replaced file that is open another name before the rename: for a moment there is nothing under its own",
};
