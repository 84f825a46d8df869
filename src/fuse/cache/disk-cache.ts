/**
 * `createDiskContentCache`: the content cache on a local disk. Layout: `layout.ts`. What must not happen is that wrong bytes count as
 * a version's content, so:
 * - A whole file gets its name by rename(2), when all of it is written; its size is looked at again at each open.
 * - A partial file's valid ranges are recorded only after the bytes were written, and a file without a sound record is empty.
 * - After a power loss young files are not trusted (`power-loss.ts`).
 *
 * Starting costs nothing: files are found by their names. How much is there is known once the scan has ended, and eviction waits for it.
 * A file leaves in two steps, moved to temp/ at once and deleted behind, so that no open can find a file that is on its way out.
 *
 * Calls are synchronous wherever the disk's metadata is all they touch; nothing here is shared with another process.
 */
import { closeSync, existsSync, fstatSync, futimesSync, mkdirSync, openSync, renameSync, rmSync, statSync, unlink } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { DriverError } from "#core/errors.ts";
import { type Range, RangeSet } from "#core/ranges.ts";
import type { ContentCache, ContentCacheStats, ContentId, PartialFile, WholeFile } from "./content-cache.ts";
import { isMissing, openIfThere, writeFully } from "./descriptor-io.ts";
import { chooseVictims } from "./eviction.ts";
import { diskBytes, FileIndex, IndexEntry } from "./file-index.ts";
import { inFolder } from "./in-folder.ts";
import { AREAS, contentName, contentPath, recordPath, tempPath } from "./layout.ts";
import { movePartial, type PartialHost, SharedPartial } from "./partial-file.ts";
import { createPowerLossGuard, type PowerLossGuard } from "./power-loss.ts";
import { scanCache } from "./scan.ts";
import { DiskWholeFile, type PinHost } from "./whole-file.ts";

export interface DiskCacheOptions {
  /** Made when missing. Nobody else uses it. */
  readonly dir: string;
  readonly limitBytes: number;
  /** Told what went wrong without being anybody's error, such as a file that could not be removed. */
  readonly log?: (message: string, error: unknown) => void;
}

/** A content cache in `dir`. Returns at once; throws a DriverError when the folder cannot be made. */
export function createDiskContentCache(options: DiskCacheOptions): ContentCache {
  try {
    return new DiskContentCache(options);
  } catch (error) {
    throw new DriverError(DriverError.from(error).fault, `cannot use ${options.dir} as a cache folder: ${String(error)}`, { cause: error });
  }
}

/** A file's last use is kept in its ctime for the next start; within this time the order is in memory only. */
const USE_RECORD_MS = 60 * 60 * 1000;
/** Files that the scan found are entered so many at a time, about a millisecond's work. */
const ENTRY_SLICE = 4096;

class DiskContentCache implements ContentCache, PartialHost, PinHost {
  readonly #dir: string;
  readonly #limitBytes: number;
  readonly #log: (message: string, error: unknown) => void;
  readonly #guard: PowerLossGuard;
  readonly #stamp = `${Date.now().toString(36)}${process.pid.toString(36)}`;
  readonly #closing = new AbortController();
  readonly #scanned: Promise<void>;

  readonly #index = new FileIndex();
  /** Partial files that are open, by path. */
  readonly #partials = new Map<string, SharedPartial>();
  #isScanned = false;
  readonly #goneInScan = new Set<string>();
  #tempCount = 0;
  #hits = 0;
  #misses = 0;
  #evictions = 0;
  /** Evictions run one after the other: each counts on what the one before freed. */
  #evicting: Promise<void> = Promise.resolve();
  #evictionPlanned = false;

  constructor({ dir, limitBytes, log }: DiskCacheOptions) {
    this.#dir = dir;
    this.#limitBytes = limitBytes;
    this.#log = log ?? (() => undefined);
    for (const area of AREAS) mkdirSync(join(dir, area), { recursive: true, mode: 0o700 });
    this.#guard = createPowerLossGuard(dir);
    this.#scanned = this.#scan();
  }

