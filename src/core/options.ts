/**
 * The one table of mount options. From it come the words that `-o`, fstab and a PersistentVolume's mountOptions may hold,
 * the flags of `bucketmount mount`, and docs/OPTIONS.md.
 *
 * Names are compared with `-` and `_` taken as the same. s3fs's names are aliases where they mean the same; note that s3fs's
 * `endpoint` is the region, and its `url` the endpoint.
 */
import { DriverError } from "./errors.ts";

type Kind =
  /** Alone, or `=yes|no|true|false|1|0`. */
  | "flag"
  | "text"
  | "octal"
  /** A numeric user or group id. */
  | "id"
  /** Seconds, decimals allowed; the value is in milliseconds. */
  | "seconds"
  /** Bytes: `20G`, `1.5T` (powers of 1000), `512Mi`, `20GiB` (powers of 1024). */
  | "bytes"
  /** Handed to mount(2) as it is. */
  | "kernel";

interface OptionRow {
  readonly kind: Kind;
  readonly doc: string;
  /** The default in words, for the docs; the real one is applied in `resolveMountOptions` or by the command. */
  readonly preset?: string;
  readonly choices?: readonly string[];
  readonly aliases?: readonly string[];
  /** The same setting as a flag of `bucketmount mount`. */
  readonly flag?: string;
}

export const MOUNT_OPTIONS = {
  ro: { kind: "flag", doc: "Refuse every change.", preset: "no", flag: "--read-only" },
  allow_other: { kind: "flag", doc: "Let other users than the mounting one in; the kernel checks permissions.", preset: "no" },
  nosuid: { kind: "flag", doc: "Ignore set-user-id and set-group-id bits.", preset: "yes" },
  nodev: { kind: "flag", doc: "Ignore device files.", preset: "yes" },
  noexec: { kind: "flag", doc: "Refuse to execute files.", preset: "no" },
  uid: { kind: "id", doc: "Owner of what carries no owner.", preset: "the mounting user" },
  gid: { kind: "id", doc: "Group of what carries no group.", preset: "the mounting user's group" },
  umask: { kind: "octal", doc: "Permission bits that are taken away from everything shown.", preset: "0" },
  file_mode: { kind: "octal", doc: "Mode of files that carry none.", preset: "0644, or 0666 without the umask" },
  dir_mode: { kind: "octal", doc: "Mode of directories that carry none.", preset: "0755, or 0777 without the umask" },
  acl: {
    kind: "flag",
    doc: "Enforce POSIX ACLs, and let new files inherit default ACLs; without it they are kept only. Not with channel=fuse-native.",
    preset: "no",
  },
  metadata_ttl: {
    kind: "seconds",
    doc: "How long names and attributes may be taken from memory before the store is asked again.",
    preset: "1",
  },
  durability: {
    kind: "text",
    doc: "remote: close(2) returns when the object is in the bucket. local: when it is on the local disk; the upload begins within a second, and fsync(2) waits for it.",
    preset: "remote; local for volumes of one node (RWO, RWOP)",
    choices: ["remote", "local"],
  },
  passthrough: {
    kind: "text",
    doc: "auto: the kernel reads cached files by itself where it can (Linux 6.9); no: every read comes to the engine.",
    preset: "auto",
    choices: ["auto", "no"],
  },
  channel: {
    kind: "text",
    doc: "dev-fuse: /dev/fuse itself, mounts outlive an engine's crash; fuse-native: through libfuse 2, by the optional package of that name.",
    preset: "dev-fuse",
    choices: ["dev-fuse", "fuse-native"],
    flag: "--channel",
  },
  storage_class: { kind: "text", doc: "Storage class of new objects, such as STANDARD_IA.", preset: "the bucket's" },
  url: {
    kind: "text",
    doc: "URL of the S3 endpoint.",
    preset: "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else AWS's own",
    flag: "--endpoint",
  },
  region: {
    kind: "text",
    doc: "Region for signatures. `endpoint` is s3fs's name for it.",
    preset: "AWS_REGION, AWS_DEFAULT_REGION, else us-east-1",
    aliases: ["endpoint"],
    flag: "--region",
  },
  use_path_request_style: {
    kind: "flag",
    doc: "Put the bucket into the URL's path (yes) or into its host name (no).",
    preset: "yes for custom endpoints",
    aliases: ["path_style"],
    flag: "--path-style",
  },
  passwd_file: { kind: "text", doc: "File of KEY:SECRET or BUCKET:KEY:SECRET lines, mode 0600.", flag: "--passwd-file" },
  profile: { kind: "text", doc: "Profile of AWS's configuration files.", preset: "AWS_PROFILE", flag: "--profile" },
  iam_role: {
    kind: "text",
    doc: "Take keys from the instance's role (AWS's provider chain). A role's name is not needed.",
    preset: "auto",
  },
  ca_bundle: { kind: "text", doc: "PEM file of further certificate authorities.", preset: "AWS_CA_BUNDLE", flag: "--ca-bundle" },
  use_cache: {
    kind: "text",
    doc: "Folder of the local cache and spool.",
    preset: "/var/cache/bucketmount for root, else ~/.cache/bucketmount",
    aliases: ["cache_dir"],
    flag: "--cache-dir",
  },
  cache_size: { kind: "bytes", doc: "Most bytes of cached content.", preset: "20 GiB, at most half of what is free", flag: "--cache-size" },
  state_dir: { kind: "text", doc: "Folder of this mount's state alone.", preset: "a folder in the cache folder", flag: "--state-dir" },
  nonempty: { kind: "flag", doc: "Mount over a directory that is not empty.", preset: "no" },
  dbglevel: {
    kind: "text",
    doc: "How much is logged.",
    preset: "info",
    choices: ["error", "warn", "info", "debug"],
    aliases: ["log_level"],
    flag: "--log-level",
  },
  context: { kind: "kernel", doc: "SELinux label of every file." },
  fscontext: { kind: "kernel", doc: "SELinux label of the file system." },
  defcontext: { kind: "kernel", doc: "SELinux label of unlabelled files." },
  rootcontext: { kind: "kernel", doc: "SELinux label of the mount's root." },
} as const satisfies Record<string, OptionRow>;

