/**
 * The structs of <linux/fuse.h>, as of protocol 7.45 (Linux 6.18), under the kernel's own names so that they can be
 * found in the header. Numbers the kernel or we count up (node ids, handles, offsets) are `id64`; lock owners, which the
 * kernel scrambles over all 64 bits, are `u64`. Times are `int53`: the header says uint64_t, the kernel reads them signed.
 */
import { type Shape, type Struct, struct } from "#core/struct.ts";

export const FUSE_KERNEL_VERSION = 7;
/** The protocol version these tables describe. */
export const FUSE_KERNEL_MINOR_VERSION = 45;
/** Linux 5.10. Older kernels are refused: their requests have other lengths. */
export const MIN_MINOR_VERSION = 32;

/** Set in `unique` of a request that the kernel sends again after FUSE_NOTIFY_RESEND; 1 << 63, as the upper half's bit. */
export const FUSE_UNIQUE_RESEND_HIGH = 0x8000_0000;

// Headers

export const InHeader = struct("fuse_in_header", {
  len: "u32",
  opcode: "u32",
  unique: "u64",
  nodeid: "id64",
  uid: "u32",
  gid: "u32",
  pid: "u32",
  total_extlen: "u16",
  padding: ["u16", 1],
});
export const OutHeader = struct("fuse_out_header", { len: "u32", error: "i32", unique: "u64" });

// INIT

export const InitIn = struct("fuse_init_in", {
  major: "u32",
  minor: "u32",
  max_readahead: "u32",
  flags: "u32",
  flags2: "u32",
  unused: ["u32", 11],
});
export const InitOut = struct("fuse_init_out", {
  major: "u32",
  minor: "u32",
  max_readahead: "u32",
  flags: "u32",
  max_background: "u16",
  congestion_threshold: "u16",
  max_write: "u32",
  time_gran: "u32",
  max_pages: "u16",
  map_alignment: "u16",
  flags2: "u32",
  max_stack_depth: "u32",
  request_timeout: "u16",
  unused: ["u16", 11],
});

// Attributes and entries

export const Attr = struct("fuse_attr", {
  ino: "id64",
  size: "id64",
  blocks: "id64",
  atime: "int53",
  mtime: "int53",
  ctime: "int53",
  atimensec: "u32",
  mtimensec: "u32",
  ctimensec: "u32",
  mode: "u32",
  nlink: "u32",
  uid: "u32",
  gid: "u32",
  rdev: "u32",
  blksize: "u32",
  flags: "u32",
});
export const EntryOut = struct("fuse_entry_out", {
  nodeid: "id64",
  generation: "id64",
  entry_valid: "id64",
  attr_valid: "id64",
  entry_valid_nsec: "u32",
  attr_valid_nsec: "u32",
  attr: Attr,
});
export const ForgetIn = struct("fuse_forget_in", { nlookup: "id64" });
export const ForgetOne = struct("fuse_forget_one", { nodeid: "id64", nlookup: "id64" });
export const BatchForgetIn = struct("fuse_batch_forget_in", { count: "u32", dummy: ["u32", 1] });
export const GetattrIn = struct("fuse_getattr_in", { getattr_flags: "u32", dummy: ["u32", 1], fh: "id64" });
export const AttrOut = struct("fuse_attr_out", { attr_valid: "id64", attr_valid_nsec: "u32", dummy: ["u32", 1], attr: Attr });
export const SetattrIn = struct("fuse_setattr_in", {
  valid: "u32",
  padding: ["u32", 1],
  fh: "id64",
  size: "id64",
  lock_owner: "u64",
  atime: "int53",
  mtime: "int53",
  ctime: "int53",
  atimensec: "u32",
  mtimensec: "u32",
  ctimensec: "u32",
  mode: "u32",
  unused4: ["u32", 1],
  uid: "u32",
  gid: "u32",
  unused5: ["u32", 1],
});
export const AccessIn = struct("fuse_access_in", { mask: "u32", padding: ["u32", 1] });

// Names

export const MknodIn = struct("fuse_mknod_in", { mode: "u32", rdev: "u32", umask: "u32", padding: ["u32", 1] });
export const MkdirIn = struct("fuse_mkdir_in", { mode: "u32", umask: "u32" });
export const RenameIn = struct("fuse_rename_in", { newdir: "id64" });
export const Rename2In = struct("fuse_rename2_in", { newdir: "id64", flags: "u32", padding: ["u32", 1] });
export const LinkIn = struct("fuse_link_in", { oldnodeid: "id64" });

// Open files

