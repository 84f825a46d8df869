/** The system calls that the fuzzer of fuzz.test.ts makes, at random, and how they are shown. */
import fc from "fast-check";
import type { Told } from "./obeying-process.ts";

/** One call of one of two processes. Offsets and sizes are in units of the run. */
export interface Step {
  readonly process: 0 | 1;
  readonly told: Told;
}

export interface Run {
  /** Who the two processes are. */
  readonly users: readonly [number, number];
  /** Bytes: small files are filled at their open, large ones are read and written in pieces. */
  readonly unit: number;
  /** Everything that a call names is looked at before it and after it: shows what moves, and hides what a cache makes of it. */
  readonly watch: boolean;
  readonly steps: readonly Step[];
}

const name = fc.constantFrom("a", "b", "c", "d");
const path = fc.oneof(
  { weight: 6, arbitrary: name },
  { weight: 5, arbitrary: fc.tuple(name, name).map((names) => names.join("/")) },
  { weight: 1, arbitrary: fc.tuple(name, name, name).map((names) => names.join("/")) },
);
/** Few: most calls shall find something open. */
const slot = fc.nat({ max: 1 });
const units = fc.nat({ max: 12 });
const offset = fc.nat({ max: 25 });
const mode = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(0o666, 0o777, 0o644, 0o600, 0o755) },
  { weight: 1, arbitrary: fc.constantFrom(0o7777, 0o4755, 0o2775, 0o1777, 0o2644, 0o000, 0o444) },
);
/** Without setuid and setgid: SEMANTICS.md tells the hole for files that are open. */
const changedMode = fc.constantFrom(0o666, 0o777, 0o644, 0o600, 0o755, 0o1777, 0o444, 0o000);
/** Not -1 for both: POSIX leaves open whether that moves the ctime. */
const [owner, group] = [fc.constantFrom(0, 1001, 1002), fc.constantFrom(0, 1001, 1002, -1)];
const attribute = fc.constantFrom("user.a", "user.b");

const access = fc.constantFrom("O_RDONLY", "O_WRONLY", "O_RDWR", "O_RDWR");
const openFlags = fc
  .tuple(access, fc.subarray(["O_CREAT", "O_EXCL", "O_TRUNC", "O_APPEND", "O_NOFOLLOW", "O_DIRECTORY", "O_SYNC"], { maxLength: 4 }))
  .map(([first, others]) => [first, ...others]);

type Words = Readonly<Record<string, fc.Arbitrary<unknown>>>;

const call = (weight: number, what: string, words: Words) => ({
  weight,
  arbitrary: fc.record(words).map((chosen): Told => ({ do: what, ...chosen })),
});