  openWhole(id: ContentId, counted = true): WholeFile | undefined {
    const file = this.#openWhole(id);
    if (!counted) return file;
    if (file === undefined) this.#misses++;
    else this.#hits++;
    return file;
  }

  openPartial(id: ContentId): PartialFile {
    const path = contentPath("partial", contentName(id));
    let shared = this.#partials.get(path);
    if (shared === undefined) {
      const entry = new IndexEntry(path, 0, Date.now());
      const full = this.#full(path);
      const isDoubtful = this.#guard.isDoubtful;
      shared = inFolder(full, () => new SharedPartial(this, id, entry, full, isDoubtful));
      this.#partials.set(path, shared);
      this.#index.insert(entry);
    }
    shared.entry.doomed = false;
    this.#index.touch(shared.entry);
    return shared.open();
  }

  async store(id: ContentId, data: Uint8Array | readonly Uint8Array[]): Promise<WholeFile> {
    const pieces = data instanceof Uint8Array ? [data] : data;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (length !== id.size) throw new DriverError("corrupt", `${length} bytes were given for ${id.key}, which has ${id.size}`);
    const file = await this.withRoom(length, () => this.#writeWhole(id, pieces));
    this.#dropPartial(contentName(id));
    this.#evictSoon();
    return file;
  }

  adopt(id: ContentId, path: string): void {
    checkSize(id, path);
    const name = contentName(id);
    const target = this.#full(contentPath("whole", name));
    inFolder(target, () => renameSync(path, target));
    this.#enterWhole(name, id.size);
    this.#dropPartial(name);
    this.#evictSoon();
  }

  surrender(id: ContentId, path: string): boolean {
    const relative = contentPath("whole", contentName(id));
    const file = this.#openWhole(id);
    if (file === undefined) return false;
    file.close();
    renameSync(this.#full(relative), path);
    const entry = this.#index.get(relative);
    if (entry !== undefined) this.#index.remove(entry);
    this.#forgetFound(relative);
    return true;
  }

  surrenderPartial(id: ContentId, path: string): Range[] | undefined {
    const relative = contentPath("partial", contentName(id));
    if (this.#partials.has(relative) || !existsSync(recordPath(this.#full(relative)))) return undefined;
    const file = this.openPartial(id);
    const partial = this.#partials.get(relative) as SharedPartial;
    const ranges = partial.ranges.toJSON();
    if (ranges.length > 0) renameSync(partial.path, path);
    if (ranges.length > 0) this.#leave(partial);
    file.close();
    return ranges.length > 0 ? ranges : undefined;
  }

  adoptPartial(id: ContentId, path: string, ranges: Iterable<Range>): boolean {
    checkSize(id, path);
    const name = contentName(id);
    const relative = contentPath("partial", name);
    const target = this.#full(relative);
    if (existsSync(target) || existsSync(this.#full(contentPath("whole", name)))) return false;
    const valid = RangeSet.from(ranges);
    inFolder(target, () => movePartial(path, target, id.size, valid));
    this.#guard.changed();
    this.#index.insert(new IndexEntry(relative, diskBytes(valid.size), Date.now()));
    this.#evictSoon();
    return true;
  }

  discard(id: ContentId): void {
    const name = contentName(id);
    this.#removeOrDoom(contentPath("whole", name));
    this.#dropPartial(name);
  }

  stats(): ContentCacheStats {
    return {
      bytes: this.#index.totalBytes,
      files: this.#index.count,
      limitBytes: this.#limitBytes,
      hits: this.#hits,
      misses: this.#misses,
      evictions: this.#evictions,
    };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const partial of this.#partials.values()) partial.record();
    await this.#scanned;
    await this.#evicting;
    this.#guard.close();
  }

  // PartialHost

  async admit(bytes: number): Promise<boolean> {
    if (this.#index.totalBytes + bytes <= this.#limitBytes) return true;
    await this.#makeRoom(bytes);
    return this.#index.totalBytes + bytes <= this.#limitBytes;
  }

  async withRoom<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (DriverError.from(error).fault !== "no_space") throw DriverError.from(error);
    }
    await this.#makeRoom(Math.max(0, this.#limitBytes - this.#index.totalBytes) + bytes);
    return work().catch((error: unknown) => {
      throw DriverError.from(error);
    });
  }

  resize(entry: IndexEntry, bytes: number): void {
    this.#index.resize(entry, bytes);
  }

  promote(partial: SharedPartial): WholeFile | undefined {
    if (partial.moved) return this.#openWhole(partial.id);
    const name = contentName(partial.id);
    const target = this.#full(contentPath("whole", name));
    inFolder(target, () => renameSync(partial.path, target));
    this.#leave(partial);
    const entry = this.#enterWhole(name, partial.id.size);
    entry.doomed = partial.entry.doomed;
    const file = this.#openWhole(partial.id);
    this.#evictSoon();
    return file;
  }

  /** The partial file stands elsewhere. */
  #leave(partial: SharedPartial): void {
    partial.moved = true;
    this.#partials.delete(partial.entry.path);
    this.#index.remove(partial.entry);
    this.#forgetFound(partial.entry.path);
    rmSync(recordPath(partial.path), { force: true });
  }

  released(partial: SharedPartial, keep: boolean): void {
    if (partial.moved) return;
    this.#partials.delete(partial.entry.path);
    if (!keep) void this.#remove(partial.entry);
    this.#evictSoon();
  }

  // PinHost

  pin(entry: IndexEntry): void {
    entry.pins++;
  }

  unpin(entry: IndexEntry): void {
    entry.pins--;
    if (entry.pins > 0) return;
    if (entry.doomed) void this.#remove(entry);
    else this.#evictSoon();
  }

  // Whole files

  #openWhole(id: ContentId): WholeFile | undefined {
    const path = contentPath("whole", contentName(id));
    const full = this.#full(path);
    const fd = openIfThere(full);
    if (fd === undefined) {
      const gone = this.#index.get(path);
      if (gone !== undefined) this.#index.remove(gone);
      return undefined;
    }
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size !== id.size || this.#guard.isDoubtful(stat.ctimeMs)) {
      closeSync(fd);
      void this.#remove(this.#index.get(path) ?? new IndexEntry(path, 0, 0));
      return undefined;
    }
    const entry = this.#index.get(path) ?? this.#index.insert(new IndexEntry(path, diskBytes(id.size), stat.ctimeMs));
    this.#use(entry, fd, stat.mtimeMs);
    return new DiskWholeFile(this, entry, id, fd, full);
  }

  /** Most recently used from now on, and wanted again if it was to go. */
  #use(entry: IndexEntry, fd: number, mtimeMs: number): void {
    this.#index.touch(entry);
    entry.doomed = false;
    const now = Date.now();
    if (now - entry.recordedUseMs < USE_RECORD_MS) return;
    entry.recordedUseMs = now;
    // Any change of times moves the ctime, which is what the scan goes by: mtime and atime may be an application's choice.
    futimesSync(fd, now / 1000, mtimeMs / 1000);
  }

