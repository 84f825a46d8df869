/**
 * `FileIndex`: what the cache knows of its files, least recently used first, and the sum of their sizes. In memory only; after a
 * start the scan brings in what is on the disk.
 */
import type { Evictable } from "./eviction.ts";

/** File systems give space in blocks of this many bytes; a small file takes one, and an empty one its inode. */
const BLOCK = 4096;

/** Space that a file with so many bytes takes on the disk. */
export function diskBytes(contentBytes: number): number {
  return Math.max(1, Math.ceil(contentBytes / BLOCK)) * BLOCK;
}

/** One file. Users of a file keep the object: it stays theirs when the path is given to another file. */
export class IndexEntry implements Evictable {
  /** Inside the cache folder. */
  readonly path: string;
  bytes: number;
  /** How many have it open. */
  pins = 0;
  /** To be removed when the last user lets it go. */
  doomed = false;
  /** Last use as it would be found after a restart, milliseconds. */
  recordedUseMs: number;

  constructor(path: string, bytes: number, recordedUseMs: number) {
    this.path = path;
    this.bytes = bytes;
    this.recordedUseMs = recordedUseMs;
  }

  get pinned(): boolean {
    return this.pins > 0;
  }
}

export class FileIndex {
  /** What the scan found and nobody used since, oldest first. */
  readonly #older = new Map<string, IndexEntry>();
  /** In order of use: a Map keeps insertion order, so a use is a removal and an insertion. */
  readonly #recent = new Map<string, IndexEntry>();
  #totalBytes = 0;

  get totalBytes(): number {
    return this.#totalBytes;
  }

  get count(): number {
    return this.#older.size + this.#recent.size;
  }

  get(path: string): IndexEntry | undefined {
    return this.#recent.get(path) ?? this.#older.get(path);
  }

  /** Adds a file as the most recently used one; an entry of that path is replaced. */
  insert(entry: IndexEntry): IndexEntry {
    const former = this.get(entry.path);
    if (former !== undefined) this.remove(former);
    this.#recent.set(entry.path, entry);
    this.#totalBytes += entry.bytes;
    return entry;
  }

  /** Adds a file that an earlier run used last; called in the order of that use. One that is here already stays as it is. */
  insertOlder(entry: IndexEntry): void {
    if (this.get(entry.path) !== undefined) return;
    this.#older.set(entry.path, entry);
    this.#totalBytes += entry.bytes;
  }

  touch(entry: IndexEntry): void {
    if (!this.has(entry)) return;
    this.#delete(entry.path);
    this.#recent.set(entry.path, entry);
  }

  resize(entry: IndexEntry, bytes: number): void {
    if (this.has(entry)) this.#totalBytes += bytes - entry.bytes;
    entry.bytes = bytes;
  }

  /** True while this very entry is in the index. */
  has(entry: IndexEntry): boolean {
    return this.get(entry.path) === entry;
  }

  remove(entry: IndexEntry): void {
    if (!this.has(entry)) return;
    this.#delete(entry.path);
    this.#totalBytes -= entry.bytes;
  }

  *oldestFirst(): Iterable<IndexEntry> {
    yield* this.#older.values();
    yield* this.#recent.values();
  }

  #delete(path: string): void {
    if (!this.#recent.delete(path)) this.#older.delete(path);
  }
}