export type MountOptionName = keyof typeof MOUNT_OPTIONS;

/** Words that are another option with a value. */
const SHORTHANDS: Readonly<Record<string, readonly [MountOptionName, string]>> = {
  rw: ["ro", "no"],
  suid: ["nosuid", "no"],
  dev: ["nodev", "no"],
  exec: ["noexec", "no"],
  noacl: ["acl", "no"],
  use_rrs: ["storage_class", "REDUCED_REDUNDANCY"],
};

/** mount(8)'s, systemd's and libfuse's words that say nothing to us: when to mount, and what is always so. */
const IGNORED: ReadonlySet<string> = new Set(
  "defaults auto noauto nofail user nouser users owner group _netdev async atime noatime relatime norelatime strictatime diratime nodiratime lazytime nolazytime default_permissions comment".split(
    " ",
  ),
);

/** s3fs's names for log levels. */
const LEVEL_ALIASES: Readonly<Record<string, string>> = {
  crit: "error",
  critical: "error",
  err: "error",
  warning: "warn",
  information: "info",
};

type ValueOf<R extends OptionRow> = R["kind"] extends "flag" ? boolean : R["kind"] extends "text" | "kernel" ? string : number;

/** Options that were given, parsed. */
export type GivenOptions = { readonly [N in MountOptionName]?: ValueOf<(typeof MOUNT_OPTIONS)[N]> };

/** Mount options after validation; what the engine needs of the options, defaults applied. */
export interface MountOptions {
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  /** Owner of what carries no owner. */
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
  /** The kernel enforces POSIX ACLs. */
  readonly acl: boolean;
  readonly fileMode: number;
  readonly dirMode: number;
  readonly metadataTtlMs: number;
  /** When close(2) returns: with the object in the bucket, or on the local disk. */
  readonly durability: "remote" | "local";
  /** auto: where the kernel allows it. */
  readonly passthrough: "auto" | "no";
  readonly channel: "dev-fuse" | "fuse-native";
  readonly noSuid: boolean;
  readonly noDev: boolean;
  readonly noExec: boolean;
  readonly storageClass?: string;
  /** The group that everything belongs to and that may read and write it: a pod's fsGroup. No option of a command line. */
  readonly group?: number;
  /** Further mount(2) data, such as `context=...` of SELinux. */
  readonly kernelOptions: readonly string[];
}

