/**
 * INIT: what is agreed with the kernel, once per connection. Pure.
 *
 * A successor on a connection whose INIT is long answered reads the same agreement out of the stored reply.
 */
import { DriverError } from "#core/errors.ts";
import type { ValuesOf } from "#core/struct.ts";
import { FUSE_KERNEL_MINOR_VERSION, FUSE_KERNEL_VERSION, type InitIn, InitOut, MIN_MINOR_VERSION } from "#fuse/wire/abi.ts";
import { FUSE_INIT_FLAGS, hasInitFlag, type InitFlagName, initFlagWords } from "#fuse/wire/flags.ts";
import type { KernelFeatures } from "./channel.ts";

type InitOffer = ValuesOf<typeof InitIn>;
type InitAnswer = ValuesOf<typeof InitOut>;

/** Largest WRITE and READ. 256 pages is what kernels before 6.13 allow; more gains nothing measurable. */
export const MAX_WRITE = 1 << 20;
const MAX_PAGES = 256;

/** Kernel-made requests (read-ahead, RELEASE, FORGET) under way at once, before it queues them; and when it calls itself busy. */
const MAX_BACKGROUND = 64;
const CONGESTION_THRESHOLD = 48;

/** The kernel takes the smaller of this and its own 128 KiB; only /sys/class/bdi raises that afterwards (`setReadAhead`). */
const MAX_READAHEAD = 8 << 20;

/** What we ask for of what the kernel offers, and why. */
const WANTED: readonly InitFlagName[] = [
  "ASYNC_READ", // read-ahead sends several READs at once
  "ATOMIC_O_TRUNC", // O_TRUNC comes with OPEN: one round trip, and no object is emptied that the open then fails on
  "BIG_WRITES",
  // The kernel drops cached pages when it sees a new mtime or size. The other choice, EXPLICIT_INVAL_DATA, drops them only when
  // told, and nobody tells us when an object changes in the bucket: we learn of it by the same refresh that brings the new mtime.
  "AUTO_INVAL_DATA",
  "DO_READDIRPLUS", // `ls -l` without a LOOKUP per name
  "READDIRPLUS_AUTO", // and plain READDIR for those who want names only
  "ASYNC_DIO",
  "PARALLEL_DIROPS", // lookups of one directory need not wait for each other
  "MAX_PAGES",
  "CACHE_SYMLINKS", // dropped with the other cached data when the link's mtime changes
  "HANDLE_KILLPRIV_V2", // otherwise every write asks for security.capability first
  "SETXATTR_EXT",
  "INIT_EXT", // without it the kernel ignores flags2
  "PASSTHROUGH",
  "HAS_RESEND",
];

/** The kernel asks for ACLs and enforces them; without the second flag it would apply the umask where a default ACL takes its place. */
const FOR_ACLS: readonly InitFlagName[] = ["POSIX_ACL", "DONT_MASK"];

/**
 * The answer to a kernel's INIT. Not asked for: locks (POSIX_LOCKS, FLOCK_LOCKS: the kernel then keeps them itself, rightly
 * for one host), WRITEBACK_CACHE (excludes passthrough, and makes mtime and size the kernel's), EXPORT_SUPPORT (lookups of
 * ".." for nodes the kernel forgot), and POSIX_ACL unless wanted (each look at permissions then asks for an ACL first).
 * Throws `precondition` for a kernel that is too old, or has no ACLs where they are wanted.
 */
export function negotiate(offer: InitOffer, options: { readonly passthrough: "auto" | "no"; readonly acl?: boolean }): InitAnswer {
  if (offer.major !== FUSE_KERNEL_VERSION || offer.minor < MIN_MINOR_VERSION) {
    const needed = `${FUSE_KERNEL_VERSION}.${MIN_MINOR_VERSION}`;
    throw new DriverError(
      "precondition",
      `the kernel speaks FUSE ${offer.major}.${offer.minor}; ${needed} (Linux 5.10) or newer is needed`,
    );
  }
  const wanted = options.acl ? [...WANTED, ...FOR_ACLS] : WANTED;
  const flags = wanted.filter((name) => hasInitFlag(offer, name) && (name !== "PASSTHROUGH" || options.passthrough === "auto"));
  if (options.acl && FOR_ACLS.some((name) => !flags.includes(name))) {
    throw new DriverError("precondition", "the kernel does not enforce ACLs on FUSE mounts: mount without the option acl");
  }
  return {
    major: FUSE_KERNEL_VERSION,
    minor: Math.min(offer.minor, FUSE_KERNEL_MINOR_VERSION),
    max_readahead: Math.min(offer.max_readahead, MAX_READAHEAD),
    ...initFlagWords(flags),
    max_background: MAX_BACKGROUND,
    congestion_threshold: CONGESTION_THRESHOLD,
    max_write: MAX_WRITE,
    time_gran: 1,
    max_pages: MAX_PAGES,
    map_alignment: 0,
    max_stack_depth: flags.includes("PASSTHROUGH") ? 1 : 0, // 1: backing files on plain file systems, and overlayfs may stand on us
    request_timeout: 0,
  };
}

/** The answer as bytes, for the kernel and for a successor. */
export function encodeInit(answer: InitAnswer): Uint8Array {
  const bytes = new Uint8Array(InitOut.size);
  InitOut.write(new DataView(bytes.buffer), 0, answer);
  return bytes;
}

/** What an answer of ours agreed to. Throws `corrupt` for bytes that are no such answer. */
export function agreementOf(init: Uint8Array): Agreement {
  if (init.length !== InitOut.size)
    throw new DriverError("corrupt", `the stored INIT reply has ${init.length} bytes, ${InitOut.size} expected`);
  const answer = InitOut.at(new DataView(init.buffer, init.byteOffset, init.length), 0);
  if (answer.major !== FUSE_KERNEL_VERSION) throw new DriverError("corrupt", `the stored INIT reply is of protocol ${answer.major}`);
  return {
    features: {
      passthrough: hasInitFlag(answer, "PASSTHROUGH"),
      resend: hasInitFlag(answer, "HAS_RESEND"),
      maxWrite: answer.max_write,
      minor: answer.minor,
    },
    setxattrExt: hasInitFlag(answer, "SETXATTR_EXT"),
  };
}

/** What both sides hold to. */
export interface Agreement {
  /** `passthrough` as agreed; whether it works here only a trial shows. */
  readonly features: KernelFeatures;
  /** SETXATTR comes with the long struct. */
  readonly setxattrExt: boolean;
}

/** Names of the flags in an INIT message, for logs. */
export function initFlagNames(words: { readonly flags: number; readonly flags2: number }): InitFlagName[] {
  return (Object.keys(FUSE_INIT_FLAGS) as InitFlagName[]).filter((name) => hasInitFlag(words, name));
}
