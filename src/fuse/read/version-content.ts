/**
 * `VersionContent`: one clean object version and all that is known of its bytes: the whole file of the cache, or a partial one and the
 * parts in memory. All readers of the version share it, so no byte is fetched twice while it is somewhere here.
 *
 * A part lives through: on its way (handed out as it comes) -> written to the partial file -> dropped from memory, when it was read once
 * through, when memory is short, or when nobody asked for it for a while. What the disk did not take stays until it was read.
 */
import { DriverError } from "#core/errors.ts";
import type { Range } from "#core/ranges.ts";
import { untilAborted } from "#core/single-flight.ts";
import type { ContentCache, ContentId, PartialFile, WholeFile } from "#fuse/cache/content-cache.ts";
import { readFully } from "#fuse/cache/descriptor-io.ts";
import type { BufferPool } from "#s3/buffer-pool.ts";
import type { ObjectStore } from "#s3/object-store.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { PartQueue, type QueuedPart } from "./part-queue.ts";
import { PartStream } from "./part-stream.ts";
import type { PrefetchSource } from "./prefetcher.ts";
import type { Turns } from "./turns.ts";
import { demandRange, MAX_PART_BYTES, type ReadPlan } from "./window.ts";

export interface ContentSources {
  readonly store: ObjectStore;
  /** Memory of parts. */
  readonly pool: BufferPool;
  readonly cache: ContentCache;
  readonly budget: MemoryBudget;
  /** Writes to the disk: a few at once, so that what waits can still be given up. */
  readonly diskTurns: Turns;
  readonly log: (message: string, error: unknown) => void;
}

/** At the end of a transfer's life, so much is sooner received than a connection made anew. */
const FINISH_BYTES = 1024 * 1024;
/** Arrived bytes that nobody asked for in this time are left to the disk. */
const IDLE_MS = 2000;

export class VersionContent implements PrefetchSource {
  readonly id: ContentId;
  readonly #sources: ContentSources;
  readonly #parts = new PartQueue();
  #whole: WholeFile | undefined;
  #partial: PartialFile | undefined;
  #wasLookedUp = false;
  #isClosed = false;
  /** Reads and writes of the files under way: they are closed after the last. */
  #busy = 0;
  #idle: (() => void) | undefined;