const ROWS: Readonly<Record<string, OptionRow>> = MOUNT_OPTIONS;

const CANONICAL: ReadonlyMap<string, MountOptionName> = new Map(
  Object.entries(ROWS).flatMap(([name, row]) => [name, ...(row.aliases ?? [])].map((word) => [word, name as MountOptionName])),
);

/**
 * Parses `-o` arguments: each a comma-separated list, later words win. Double quotes keep commas together, as SELinux labels need.
 * Throws `bad_argument` naming the word: unknown, without its value, or with a wrong one. `sloppy` (mount(8)'s -s) skips unknown words.
 */
export function parseMountOptions(lists: readonly string[], { sloppy = false }: { sloppy?: boolean } = {}): GivenOptions {
  const given: Record<string, boolean | number | string> = {};
  for (const word of lists.flatMap(splitWords)) {
    const equals = word.indexOf("=");
    const name = plainName(equals < 0 ? word : word.slice(0, equals));
    if (IGNORED.has(name) || name.startsWith("x_")) continue;
    const shorthand = Object.hasOwn(SHORTHANDS, name) ? SHORTHANDS[name] : undefined;
    const [option, text] = shorthand ?? [CANONICAL.get(name), equals < 0 ? undefined : word.slice(equals + 1)];
    if (option !== undefined) {
      // A URL can only mean the endpoint, whatever s3fs calls the region.
      const target = name === "endpoint" && text?.includes("://") ? "url" : option;
      const value = parseOptionValue(target, text);
      refuseSecondLabel(target, given[target], value);
      given[target] = value;
    } else if (!sloppy) {
      throw unknownOption(name);
    }
  }
  return given;
}

/** Parses one option's value, from `-o` or from a flag. Throws `bad_argument` naming option and value. */
export function parseOptionValue(name: MountOptionName, text: string | undefined): boolean | number | string {
  const row: OptionRow = MOUNT_OPTIONS[name];
  if (row.kind === "flag") return parseFlag(name, text ?? "yes");
  // s3fs's bare `iam_role` means `auto`.
  const raw = text ?? (name === "iam_role" ? "auto" : "");
  if (raw === "") throw new DriverError("bad_argument", `mount option "${name}" needs a value: ${name}=...`);
  const value = raw.replaceAll('"', "");
  switch (row.kind) {
    case "octal":
      return parseOctal(name, value);
    case "id":
      return parseId(name, value);
    case "seconds":
      return parseSeconds(name, value);
    case "bytes":
      return parseBytes(value, name);
    default:
      return parseText(name, row, value);
  }
}

/** Applies the defaults. Throws `bad_argument` for options that exclude each other. */
export function resolveMountOptions(given: GivenOptions, defaults: { readonly uid: number; readonly gid: number }): MountOptions {
  if (given.acl && given.channel === "fuse-native") {
    throw new DriverError("bad_argument", 'mount option "acl" needs channel=dev-fuse: libfuse 2 does not ask the kernel to enforce ACLs');
  }
  const missing = given.umask ?? 0o022;
  return {
    readOnly: given.ro ?? false,
    allowOther: given.allow_other ?? false,
    uid: given.uid ?? defaults.uid,
    gid: given.gid ?? defaults.gid,
    umask: given.umask ?? 0,
    acl: given.acl ?? false,
    fileMode: given.file_mode ?? 0o666 & ~missing,
    dirMode: given.dir_mode ?? 0o777 & ~missing,
    metadataTtlMs: given.metadata_ttl ?? 1000,
    durability: given.durability === "local" ? "local" : "remote",
    passthrough: given.passthrough === "no" ? "no" : "auto",
    channel: given.channel === "fuse-native" ? "fuse-native" : "dev-fuse",
    noSuid: given.nosuid ?? true,
    noDev: given.nodev ?? true,
    noExec: given.noexec ?? false,
    ...(given.storage_class === undefined ? {} : { storageClass: given.storage_class.toUpperCase() }),
    kernelOptions: (["context", "fscontext", "defcontext", "rootcontext"] as const).flatMap((name) =>
      given[name] === undefined ? [] : [`${name}=${quoted(given[name])}`],
    ),
  };
}