const told = fc.oneof(
  call(12, "open", { slot, path, flags: openFlags, mode }),
  call(8, "open", { slot, path, flags: access.map((each) => [each, "O_CREAT"]), mode: fc.constant(0o666) }),
  call(2, "open", {
    slot,
    path: fc.constantFrom(".", "d", "a"),
    flags: fc.constantFrom(["O_RDWR", "O_TMPFILE"], ["O_WRONLY", "O_TMPFILE", "O_EXCL"]),
    mode,
  }),
  call(3, "linkOpen", { slot, to: path }),
  call(5, "close", { slot }),
  call(4, "read", { slot, size: units }),
  call(4, "pread", { slot, size: units, offset }),
  call(6, "write", { slot, size: units }),
  call(6, "pwrite", { slot, size: units, offset }),
  call(2, "seek", { slot, offset, whence: fc.constantFrom(0, 1, 2) }),
  call(4, "ftruncate", { slot, size: offset }),
  call(3, "fallocate", { slot, size: units, offset, mode: fc.constantFrom(0, 1, 3, 16, 17) }),
  call(2, "fsync", { slot }),
  call(1, "fdatasync", { slot }),
  call(3, "flush", { slot }),
  call(2, "fstat", { slot }),
  call(1, "fchmod", { slot, mode: changedMode }),
  call(1, "futimens", { slot, mtime: fc.nat({ max: 9 }) }),
  call(3, "mapWrite", { slot, offset, size: units }),
  call(2, "mapRead", { slot }),
  call(2, "copyRange", { slot, to: slot, offset, at: offset, size: units }),
  call(6, "writeFile", { path, size: units }),
  call(3, "append", { path, size: units }),
  call(4, "readFile", { path }),
  call(3, "truncate", { path, size: offset }),
  call(2, "stat", { path }),
  call(2, "lstat", { path }),
  call(1, "readlink", { path }),
  call(1, "access", { path, mode: fc.nat({ max: 7 }) }),
  call(2, "readdir", { path: fc.oneof(fc.constant("."), path) }),
  call(5, "mkdir", { path, mode: fc.constantFrom(0o777, 0o777, 0o755, 0o1777, 0o2777) }),
  call(2, "rmdir", { path }),
  call(4, "unlink", { path }),
  call(8, "rename", { path, to: path, flags: fc.constant(0) }),
  call(2, "rename", { path, to: path, flags: fc.constantFrom(1, 2) }),
  call(5, "link", { path, to: path }),
  call(2, "symlink", { path, to: path }),
  call(1, "mkfifo", { path, mode }),
  call(3, "chmod", { path, mode: changedMode }),
  call(2, "chown", { path, uid: owner, gid: group }),
  call(2, "utimens", { path, mtime: fc.nat({ max: 9 }), follow: fc.boolean() }),
  call(1, "touch", { path }),
  // Never the value that it has: ext4 alone leaves the ctime then.
  call(2, "setxattr", { path, name: attribute, size: fc.integer({ min: 1, max: 9 }), flags: fc.constantFrom(0, 0, 1, 2) }),
  call(1, "removexattr", { path, name: attribute }),
  call(1, "xattrs", { path }),
  call(1, "fsyncdir", { path: fc.oneof(fc.constant("."), path) }),
);

const step: fc.Arbitrary<Step> = fc.record({ process: fc.constantFrom<0 | 1>(0, 1), told });

export const run: fc.Arbitrary<Run> = fc.record({
  users: fc.constantFrom<[number, number]>([0, 0], [0, 1001], [1001, 1002]),
  unit: fc.oneof({ weight: 9, arbitrary: fc.constant(97) }, { weight: 1, arbitrary: fc.constant(130_000) }),
  watch: fc.boolean(),
  // As many as there are letters: no two write the same.
  steps: fc.array(step, { minLength: 1, maxLength: 52, size: "max" }),
});

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const IN_UNITS = new Set([
  "read",
  "pread",
  "write",
  "pwrite",
  "ftruncate",
  "fallocate",
  "mapWrite",
  "copyRange",
  "writeFile",
  "append",
  "truncate",
]);

/** The step as the process is told it: in bytes, and with a letter of its own to write. */
export function inBytes({ told: words }: Step, index: number, { unit, watch }: Run): Told {
  const scale = (word: "size" | "offset" | "at") =>
    typeof words[word] === "number" && IN_UNITS.has(words.do) ? { [word]: words[word] * unit } : {};
  return { ...words, letter: LETTERS[index % LETTERS.length], watch, ...scale("size"), ...scale("offset"), ...scale("at") };
}

/** `P0 open([1], "a/b", O_RDWR|O_CREAT, mode=644)`. */
export function shownStep(step: Step, index: number, of: Run): string {
  const { do: what, watch, letter, ...words } = inBytes(step, index, of);
  const writes = /^(write|pwrite|mapWrite|writeFile|append|setxattr|put)$/.test(what) ? [`of ${String(letter)}`] : [];
  return `P${step.process} ${what}(${[...Object.entries(words).map(([word, value]) => shownWord(word, value)), ...writes].join(", ")})`;
}

function shownWord(word: string, value: unknown): string {
  if (word === "slot" || (word === "to" && typeof value === "number")) return `[${String(value)}]`;
  if (Array.isArray(value)) return value.join("|");
  if (word === "mode") return `mode=${(value as number).toString(8)}`;
  return word === "path" ? JSON.stringify(value) : `${word}=${JSON.stringify(value)}`;
}

export function shownRun(of: Run): string {
  const head = `users ${of.users.join(" and ")}, unit ${of.unit} bytes, ${of.watch ? "watched" : "not watched"}`;
  return [head, ...of.steps.map((each, index) => `  ${String(index + 1).padStart(2)} ${shownStep(each, index, of)}`)].join("\n");
}