  /** Writes to temp/ and moves it to its name; the descriptor stays open. */
  async #writeWhole(id: ContentId, pieces: readonly Uint8Array[]): Promise<WholeFile> {
    const name = contentName(id);
    const temp = this.#full(this.#temp(name));
    const target = this.#full(contentPath("whole", name));
    const fd = openSync(temp, "wx+", 0o600);
    try {
      await writeFully(fd, 0, pieces);
      inFolder(target, () => renameSync(temp, target));
      return new DiskWholeFile(this, this.#enterWhole(name, id.size), id, fd, target);
    } catch (error) {
      closeSync(fd);
      rmSync(temp, { force: true });
      throw error;
    }
  }

  #enterWhole(name: string, size: number): IndexEntry {
    this.#guard.changed();
    return this.#index.insert(new IndexEntry(contentPath("whole", name), diskBytes(size), Date.now()));
  }

  // Removal

  /** The partial file of a version that is here whole, or of no use any more. */
  #dropPartial(name: string): void {
    this.#removeOrDoom(contentPath("partial", name));
  }

  #removeOrDoom(path: string): void {
    const entry = this.#index.get(path) ?? new IndexEntry(path, 0, 0);
    if (entry.pinned) entry.doomed = true;
    else void this.#remove(entry);
  }

  /** Takes a file that nobody has open out of the cache; the space comes back soon. Resolves when it has. */
  #remove(entry: IndexEntry): Promise<void> {
    if (this.#index.get(entry.path) !== undefined && !this.#index.has(entry)) return Promise.resolve();
    this.#index.remove(entry);
    this.#forgetFound(entry.path);
    const full = this.#full(entry.path);
    if (entry.path.startsWith("partial/")) rmSync(recordPath(full), { force: true });
    const temp = this.#full(this.#temp(entry.path.slice(-64)));
    try {
      renameSync(full, temp);
    } catch (error) {
      if (!isMissing(error)) this.#log(`cannot remove ${full}`, error);
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      unlink(temp, (error) => {
        if (error !== null) this.#log(`cannot remove ${temp}`, error);
        resolve();
      });
    });
  }

  #evictSoon(): void {
    if (this.#evictionPlanned || !this.#isScanned || this.#index.totalBytes <= this.#limitBytes) return;
    this.#evictionPlanned = true;
    void this.#makeRoom(0);
  }

  /** Evicts until `bytes` more fit under the limit, or nothing is left to evict. */
  #makeRoom(bytes: number): Promise<void> {
    this.#evicting = this.#evicting.then(() => this.#evict(bytes));
    return this.#evicting;
  }

  async #evict(extraBytes: number): Promise<void> {
    await this.#scanned;
    this.#evictionPlanned = false;
    const usage = { totalBytes: this.#index.totalBytes, limitBytes: this.#limitBytes, extraBytes };
    for (const victim of chooseVictims(this.#index.oldestFirst(), usage)) {
      // Others ran while the last one was deleted.
      if (victim.pinned || !this.#index.has(victim)) continue;
      this.#evictions++;
      await this.#remove(victim);
    }
  }

  // The folder

  async #scan(): Promise<void> {
    try {
      const found = await scanCache({
        dir: this.#dir,
        stamp: this.#stamp,
        signal: this.#closing.signal,
        isKnown: (path) => this.#index.get(path) !== undefined,
        isDoubtful: this.#guard.isDoubtful,
      });
      if (this.#closing.signal.aborted) return;
      for (let at = 0; at < found.length; at += ENTRY_SLICE) {
        for (const entry of found.slice(at, at + ENTRY_SLICE)) if (!this.#goneInScan.has(entry.path)) this.#index.insertOlder(entry);
        await nextTurn();
      }
      this.#guard.settle();
    } catch (error) {
      this.#log(`cannot look through the cache folder ${this.#dir}`, error);
    }
    this.#isScanned = true;
    this.#goneInScan.clear();
    this.#evictSoon();
  }

  /** While the scan runs: it may have seen the file before it left. */
  #forgetFound(path: string): void {
    if (!this.#isScanned) this.#goneInScan.add(path);
  }

  #full(path: string): string {
    return join(this.#dir, path);
  }

  #temp(name: string): string {
    return tempPath(name, this.#stamp, this.#tempCount++);
  }
}

function checkSize(id: ContentId, path: string): void {
  const { size } = statSync(path);
  if (size !== id.size) throw new DriverError("corrupt", `a file of ${size} bytes cannot be ${id.key}, which has ${id.size}`);
}