/** SELinux takes quotes off again: a label's categories have commas between them. */
function quoted(label: string): string {
  return label.includes(",") ? `"${label}"` : label;
}

/** A mount has one label; which of two was meant is nothing to guess. */
function refuseSecondLabel(name: MountOptionName, before: unknown, value: unknown): void {
  if (MOUNT_OPTIONS[name].kind !== "kernel" || before === undefined || before === value) return;
  throw new DriverError("bad_argument", `mount option "${name}" is given twice: "${String(before)}" and "${String(value)}"`);
}

const BYTE_UNITS = "KMGTP";

/** `20G`, `1.5TB` (powers of 1000), `512Mi`, `20GiB` (powers of 1024) or plain bytes, as a whole number. */
export function parseBytes(text: string, name = "size"): number {
  const match = /^(\d+(?:\.\d+)?)(?:([KMGTP])(i?)B?|B)?$/i.exec(text.trim());
  const power = match?.[2] === undefined ? 0 : BYTE_UNITS.indexOf(match[2].toUpperCase()) + 1;
  const bytes = match === null ? Number.NaN : Math.floor(Number(match[1]) * (match[3] ? 1024 : 1000) ** power);
  if (!Number.isSafeInteger(bytes)) throw new DriverError("bad_argument", `${name}: "${text}" is not a size: write 20G or 512Mi`);
  return bytes;
}

function parseFlag(name: string, text: string): boolean {
  if (/^(yes|true|1|on)$/i.test(text)) return true;
  if (/^(no|false|0|off)$/i.test(text)) return false;
  throw new DriverError("bad_argument", `mount option "${name}" is yes or no, not "${text}"`);
}

function parseOctal(name: string, text: string): number {
  if (/^0?[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8);
  throw new DriverError("bad_argument", `mount option "${name}": "${text}" is not an octal mode such as 0644`);
}

function parseId(name: string, text: string): number {
  // 2^32 - 1 means "no change" to the kernel, so it is nobody's id.
  if (/^\d{1,10}$/.test(text) && Number(text) < 0xffff_ffff) return Number(text);
  throw new DriverError("bad_argument", `mount option "${name}": "${text}" is not a numeric id`);
}

function parseSeconds(name: string, text: string): number {
  if (/^\d{1,9}(\.\d+)?s?$/.test(text)) return Math.round(Number.parseFloat(text) * 1000);
  throw new DriverError("bad_argument", `mount option "${name}": "${text}" is not a number of seconds`);
}

function parseText(name: string, row: OptionRow, text: string): string {
  const value = name === "dbglevel" ? (LEVEL_ALIASES[text] ?? text) : text;
  if (row.choices === undefined || row.choices.includes(value)) return value;
  throw new DriverError("bad_argument", `mount option "${name}" is one of ${row.choices.join(", ")}, not "${text}"`);
}

/** Splits at commas outside double quotes, and not between the categories of an SELinux label; empty words are dropped. */
function splitWords(list: string): string[] {
  const labels = list.replaceAll(/context=[^,"]*:s\d[^,"]*(?:,c\d+(?:\.c\d+)?(?=,|$))+/g, (label) => label.replace(/(?<==).*/, '"$&"'));
  return (labels.match(/(?:[^,"]|"[^"]*"?)+/g) ?? []).map((word) => word.trim()).filter((word) => word !== "");
}

/** systemd's `x-...` become `x_...` too. */
function plainName(word: string): string {
  return word.trim().toLowerCase().replaceAll("-", "_");
}

function unknownOption(name: string): DriverError {
  const near = nearest(name, [...CANONICAL.keys(), ...Object.keys(SHORTHANDS)]);
  return new DriverError("bad_argument", `unknown mount option "${name}"${near === undefined ? "" : `: did you mean "${near}"?`}`);
}

/** The candidate at the least edit distance, when it is near enough to be a slip of the finger: two edits, or a third of the word. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates.map((candidate) => ({ candidate, distance: editDistance(word, candidate) }));
  const best = ranked.reduce<(typeof ranked)[number] | undefined>(
    (a, b) => (a === undefined || b.distance < a.distance ? b : a),
    undefined,
  );
  return best !== undefined && best.distance <= Math.min(2, Math.ceil(word.length / 3)) ? best.candidate : undefined;
}

/** Levenshtein's distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, swap));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