export const OpenIn = struct("fuse_open_in", { flags: "u32", open_flags: "u32" });
export const CreateIn = struct("fuse_create_in", { flags: "u32", mode: "u32", umask: "u32", open_flags: "u32" });
export const OpenOut = struct("fuse_open_out", { fh: "id64", open_flags: "u32", backing_id: "i32" });
export const ReleaseIn = struct("fuse_release_in", { fh: "id64", flags: "u32", release_flags: "u32", lock_owner: "u64" });
export const FlushIn = struct("fuse_flush_in", { fh: "id64", unused: ["u32", 1], padding: ["u32", 1], lock_owner: "u64" });
export const ReadIn = struct("fuse_read_in", {
  fh: "id64",
  offset: "id64",
  size: "u32",
  read_flags: "u32",
  lock_owner: "u64",
  flags: "u32",
  padding: ["u32", 1],
});
export const WriteIn = struct("fuse_write_in", {
  fh: "id64",
  offset: "id64",
  size: "u32",
  write_flags: "u32",
  lock_owner: "u64",
  flags: "u32",
  padding: ["u32", 1],
});
export const WriteOut = struct("fuse_write_out", { size: "u32", padding: ["u32", 1] });
export const FsyncIn = struct("fuse_fsync_in", { fh: "id64", fsync_flags: "u32", padding: ["u32", 1] });
export const FallocateIn = struct("fuse_fallocate_in", { fh: "id64", offset: "id64", length: "id64", mode: "u32", padding: ["u32", 1] });
export const LseekIn = struct("fuse_lseek_in", { fh: "id64", offset: "int53", whence: "u32", padding: ["u32", 1] });
export const LseekOut = struct("fuse_lseek_out", { offset: "id64" });
export const CopyFileRangeIn = struct("fuse_copy_file_range_in", {
  ...{ fh_in: "id64", off_in: "id64", nodeid_out: "id64", fh_out: "id64", off_out: "id64" },
  /** "As much as there is" comes as SSIZE_MAX, cut to whole pages. */
  len: "u64",
  flags: "u64",
});
export const CopyFileRangeOut = struct("fuse_copy_file_range_out", { bytes_copied: "id64" });
export const SyncfsIn = struct("fuse_syncfs_in", { padding: ["u64", 1] });

// Directories. Both are followed by the name and padding to 8 bytes.

export const Dirent = struct("fuse_dirent", { ino: "id64", off: "id64", namelen: "u32", type: "u32" });
export const Direntplus = struct("fuse_direntplus", { entry_out: EntryOut, dirent: Dirent });

// File system

export const Kstatfs = struct("fuse_kstatfs", {
  blocks: "id64",
  bfree: "id64",
  bavail: "id64",
  files: "id64",
  ffree: "id64",
  bsize: "u32",
  namelen: "u32",
  frsize: "u32",
  padding: ["u32", 1],
  spare: ["u32", 6],
});
export const StatfsOut = struct("fuse_statfs_out", { st: Kstatfs });

// Extended attributes

export const SetxattrIn = struct("fuse_setxattr_in", { size: "u32", flags: "u32", setxattr_flags: "u32", padding: ["u32", 1] });
/** What the kernel sends in place of fuse_setxattr_in unless FUSE_SETXATTR_EXT was agreed. */
export const FUSE_COMPAT_SETXATTR_IN_SIZE = 8;
export const GetxattrIn = struct("fuse_getxattr_in", { size: "u32", padding: ["u32", 1] });
export const GetxattrOut = struct("fuse_getxattr_out", { size: "u32", padding: ["u32", 1] });

// Interrupts and notices

export const InterruptIn = struct("fuse_interrupt_in", { unique: "u64" });
export const NotifyInvalInodeOut = struct("fuse_notify_inval_inode_out", { ino: "id64", off: "int53", len: "int53" });
export const NotifyInvalEntryOut = struct("fuse_notify_inval_entry_out", { parent: "id64", namelen: "u32", flags: "u32" });
export const NotifyDeleteOut = struct("fuse_notify_delete_out", {
  parent: "id64",
  child: "id64",
  namelen: "u32",
  padding: ["u32", 1],
});

// Passthrough

export const BackingMap = struct("fuse_backing_map", { fd: "i32", flags: "u32", padding: ["u64", 1] });

/** Every struct above, with the protocol minor version that gave it this layout where that is newer than 7.36. */
export const STRUCTS: readonly { readonly struct: Struct<Shape>; readonly since?: number }[] = [
  { struct: InHeader, since: 38 },
  { struct: OutHeader },
  { struct: InitIn },
  { struct: InitOut, since: 43 },
  { struct: Attr },
  { struct: EntryOut },
  { struct: ForgetIn },
  { struct: ForgetOne },
  { struct: BatchForgetIn },
  { struct: GetattrIn },
  { struct: AttrOut },
  { struct: SetattrIn },
  { struct: AccessIn },
  { struct: MknodIn },
  { struct: MkdirIn },
  { struct: RenameIn },
  { struct: Rename2In },
  { struct: LinkIn },
  { struct: OpenIn },
  { struct: CreateIn },
  { struct: OpenOut, since: 40 },
  { struct: ReleaseIn },
  { struct: FlushIn },
  { struct: ReadIn },
  { struct: WriteIn },
  { struct: WriteOut },
  { struct: FsyncIn },
  { struct: FallocateIn },
  { struct: LseekIn },
  { struct: LseekOut },
  { struct: CopyFileRangeIn },
  { struct: CopyFileRangeOut, since: 45 },
  { struct: SyncfsIn },
  { struct: Dirent },
  { struct: Direntplus },
  { struct: Kstatfs },
  { struct: StatfsOut },
  { struct: SetxattrIn },
  { struct: GetxattrIn },
  { struct: GetxattrOut },
  { struct: InterruptIn },
  { struct: NotifyInvalInodeOut },
  { struct: NotifyInvalEntryOut },
  { struct: NotifyDeleteOut },
  { struct: BackingMap, since: 40 },
];
