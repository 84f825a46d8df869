/**
 * `UploadQueue`: when what is unsent goes to the bucket: soon after it came to rest, many at once, and again and again when it fails.
 *
 * An item that is added again while it waits goes on waiting, up to a limit: what is written, renamed and removed within a moment costs
 * one request or none. A failed one is repeated with growing pauses for as long as the queue lives; nothing is ever given up here.
 */
import { DriverError } from "#core/errors.ts";

export interface UploadQueueOptions<Item> {
  /** Brings the item into the bucket, as it is by then. A rejection means: again later. */
  readonly send: (item: Item) => Promise<void>;
  /** What the item has on the local disk, bytes. */
  readonly bytesOf: (item: Item) => number;
  /** Told after each failure how many items wait for another try, and when there are none any more. */
  readonly onFailing?: (waiting: number, failure: DriverError | undefined) => void;
  readonly delays?: UploadDelays | undefined;
  /** More than this much unsent, and `room` waits, bytes. Default: no limit. */
  readonly limitBytes?: number | undefined;
}

export interface UploadDelays {
  /** After the last `add`. Default 500 ms. */
  readonly quietMs: number;
  /** After the first `add`, whatever came later. Default 900 ms. */
  readonly latestMs: number;
  /** After a failure; doubled with each further one. Default 2 s. */
  readonly retryMs: number;
}

interface Entry<Item> {
  readonly item: Item;
  bytes: number;
  firstMs: number;
  dueMs: number;
  /** Undefined: the last try did not fail. */
  retryMs: number | undefined;
  state: "waiting" | "ready" | "running";
  /** Added once more while it ran. */
  again: boolean;
}

const DEFAULT_DELAYS: UploadDelays = { quietMs: 500, latestMs: 900, retryMs: 2000 };
const LONGEST_RETRY_MS = 60_000;
const TICK_MS = 50;
/** Items under way. Small files are a matter of latency: 32 at 20 ms are 1,600 a second; bytes are bounded by the uploader. */
const PARALLEL = 32;
/** Unsent files cost memory; who makes more of them waits. */
const LIMIT_ITEMS = 20_000;

export class UploadQueue<Item> {
  // Dependencies
  readonly #options: UploadQueueOptions<Item>;
  // Constants
  readonly #delays: UploadDelays;
  readonly #limitBytes: number;
  // Mutable
  readonly #entries = new Map<Item, Entry<Item>>();
  #ready: Entry<Item>[] = [];
  readonly #running = new Set<Promise<void>>();
  #bytes = 0;
  readonly #waiters = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  /** When the next look is due. */
  #tickMs = Number.POSITIVE_INFINITY;
  /** Entries with `retryMs`. */
  #failing = 0;
  /** Of the last try, of any item, if it failed. */
  #lastError: DriverError | undefined;
  #stopped = false;

