/**
 * The scan at start: finds what earlier runs left in the cache folder, without holding up the event loop. Folders are listed
 * through the thread pool; files are looked at a few hundred at a time, each slice without a break, so that nothing changes
 * between looking at a file and entering it.
 */
import { rmSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { diskBytes, IndexEntry } from "./file-index.ts";
import { type ContentArea, classify, contentPath, isBucketName, isLeftover, recordPath, unfinishedPath } from "./layout.ts";

/** At about 3 us a stat, a slice holds the event loop for less than a millisecond. */
const SLICE = 256;
/** Blocks as st_blocks counts them, whatever the file system's own are. */
const STAT_BLOCK = 512;

export interface ScanOptions {
  readonly dir: string;
  /** Names in temp/ that carry it are this run's. */
  readonly stamp: string;
  readonly signal: AbortSignal;
  /** Already entered by this run: not looked at. */
  isKnown(path: string): boolean;
  isDoubtful(ctimeMs: number): boolean;
}

/** All files found, least recently used first. Removes leftovers, doubtful files and records without a file. */
export async function scanCache(options: ScanOptions): Promise<IndexEntry[]> {
  await removeLeftovers(options);
  const found: IndexEntry[] = [];
  for (const area of ["whole", "partial"] as const) {
    for (const bucket of (await list(join(options.dir, area))).filter(isBucketName)) {
      const files = await list(join(options.dir, area, bucket));
      const present = new Set(files);
      for (let at = 0; at < files.length; at += SLICE) {
        if (options.signal.aborted) return [];
        for (const file of files.slice(at, at + SLICE)) {
          const entry = inspect(options, area, bucket, file, present);
          if (entry !== undefined) found.push(entry);
        }
        await nextTurn();
      }
    }
  }
  return oldestFirst(found);
}

function inspect(
  { dir, isKnown, isDoubtful }: ScanOptions,
  area: ContentArea,
  bucket: string,
  file: string,
  present: ReadonlySet<string>,
): IndexEntry | undefined {
  const known = classify(bucket, file);
  if (known === undefined) return undefined;
  const path = contentPath(area, known.name);
  if (known.kind === "unfinished") remove(dir, unfinishedPath(recordPath(path)));
  if (known.kind === "unfinished" || isKnown(path)) return undefined;
  if (known.kind === "record") {
    if (!present.has(known.name)) remove(dir, recordPath(path));
    return undefined;
  }
  const stat = statSync(join(dir, path), { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile()) return undefined;
  const isOrphan = area === "partial" && !present.has(recordPath(known.name));
  if (isOrphan || isDoubtful(stat.ctimeMs)) {
    remove(dir, path);
    if (area === "partial") remove(dir, recordPath(path));
    return undefined;
  }
  const bytes = diskBytes(area === "whole" ? stat.size : stat.blocks * STAT_BLOCK);
  return new IndexEntry(path, bytes, stat.ctimeMs);
}

/**
 * Sorted by last use. Comparing a hundred thousand entries by a function takes tens of milliseconds in one go; numbers that carry
 * the second in their upper and the place in their lower bits are sorted natively in a few.
 */
function oldestFirst(found: readonly IndexEntry[]): IndexEntry[] {
  const places = 2 ** Math.ceil(Math.log2(found.length + 1));
  const order = Float64Array.from(found, (entry, place) => Math.floor(entry.recordedUseMs / 1000) * places + place).sort();
  return Array.from(order, (value) => found[value % places]).filter((entry) => entry !== undefined);
}

async function removeLeftovers({ dir, stamp }: ScanOptions): Promise<void> {
  for (const file of await list(join(dir, "temp"))) {
    if (isLeftover(file, stamp)) remove(dir, `temp/${file}`);
  }
}

/** A folder's names; none when there is no such folder. */
async function list(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}

function remove(dir: string, path: string): void {
  rmSync(join(dir, path), { force: true });
}
