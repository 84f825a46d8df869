/** What a mount's engine holds: handles, inodes, unsent data, descriptors. For suites that look for leaks after much work. */
import { readFileSync, writeFileSync } from "node:fs";
import { readdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { bucketmount } from "./mounted-bucket.ts";

/** What must be as it was when nobody uses the mount any more. */
export interface Holdings {
  readonly openHandles: number;
  /** The root is one. */
  readonly inodes: number;
  readonly dirtyFiles: number;
  readonly dirtyBytes: number;
  /** In the folders `spool`, `conflicts` and `content/temp` of the mount's state folder. */
  readonly leftFiles: readonly string[];
  /** Engines that died and had a successor. */
  readonly restarts: number;
  /** What the process has open, without numbers; connections to the store are not among it, they end when they are idle. */
  readonly descriptors: readonly string[];
}

export interface EngineReading extends Holdings {
  readonly rssBytes: number;
  /** Connections to the store. */
  readonly connections: number;
  readonly logFile: string;
}

/** As much as the kernel and idle connections need on a slow machine; a leak stays. */
const SETTLE_MS = 120_000;
const TRANSIENT_FOLDERS = ["spool", "conflicts", "content/temp"];

interface Status extends Omit<Holdings, "leftFiles" | "descriptors"> {
  readonly pid: number;
  readonly rssBytes: number;
  readonly stateDir: string;
  readonly logFile: string;
}

/** By `bucketmount status` and /proc. */
export async function readEngine(mountPoint: string): Promise<EngineReading> {
  const { code, stdout, stderr } = await bucketmount(["status", mountPoint, "--json"]);
  if (code !== 0) throw new Error(`status of ${mountPoint} ended with ${code}: ${stderr}`);
  const [status] = JSON.parse(stdout) as [Status];
  const { openHandles, inodes, dirtyFiles, dirtyBytes, restarts, rssBytes, logFile } = status;
  const leftFiles = (await Promise.all(TRANSIENT_FOLDERS.map((folder) => filesOf(status.stateDir, folder)))).flat();
  return { openHandles, inodes, dirtyFiles, dirtyBytes, leftFiles, restarts, rssBytes, logFile, ...(await descriptorsOf(status.pid)) };
}

async function filesOf(stateDir: string, folder: string): Promise<string[]> {
  const names = await readdir(join(stateDir, folder)).catch(() => []);
  const sizes = await Promise.all(names.map((name) => stat(join(stateDir, folder, name)).catch(() => undefined)));
  return names.flatMap((name, i) => (sizes[i] === undefined ? [] : [`${folder}/${name}, ${sizes[i].size} bytes`]));
}

async function descriptorsOf(pid: number): Promise<{ descriptors: string[]; connections: number }> {
  const folder = `/proc/${pid}/fd`;
  const links = await Promise.all((await readdir(folder)).map((name) => readlink(join(folder, name)).catch(() => undefined)));
  const network = ["tcp", "tcp6"].flatMap((table) => socketsOf(`/proc/${pid}/net/${table}`));
  const isConnection = (link: string) => network.some((inode) => link === `socket:[${inode}]`);
  const open = links.flatMap((link) => (link === undefined ? [] : [link]));
  const descriptors = open.filter((link) => !isConnection(link)).map((link) => link.replace(/\[\d+\]$/, ""));
  return { descriptors: descriptors.sort(), connections: open.filter(isConnection).length };
}

/** The column `inode` of one of the kernel's tables of sockets. */
function socketsOf(table: string): string[] {
  const lines = readFileSync(table, "utf8").trim().split("\n").slice(1);
  return lines.map((line) => line.trim().split(/\s+/)[9] ?? "");
}

/** Fails when the engine goes on holding more, or less, than it held `before`, or has taken anything for a mistake of its own. */
export async function expectSettled(mountPoint: string, before: EngineReading): Promise<void> {
  const after = await settled(mountPoint, before);
  console.log(`resident memory: ${before.rssBytes >> 20} MiB before, ${after.rssBytes >> 20} MiB after`);
  expect(holdingsIn(after)).toEqual(holdingsIn(before));
  expect(internalErrors(after.logFile)).toEqual([]);
}

/**
 * Waits until the engine holds what it held `before`, with the kernel told to forget names and inodes that nobody uses, and until
 * its connections are closed. Answers what it holds then, or at the limit.
 */
async function settled(mountPoint: string, before: Holdings): Promise<EngineReading> {
  const wanted = JSON.stringify(holdingsIn(before));
  const deadline = Date.now() + SETTLE_MS;
  for (;;) {
    // 2: dentries and inodes, of the whole machine; those in use stay.
    writeFileSync("/proc/sys/vm/drop_caches", "2");
    const reading = await readEngine(mountPoint);
    const isSettled = JSON.stringify(holdingsIn(reading)) === wanted && reading.connections === 0;
    if (isSettled || Date.now() > deadline) return reading;
    await sleep(500);
  }
}

/** Without what only tells how the engine is. */
function holdingsIn({ openHandles, inodes, dirtyFiles, dirtyBytes, leftFiles, restarts, descriptors }: Holdings): Holdings {
  return { openHandles, inodes, dirtyFiles, dirtyBytes, leftFiles, restarts, descriptors };
}

/** What the engine took for its own mistakes: lines of its log. */
function internalErrors(logFile: string): string[] {
  return readFileSync(logFile, "utf8")
    .split("\n")
    .filter((line) => line.includes('"fault":"internal"') || line.includes('"level":"fatal"'));
}