  constructor(options: UploadQueueOptions<Item>) {
    this.#options = options;
    this.#delays = options.delays ?? DEFAULT_DELAYS;
    this.#limitBytes = options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Items that are not sent yet. */
  get size(): number {
    return this.#entries.size;
  }

  /** The item has something to send: it is sent soon. */
  add(item: Item): void {
    const now = performance.now();
    const entry = this.#entries.get(item) ?? this.#enter(item, now);
    this.#measure(entry);
    if (entry.state === "running") entry.again = true;
    if (entry.state !== "waiting" || entry.retryMs !== undefined) return;
    entry.dueMs = Math.min(now + this.#delays.quietMs, entry.firstMs + this.#delays.latestMs);
    this.#tickAt(entry.dueMs);
  }

  /** The item could not be sent just now, by whoever tried: it is sent again after a pause. */
  addFailed(item: Item, failure: DriverError): void {
    const entry = this.#entries.get(item) ?? this.#enter(item, performance.now());
    this.#measure(entry);
    if (entry.state === "waiting") this.#failed(entry, failure);
  }

  /** The item has nothing to send any more. One that is under way goes on, and is forgotten then. */
  remove(item: Item): void {
    const entry = this.#entries.get(item);
    if (entry === undefined) return;
    entry.again = false;
    if (entry.state !== "running") this.#leave(entry);
  }

  /**
   * Waits while more is unsent than the limit allows, and sends without delay meanwhile. Not when sending fails: what is unsent
   * is safe where it is, and who waits for a store that does not answer waits for ever.
   */
  async room(): Promise<void> {
    while (this.#isFull() && this.#lastError === undefined && !this.#stopped) {
      const woken = new Promise<void>((resolve) => this.#waiters.add(resolve));
      this.#tick();
      await woken;
    }
  }

  /** What is not sent yet. */
  items(): Item[] {
    return [...this.#entries.keys()];
  }

  /** Resolves when the sends that are under way now have ended, well or not. */
  async underWay(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** Begins nothing more. What is under way goes on. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#wake();
  }

  #enter(item: Item, now: number): Entry<Item> {
    const entry: Entry<Item> = { item, bytes: 0, firstMs: now, dueMs: now, retryMs: undefined, state: "waiting", again: false };
    this.#entries.set(item, entry);
    return entry;
  }

  #measure(entry: Entry<Item>): void {
    const bytes = this.#options.bytesOf(entry.item);
    this.#bytes += bytes - entry.bytes;
    entry.bytes = bytes;
  }

  #leave(entry: Entry<Item>): void {
    this.#entries.delete(entry.item);
    this.#ready = entry.state === "ready" ? this.#ready.filter((other) => other !== entry) : this.#ready;
    this.#bytes -= entry.bytes;
    this.#noLongerFailing(entry);
    if (!this.#isFull()) this.#wake();
  }

  #isFull(): boolean {
    return this.#bytes > this.#limitBytes || this.#entries.size > LIMIT_ITEMS;
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter();
    this.#waiters.clear();
  }

  /** Looks again when this is due. Entries that come to be due soon are looked at together. */
  #tickAt(dueMs: number): void {
    if (this.#stopped || this.#tickMs <= dueMs + TICK_MS) return;
    clearTimeout(this.#timer);
    this.#tickMs = dueMs;
    this.#timer = setTimeout(() => this.#tick(), Math.max(TICK_MS, dueMs - performance.now())).unref();
  }

  /** Finds what is due. */
  #tick(): void {
    clearTimeout(this.#timer);
    this.#tickMs = Number.POSITIVE_INFINITY;
    const now = performance.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const entry of this.#entries.values()) {
      if (entry.state !== "waiting") continue;
      const isUrgent = this.#waiters.size > 0 && entry.retryMs === undefined;
      if (entry.dueMs > now && !isUrgent) {
        nextMs = Math.min(nextMs, entry.dueMs);
        continue;
      }
      entry.state = "ready";
      this.#ready.push(entry);
    }
    this.#pump();
    if (nextMs < Number.POSITIVE_INFINITY) this.#tickAt(nextMs);
  }

  #pump(): void {
    while (this.#running.size < PARALLEL && !this.#stopped) {
      const entry = this.#ready.shift();
      if (entry === undefined) return;
      const run = this.#run(entry).finally(() => {
        this.#running.delete(run);
        this.#pump();
      });
      this.#running.add(run);
    }
  }

  async #run(entry: Entry<Item>): Promise<void> {
    entry.state = "running";
    entry.again = false;
    try {
      await this.#options.send(entry.item);
      this.#lastError = undefined;
      this.#succeeded(entry);
    } catch (thrown) {
      entry.state = "waiting";
      this.#failed(entry, DriverError.from(thrown));
    }
  }

  #succeeded(entry: Entry<Item>): void {
    entry.state = "waiting";
    this.#noLongerFailing(entry);
    if (!entry.again) {
      this.#leave(entry);
      return;
    }
    entry.firstMs = performance.now();
    entry.dueMs = entry.firstMs + this.#delays.quietMs;
    this.#tickAt(entry.dueMs);
  }

  #failed(entry: Entry<Item>, failure: DriverError): void {
    if (entry.retryMs === undefined) this.#failing += 1;
    const { retryMs } = this.#delays;
    entry.retryMs = Math.min((entry.retryMs ?? retryMs / 2) * 2, Math.max(LONGEST_RETRY_MS, retryMs));
    entry.dueMs = performance.now() + entry.retryMs;
    this.#lastError = failure;
    this.#options.onFailing?.(this.#failing, failure);
    this.#tickAt(entry.dueMs);
    this.#wake();
  }

  #noLongerFailing(entry: Entry<Item>): void {
    if (entry.retryMs === undefined) return;
    entry.retryMs = undefined;
    this.#failing -= 1;
    if (this.#failing > 0) return;
    this.#lastError = undefined;
    this.#options.onFailing?.(0, undefined);
  }
}
