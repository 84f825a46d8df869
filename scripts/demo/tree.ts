/** A tree of files: listed, copied with everything that a file system keeps, compared byte by byte. */
import { constants, type Stats } from "node:fs";
import { type FileHandle, lchown, lstat, lutimes, mkdir, open, readdir, readlink, symlink, utimes } from "node:fs/promises";
import { basename, join } from "node:path";

export interface Entry {
  /** Relative to the tree's root. */
  readonly path: string;
  readonly stats: Stats;
}

/** Bytes read and written at once. */
const CHUNK = 4 << 20;

/** Called after each entry with the bytes of its content. */
export type Progress = (bytes: number) => void;

/** What tools keep changing below node_modules while they run: no fair thing to compare. */
const SCRATCH = new Set([".cache", ".vite", ".vitest-cache"]);

/** All entries below `root`, parents before children. Sockets, pipes and devices are left out: an object store has no place for them. */
export async function listTree(root: string, below = ""): Promise<Entry[]> {
  const isScratch = (name: string) => below === "" && basename(root) === "node_modules" && SCRATCH.has(name);
  const names = (await readdir(join(root, below))).filter((name) => !isScratch(name)).toSorted();
  const groups = await Promise.all(
    names.map(async (name): Promise<Entry[]> => {
      const path = join(below, name);
      const stats = await lstat(join(root, path));
      if (stats.isDirectory()) return [{ path, stats }, ...(await listTree(root, path))];
      return stats.isFile() || stats.isSymbolicLink() ? [{ path, stats }] : [];
    }),
  );
  return groups.flat();
}

/** The bytes that an entry's content has: none for a directory, whatever its file system says. */
export function contentBytes(stats: Stats): number {
  return stats.isDirectory() ? 0 : stats.size;
}

/** Runs `work` on all items, `width` at a time. The first failure ends it, after those in flight. */
export async function inParallel<Item>(items: readonly Item[], width: number, work: (item: Item) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async () => {
    while (next < items.length && !failed) {
      const item = items[next++] as Item;
      await work(item).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane));
  const rejected = lanes.find((one) => one.status === "rejected");
  if (rejected) throw rejected.reason;
}

/** Copies the entries like `cp -a`: content, mode, owner, times, symbolic links. Directory times come last, since filling changes them. */
export async function copyTree(from: string, to: string, entries: readonly Entry[], width: number, progress: Progress): Promise<void> {
  const directories = entries.filter(({ stats }) => stats.isDirectory());
  for (const { path, stats } of directories) await mkdir(join(to, path), { mode: stats.mode & 0o7777 });
  const rest = entries.filter(({ stats }) => !stats.isDirectory());
  await inParallel(rest, width, async ({ path, stats }) => {
    await (stats.isSymbolicLink() ? copyLink : copyFile)(join(from, path), join(to, path), stats);
    progress(stats.size);
  });
  for (const { path, stats } of directories.toReversed()) {
    await utimes(join(to, path), stats.atimeMs / 1000, stats.mtimeMs / 1000);
    progress(0);
  }
}

/** Mode, owner and times are set before the close, so that they travel with the content in one request. */
async function copyFile(from: string, to: string, stats: Stats): Promise<void> {
  await using source = await open(from, constants.O_RDONLY);
  await using copy = await open(to, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, stats.mode & 0o7777);
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK, stats.size + 1));
  for (let read = await source.read(buffer); read.bytesRead > 0; read = await source.read(buffer))
    await copy.writeFile(buffer.subarray(0, read.bytesRead));
  const made = await copy.stat();
  if (made.uid !== stats.uid || made.gid !== stats.gid) await copy.chown(stats.uid, stats.gid);
  if ((made.mode & 0o7777) !== (stats.mode & 0o7777)) await copy.chmod(stats.mode & 0o7777);
  await copy.utimes(stats.atimeMs / 1000, stats.mtimeMs / 1000);
}

async function copyLink(from: string, to: string, stats: Stats): Promise<void> {
  await symlink(await readlink(from), to);
  const made = await lstat(to);
  if (made.uid !== stats.uid || made.gid !== stats.gid) await lchown(to, stats.uid, stats.gid);
  await lutimes(to, stats.atimeMs / 1000, stats.mtimeMs / 1000);
}

/** What differs between the entries of `from` and the tree `to`, one line each; empty when they are equal. */
export async function compareTree(
  from: string,
  to: string,
  entries: readonly Entry[],
  width: number,
  progress: Progress,
): Promise<string[]> {
  const differences: string[] = [];
  const there = new Map((await listTree(to)).map(({ path, stats }) => [path, stats]));
  await inParallel(entries, width, async ({ path, stats }) => {
    const other = there.get(path);
    there.delete(path);
    const difference = other === undefined ? "is missing" : await compareEntry(join(from, path), stats, join(to, path), other);
    if (difference !== undefined) differences.push(`${path}: ${difference}`);
    progress(contentBytes(stats));
  });
  return [...differences, ...[...there.keys()].map((path) => `${path}: is in the volume only`)];
}

async function compareEntry(from: string, stats: Stats, to: string, other: Stats): Promise<string | undefined> {
  if (stats.mode !== other.mode) return `mode ${other.mode.toString(8)}, not ${stats.mode.toString(8)}`;
  if (stats.uid !== other.uid || stats.gid !== other.gid) return `owner ${other.uid}:${other.gid}, not ${stats.uid}:${stats.gid}`;
  // Node takes times as floating point seconds: what it could say on the way in is right to a microsecond.
  if (Math.abs(stats.mtimeMs - other.mtimeMs) > 0.001) return `mtime ${other.mtime.toISOString()}, not ${stats.mtime.toISOString()}`;
  if (stats.isDirectory()) return undefined;
  if (stats.size !== other.size) return `${other.size} bytes, not ${stats.size}`;
  if (stats.isSymbolicLink()) return (await readlink(from)) === (await readlink(to)) ? undefined : "another link target";
  return (await sameContent(from, to)) ? undefined : "other content";
}

/** Byte by byte, to the end of both. */
async function sameContent(from: string, to: string): Promise<boolean> {
  await using here = await open(from, constants.O_RDONLY);
  await using there = await open(to, constants.O_RDONLY);
  const size = Math.min(CHUNK, (await here.stat()).size + 1);
  const [mine, theirs] = [Buffer.allocUnsafe(size), Buffer.allocUnsafe(size)];
  for (;;) {
    const [a, b] = await Promise.all([fill(here, mine), fill(there, theirs)]);
    if (!a.equals(b)) return false;
    if (a.length < size) return true;
  }
}

/** Reads until the buffer is full or the file ends. */
async function fill(file: FileHandle, buffer: Buffer): Promise<Buffer> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