  constructor(sources: ContentSources, id: ContentId) {
    this.#sources = sources;
    this.id = id;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get parts(): PartQueue {
    return this.#parts;
  }

  /** Whether the disk is known to have all of it. */
  get isWhole(): boolean {
    return this.#whole !== undefined;
  }

  /** Nothing of it was read or fetched here yet. */
  get isUntouched(): boolean {
    return this.#partial === undefined && this.#parts.size === 0;
  }

  /** The bytes [start, end), which lie inside the file. An abort ends the waiting; what was begun goes on. */
  async read(start: number, end: number, plan: ReadPlan, signal: AbortSignal | undefined): Promise<Uint8Array[]> {
    if (!this.open()) this.openPartial();
    this.#busy++;
    const held: PartStream[] = [];
    try {
      if (this.#whole !== undefined) return [await untilAborted(readFully(this.#whole.fd, start, end), signal)];
      const segments = this.#locate(start, end, plan, held);
      const pieces = segments.length === 1 && segments[0] !== undefined ? segments[0] : Promise.all(segments).then((all) => all.flat());
      return await untilAborted(pieces, signal);
    } finally {
      this.#busy--;
      for (const stream of held) stream.letGo();
      this.#dropConsumed();
      this.#closeFilesIfIdle();
    }
  }

  uncovered(start: number, end: number): Range[] {
    if (this.#whole !== undefined) return [];
    return this.#parts.uncovered(this.#partial?.missing(start, end) ?? [[start, end]]);
  }

  fetchAhead(start: number, end: number): boolean {
    if (this.#isClosed) return true;
    if (!this.#sources.budget.tryTake(end - start)) return false;
    this.fetch(start, end, false);
    return true;
  }

  /** Begins to fetch [start, end), which nothing covers and whose bytes are taken from the budget. */
  fetch(start: number, end: number, diskOnly: boolean): QueuedPart {
    const stream = new PartStream(this.#sources, this.id, start, end);
    const part: QueuedPart = {
      stream,
      heldBytes: end - start,
      kept: undefined,
      isWriting: false,
      touchedMs: Date.now(),
      diskOnly,
      settled: Promise.resolve(),
    };
    this.#parts.insert(part);
    this.#busy++;
    part.settled = stream.ended
      .then(() => this.#settle(part))
      .finally(() => {
        this.#busy--;
        this.#closeFilesIfIdle();
      });
    return part;
  }

  /** True when the disk has all of it, which is looked up once. */
  open(): boolean {
    if (this.#isClosed) throw new DriverError("bad_handle", `the reader of ${this.id.key} was closed`);
    if (!this.#wasLookedUp) this.#whole = this.#sources.cache.openWhole(this.id, false);
    this.#wasLookedUp = true;
    return this.#whole !== undefined;
  }

  /** The partial file; undefined when the disk refuses, and then reads go without it. */
  openPartial(): PartialFile | undefined {
    try {
      this.#partial ??= this.#sources.cache.openPartial(this.id);
    } catch (error) {
      this.#sources.log(`cannot keep ${this.id.key} in the cache`, error);
    }
    return this.#partial;
  }

  /** From now on reads come from this file. */
  becameWhole(file: WholeFile): void {
    if (this.#whole === undefined && !this.#isClosed) this.#whole = file;
    else file.close();
  }

  /** Drops parts that the disk has too, those asked for longest ago first, until `bytes` are free. Answers how many were freed. */
  reclaim(bytes: number): number {
    const droppable = this.#parts.list().filter((part) => part.kept === true && !part.stream.isWaitedFor);
    let freed = 0;
    for (const part of droppable.sort((a, b) => a.touchedMs - b.touchedMs)) {
      if (freed >= bytes) break;
      freed += part.heldBytes;
      this.#drop(part);
    }
    return freed;
  }

  /** Drops what nobody asked for lately. */
  dropIdle(nowMs: number): void {
    for (const part of this.#parts.list()) {
      if (part.kept !== undefined && !part.stream.isWaitedFor && nowMs - part.touchedMs >= IDLE_MS) this.#drop(part);
    }
  }

  /** Ends transfers that are far from their end; what arrived is kept. Resolves when the files are closed. */
  close(): Promise<void> {
    this.#isClosed = true;
    for (const { stream } of this.#parts.list()) {
      if (!stream.hasEnded && stream.length - stream.receivedBytes > FINISH_BYTES) stream.cancel();
    }
    return new Promise((resolve) => {
      this.#idle = resolve;
      this.#closeFilesIfIdle();
    });
  }

  /** Ends all transfers at once. */
  abort(): Promise<void> {
    for (const { stream } of this.#parts.list()) stream.cancel();
    return this.close();
  }

  /** Where the pieces of [start, end) come from; fetches what comes from nowhere. The parts among them are `held`. */
  #locate(start: number, end: number, plan: ReadPlan, held: PartStream[]): Promise<Uint8Array[]>[] {
    const segments: Promise<Uint8Array[]>[] = [];
    for (let at = start; at < end; ) {
      const part = this.#parts.at(at);
      const onDisk = part === undefined ? this.#endOnDisk(at, end) : at;
      if (part !== undefined) {
        const stop = Math.min(end, part.stream.end);
        part.touchedMs = Date.now();
        part.stream.hold();
        held.push(part.stream);
        segments.push(part.stream.waitFor(at, stop));
        at = stop;
      } else if (this.#partial !== undefined && onDisk > at) {
        segments.push(this.#partial.read(at, onDisk).then((bytes) => [bytes]));
        at = onDisk;
      } else {
        this.#fetchOnDemand(at, end, plan);
      }
    }
    return segments;
  }

  /** How far the disk has it from `at` on. */
  #endOnDisk(at: number, end: number): number {
    return this.#partial?.missing(at, end)[0]?.[0] ?? (this.#partial === undefined ? at : end);
  }

  #fetchOnDemand(at: number, end: number, plan: ReadPlan): void {
    const { budget } = this.#sources;
    const around = this.uncovered(Math.max(0, at - MAX_PART_BYTES), Math.min(this.id.size, at + 2 * MAX_PART_BYTES));
    const [lowest, highest] = around.find(([start, stop]) => start <= at && at < stop) ?? [at, end];
    const wanted = demandRange(at, end, plan, { lowest, highest });
    if (budget.tryTake(wanted.end - wanted.start)) {
      this.fetch(wanted.start, wanted.end, false);
      return;
    }
    const least = demandRange(at, end, plan, { lowest, highest, exact: true });
    budget.take(least.end - least.start);
    this.fetch(least.start, least.end, false);
  }

  /** The transfer ended: what came goes to the disk. */
  async #settle(part: QueuedPart): Promise<void> {
    const { stream } = part;
    if (stream.length < part.heldBytes) this.#giveBack(part, part.heldBytes - stream.length);
    // Before it waits for its turn at the disk: memory may be short already.
    this.#dropConsumed();
    part.kept = stream.length > 0 && (await this.#sources.diskTurns.take(() => this.#keep(part)));
    part.touchedMs = Date.now();
    if (stream.length === 0 || part.diskOnly) this.#drop(part);
    if (part.kept && this.#whole === undefined && this.#partial?.complete === true) this.#promote(this.#partial);
    this.#dropConsumed();
  }

  /** Writes the part to the disk, unless it was given up while it waited. */
  async #keep(part: QueuedPart): Promise<boolean> {
    if (part.heldBytes === 0) return false;
    part.isWriting = true;
    try {
      return (await this.#partial?.write(part.stream.start, part.stream.chunks)) ?? false;
    } catch (error) {
      this.#sources.log(`cannot keep ${this.id.key} in the cache`, error);
      return false;
    } finally {
      part.isWriting = false;
    }
  }

  #promote(partial: PartialFile): void {
    try {
      const file = partial.promote();
      if (file !== undefined) this.becameWhole(file);
    } catch (error) {
      this.#sources.log(`cannot keep ${this.id.key} as a whole file`, error);
    }
  }

  /**
   * Drops what was read once through and is on the disk. When memory is short, also what still waits for the disk: one that is slower
   * than the network must not fill the memory, so such parts are let go unwritten.
   */
  #dropConsumed(): void {
    const { budget } = this.#sources;
    for (const part of this.#parts.list()) {
      if (!part.stream.isConsumed || part.stream.isWaitedFor) continue;
      const waitsForDisk = part.stream.hasEnded && !part.isWriting && !part.diskOnly;
      if (part.kept !== undefined || (waitsForDisk && budget.usedBytes > budget.limitBytes)) this.#drop(part);
    }
  }

  #drop(part: QueuedPart): void {
    if (!this.#parts.remove(part)) return;
    this.#giveBack(part, part.heldBytes);
    part.stream.letGo();
  }

  #giveBack(part: QueuedPart, bytes: number): void {
    part.heldBytes -= bytes;
    this.#sources.budget.give(bytes);
  }

  #closeFilesIfIdle(): void {
    if (!this.#isClosed || this.#busy > 0 || this.#idle === undefined) return;
    for (const part of this.#parts.list()) this.#drop(part);
    this.#partial?.close();
    this.#whole?.close();
    this.#idle();
    this.#idle = undefined;
  }
}
