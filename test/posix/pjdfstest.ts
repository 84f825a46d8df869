/** Runs the crate `pjdfstest`, a test suite of POSIX file systems, on a mount, and reads its output. */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { outputOf } from "../support/child-output.ts";
import { findBinary } from "../support/s3-servers.ts";

export type Verdict = "ok" | "failed" | "skipped";

export interface CaseResult {
  readonly verdict: Verdict;
  /** What the suite said of a failure or skip. */
  readonly why: string;
}

/** Results by the name of the case. */
export type Results = ReadonlyMap<string, CaseResult>;

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** The installed program; undefined when there is none. */
export function pjdfstestProgram(): string | undefined {
  const installed = join(process.env["CARGO_HOME"] ?? join(homedir(), ".cargo"), "bin/pjdfstest");
  return findBinary("pjdfstest") ?? (existsSync(installed) ? installed : undefined);
}

/** What the suite asks of the disk: it has no list of its cases, and one that fails there would say nothing about us. */
export async function casesOf(program: string): Promise<Results> {
  const folder = mkdtempSync(join(tmpdir(), "pjdfstest-disk-"));
  try {
    chmodSync(folder, 0o755);
    return await inHome((home) => runOnce(program, { mountPoint: folder, ...home, allowRemount: false }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * These cases. Those of EROFS remount what they run on, which no file system allows while a removed file is open, as other cases leave
 * them: they have a run of their own.
 */
export function runPjdfstest(program: string, mountPoint: string, names: readonly string[]): Promise<Results> {
  return inHome(async (home) => {
    const [remounting, plain] = [true, false].map((wanted) => names.filter((name) => name.includes("::erofs_") === wanted));
    const first = await runOnce(program, { mountPoint, ...home, allowRemount: false }, plain);
    const second = await runOnce(program, { mountPoint, ...home, allowRemount: true }, remounting);
    return new Map([...first, ...second]);
  });
}

async function inHome<T>(work: (home: Pick<Run, "home" | "other">) => Promise<T>): Promise<T> {
  const home = mkdtempSync(join(tmpdir(), "pjdfstest-"));
  try {
    chmodSync(home, 0o755);
    const other = join("/dev/shm", basename(home));
    mkdirSync(other, { mode: 0o755 });
    try {
      return await work({ home, other });
    } finally {
      rmSync(other, { recursive: true, force: true });
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

interface Run {
  readonly mountPoint: string;
  readonly home: string;
  /** A folder on another file system, for EXDEV. */
  readonly other: string;
  readonly allowRemount: boolean;
}

/** All cases, or those of these names. */
async function runOnce(program: string, run: Run, names: readonly string[] = []): Promise<Results> {
  const config = join(run.home, "pjdfstest.toml");
  writeFileSync(config, configuration(run));
  const words = [
    program,
    "-c",
    config,
    "-p",
    run.mountPoint,
    "-s",
    run.other,
    ...(names.length === 0 ? [] : ["--exact", ...names.map((name) => `pjdfstest::tests::${name}`)]),
  ];
  const output = await suiteOutput(words, join(run.home, "bin"));
  const results = parseResults(output);
  if (results.size === 0) throw new Error(`pjdfstest ran nothing: ${output.slice(-2000)}`);
  return results;
}

/** What a file system of Linux is asked: no BSD flags, no NFSv4 ACLs; rename moves the ctime, as ext4's does. */
function configuration({ allowRemount }: Run): string {
  const features = ["posix_fallocate", "utime_now", "utimensat", "rename_ctime"].map((name) => `${name} = {}`);
  const entries = twoUsers().map(({ user, group }) => `["${user}", "${group}"]`);
  return [
    ...["[features]", ...features],
    ...["[settings]", "naptime = 0.01", `allow_remount = ${allowRemount}`],
    ...["[dummy_auth]", `entries = [${entries.join(", ")}]`],
  ].join("\n");
}

/** Users without rights that every distribution has: the suite asks for two, with their own groups. */
function twoUsers(): { user: string; group: string }[] {
  const groups = new Map(table("/etc/group").map(([name = "", , gid = ""]) => [gid, name]));
  const users = table("/etc/passwd").flatMap(([user = "", , uid = "", gid = ""]) => {
    const group = groups.get(gid);
    return uid === "0" || gid === "0" || group === undefined ? [] : [{ user, group }];
  });
  if (users.length < 2) throw new Error("pjdfstest needs two users that are not root in /etc/passwd");
  return users.slice(0, 2);
}

function table(path: string): string[][] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(":"));
}

/**
 * The suite's output. mount(8) calls libfuse's helper for a remount, and that looks for `bucketmount` in the system's own folders
 * only: for the time of the run, and for it alone, /usr/local/bin is a folder that has it.
 */
async function suiteOutput(words: readonly string[], bin: string): Promise<string> {
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, "bucketmount"), `#!/bin/sh\nexec '${process.execPath}' -C source '${MAIN}' "$@"\n`, { mode: 0o755 });
  const script = 'mount --bind "$0" /usr/local/bin && exec "$@"';
  const child = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", script, bin, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, RUST_BACKTRACE: "0", NO_COLOR: "1" },
  });
  return (await outputOf(child)).said;
}

const VERDICTS: Readonly<Record<string, Verdict>> = { ok: "ok", FAILED: "failed", skipped: "skipped" };

/** `rename::enametoolong_component    FAILED`, and indented or unindented lines of reasons after it. */
export function parseResults(output: string): Results {
  const results = new Map<string, CaseResult>();
  let last: string | undefined;
  for (const line of output.split("\n")) {
    const [, name, word] = /^([a-z0-9_]+(?:::[a-z0-9_]+)+)\s+(ok|FAILED|skipped)$/.exec(line) ?? [];
    const verdict = VERDICTS[word ?? ""];
    if (name !== undefined && verdict !== undefined) {
      results.set(name, { verdict, why: "" });
      last = name;
    } else if (last !== undefined && line.trim() !== "" && !line.startsWith("Summary")) {
      const { verdict: before, why } = results.get(last) as CaseResult;
      results.set(last, { verdict: before, why: `${why} ${line.trim()}`.trim() });
    }
  }
  return results;
}
