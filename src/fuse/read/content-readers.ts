/**
 * `createContentReaders`: readers of clean versions, which share the fetches of one version and one memory budget.
 *
 * READ comes in from the kernel (or from a writer that needs the base of what it changes); `window.ts` says what to have under way,
 * `version-content.ts` where the bytes are.
 */
import { DriverError } from "#core/errors.ts";
import { SingleFlight } from "#core/single-flight.ts";
import type { ContentCache, ContentId, WholeFile } from "#fuse/cache/content-cache.ts";
import { BufferPool } from "#s3/buffer-pool.ts";
import type { ObjectStore } from "#s3/object-store.ts";
import type { ContentReader, ContentReaders } from "./content-reader.ts";
import { fillVersion } from "./fill.ts";
import { MemoryBudget } from "./memory-budget.ts";
import { Prefetcher } from "./prefetcher.ts";
import { Turns } from "./turns.ts";
import { type ContentSources, VersionContent } from "./version-content.ts";
import { MAX_PART_BYTES, MAX_WINDOW_BYTES, ReadWindow } from "./window.ts";

export interface ContentReadersOptions {
  readonly store: ObjectStore;
  readonly cache: ContentCache;
  /** For bytes on their way and read ahead, over all readers. Reads that wait go beyond it rather than fail. */
  readonly memoryLimitBytes?: number;
  readonly log?: (message: string, error: unknown) => void;
}

const DEFAULT_MEMORY_LIMIT_BYTES = 128 * 1024 * 1024;
const SWEEP_INTERVAL_MS = 1000;
/** Of parts to the disk. */
const WRITES_AT_ONCE = 4;
/** A reply is one writev(2), which takes 1024 pieces at most; a body in smaller chunks than that is joined. */
const MAX_PIECES = 256;

/** Readers of the objects of `store`, with `cache` as their disk. */
export function createContentReaders(options: ContentReadersOptions): ContentReaders {
  return new Readers(options);
}

/** A version while it has readers. */
interface Shared {
  readonly content: VersionContent;
  readonly fills: SingleFlight<string, void>;
  users: number;
}

class Readers implements ContentReaders {
  readonly #sources: ContentSources;
  readonly #versions = new Map<string, Shared>();
  /** Closed by their readers, files not closed yet. */
  readonly #closing = new Set<Promise<void>>();
  /** Versions with parts in memory at the last sweep. */
  #activeVersions = 0;
  /** Runs while memory is held. */
  #sweep: NodeJS.Timeout | undefined;

  constructor({ store, cache, memoryLimitBytes = DEFAULT_MEMORY_LIMIT_BYTES, log }: ContentReadersOptions) {
    const budget = new MemoryBudget(memoryLimitBytes, (bytes) => this.#reclaim(bytes));
    const pool = new BufferPool({ keptBytes: memoryLimitBytes });
    this.#sources = { store, cache, budget, pool, diskTurns: new Turns(WRITES_AT_ONCE), log: log ?? (() => undefined) };
  }

  open(id: ContentId): ContentReader {
    const name = `${id.key}\0${id.etag}\0${id.size}`;
    let shared = this.#versions.get(name);
    if (shared === undefined) {
      shared = { content: new VersionContent(this.#sources, id), fills: new SingleFlight(), users: 0 };
      this.#versions.set(name, shared);
    }
    shared.users++;
    return new Reader(this, this.#sources, shared, name);
  }

  memory(): { readonly bytes: number; readonly limitBytes: number } {
    return { bytes: this.#sources.budget.usedBytes, limitBytes: this.#sources.budget.limitBytes };
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    this.#sweep = undefined;
    const open = [...this.#versions.values()];
    this.#versions.clear();
    await Promise.all([...this.#closing, ...open.map(({ content }) => content.abort())]);
  }

  /** No reader may fill the memory with its window alone when there are others. */
  windowBytes(): number {
    const share = Math.floor(this.#sources.budget.limitBytes / (1 + Math.max(1, this.#activeVersions)));
    return Math.min(MAX_WINDOW_BYTES, Math.max(share, MAX_PART_BYTES));
  }

  release(shared: Shared, name: string): void {
    shared.users--;
    if (shared.users > 0) return;
    if (this.#versions.get(name) === shared) this.#versions.delete(name);
    const closed = shared.content.close();
    this.#closing.add(closed);
    void closed.then(() => this.#closing.delete(closed));
  }

  sweepWhileHeld(): void {
    this.#sweep ??= setInterval(() => this.#sweepOnce(), SWEEP_INTERVAL_MS).unref();
  }

  #sweepOnce(): void {
    const now = Date.now();
    this.#activeVersions = 0;
    for (const { content } of this.#versions.values()) {
      if (content.parts.size > 0) this.#activeVersions++;
      content.dropIdle(now);
    }
    if (this.#sources.budget.usedBytes > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  #reclaim(bytes: number): void {
    let missing = bytes;
    for (const { content } of this.#versions.values()) {
      if (missing <= 0) return;
      missing -= content.reclaim(missing);
    }
  }
}

class Reader implements ContentReader {
  readonly id: ContentId;
  readonly #readers: Readers;
  readonly #sources: ContentSources;
  readonly #shared: Shared;
  readonly #name: string;
  readonly #window = new ReadWindow();
  readonly #prefetcher: Prefetcher;
  #isClosed = false;

  constructor(readers: Readers, sources: ContentSources, shared: Shared, name: string) {
    this.id = shared.content.id;
    this.#readers = readers;
    this.#sources = sources;
    this.#shared = shared;
    this.#name = name;
    this.#prefetcher = new Prefetcher(shared.content, sources.budget);
  }

  async read(offset: number, size: number, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    this.#assertOpen();
    const end = Math.min(offset + size, this.id.size);
    if (end <= offset) return [];
    const plan = this.#window.observe(offset, end, this.id.size, this.#readers.windowBytes());
    const reading = this.#shared.content.read(offset, end, plan, signal);
    this.#prefetcher.follow(plan);
    this.#readers.sweepWhileHeld();
    const pieces = await reading;
    return pieces.length > MAX_PIECES ? [Buffer.concat(pieces)] : pieces;
  }

  async fill(signal?: AbortSignal): Promise<WholeFile> {
    this.#assertOpen();
    const { content, fills } = this.#shared;
    await fills.run("", () => fillVersion(content, this.#sources), signal);
    const file = this.#sources.cache.openWhole(this.id, false);
    if (file === undefined) throw new DriverError("internal", `${this.id.key} was filled and is not in the cache`);
    return file;
  }

  sibling(id: ContentId): ContentReader {
    return this.#readers.open(id);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#prefetcher.stop();
    this.#readers.release(this.#shared, this.#name);
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new DriverError("bad_handle", `the reader of ${this.id.key} was closed`);
  }
}
