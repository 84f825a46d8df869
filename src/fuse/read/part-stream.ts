/**
 * `PartStream`: one range of an object on its way, which hands out bytes as they arrive. Chunks are kept as the network gave them and
 * answered as slices: nothing is copied. The store is lent a buffer to receive into; it goes back to its pool when the last of those
 * who hold the part lets go.
 *
 * A transfer that breaks is taken up where it broke, with a GET for the rest. A body whose checksum turns out wrong is fetched again
 * from its start, once. When that does not help either, the part shrinks to what arrived, and the error goes to those who wait for the rest.
 */
import { DriverError, isFault } from "#core/errors.ts";
import type { ContentId } from "#fuse/cache/content-cache.ts";
import type { BufferPool } from "#s3/buffer-pool.ts";
import type { ObjectBody, ObjectStore } from "#s3/object-store.ts";

/** How often a broken transfer is taken up again. The store itself repeats a request until its body begins. */
const MAX_RESUMES = 2;

interface Waiter {
  readonly start: number;
  readonly end: number;
  resolve(pieces: Uint8Array[]): void;
  reject(error: DriverError): void;
}

export class PartStream {
  readonly start: number;
  /** Resolves, never rejects, when no more bytes will come. */
  readonly ended: Promise<void>;
  readonly #id: ContentId;
  readonly #store: ObjectStore;
  readonly #abort = new AbortController();
  #end: number;
  #chunks: Uint8Array[] = [];
  /** Position in the object of each chunk's first byte. */
  #starts: number[] = [];
  #received = 0;
  #handedOut = 0;
  #waiters: Waiter[] = [];
  readonly #pool: BufferPool;
  readonly #buffer: Buffer;
  /** Whoever began it, and the transfer. */
  #holders = 2;
  #error: DriverError | undefined;
  #hasEnded = false;

  /** Begins to fetch [start, end) of the version. Whoever begins it holds it. */
  constructor({ store, pool }: { readonly store: ObjectStore; readonly pool: BufferPool }, id: ContentId, start: number, end: number) {
    this.#pool = pool;
    this.#buffer = pool.take(end - start);
    this.#store = store;
    this.#id = id;
    this.start = start;
    this.#end = end;
    this.ended = this.#run().finally(() => this.letGo());
  }

  /** The bytes that are handed out stay what they are until `letGo`. */
  hold(): void {
    this.#holders += 1;
  }

  /** After the last one's turn of the event loop, the memory is used for something else. */
  letGo(): void {
    this.#holders -= 1;
    // Those who got slices a moment ago write them to the kernel before this turn ends.
    if (this.#holders === 0) setImmediate(() => this.#pool.give(this.#buffer));
  }

  /** Where the part ends; after a failure, what arrived. */
  get end(): number {
    return this.#end;
  }

  get length(): number {
    return this.#end - this.start;
  }

  get receivedBytes(): number {
    return this.#received;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Why less arrived than was asked for. */
  get error(): DriverError | undefined {
    return this.#error;
  }

  get isWaitedFor(): boolean {
    return this.#waiters.length > 0;
  }

  /** True when as many bytes were handed out as there are: read once through, as far as can be told. */
  get isConsumed(): boolean {
    return this.#handedOut >= this.length;
  }

  get chunks(): readonly Uint8Array[] {
    return this.#chunks;
  }

  /** The bytes [start, end) of the object, which lie in this part, as soon as they are here. */
  waitFor(start: number, end: number): Promise<Uint8Array[]> {
    if (end <= this.start + this.#received) return Promise.resolve(this.#handOut(start, end));
    if (this.#error !== undefined) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => this.#waiters.push({ start, end, resolve, reject }));
  }

  /** Ends the transfer; what arrived stays. */
  cancel(): void {
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    let resumes = MAX_RESUMES;
    try {
      for (let body = await this.#get(); ; body = await this.#get()) {
        const error = await this.#drain(body);
        if (error === undefined) break;
        resumes -= isFault(error, "corrupt") ? MAX_RESUMES : 1;
        if (resumes < 0 || error.row.retry === "no" || this.#abort.signal.aborted) throw error;
      }
    } catch (thrown) {
      this.#fail(DriverError.from(thrown));
    }
    this.#hasEnded = true;
  }

  /** Takes what the body has. Answers why it is not all. */
  async #drain(body: ObjectBody): Promise<DriverError | undefined> {
    const before = this.#received;
    try {
      for await (const chunk of body.stream) {
        if (chunk.length > this.#end - this.start - this.#received) throw tooMuch(this.#id);
        this.#append(chunk);
        if (this.#abort.signal.aborted) throw new DriverError("interrupted", "the read-ahead was given up");
      }
    } catch (thrown) {
      body.cancel();
      const error = DriverError.from(thrown);
      if (isFault(error, "corrupt")) this.#truncate(before);
      return error;
    }
    const at = this.start + this.#received;
    if (at === this.#end) return undefined;
    return new DriverError("unavailable", `the body of ${this.#id.key} ended at ${at}, before ${this.#end}`);
  }

  /** A GET for what is missing. */
  async #get(): Promise<ObjectBody> {
    const from = this.start + this.#received;
    const { key, etag, size } = this.#id;
    const isWhole = from === 0 && this.#end === size;
    const signal = this.#abort.signal;
    const into = this.#buffer.subarray(this.#received);
    const range = isWhole ? undefined : { start: from, end: this.#end };
    const body = await this.#store.get(key, { ifMatch: etag, signal, into, ...(range && { range }) });
    if (body.info.etag !== etag) {
      body.cancel();
      // Some servers do not know If-Match.
      throw new DriverError("stale", `${key} was replaced in the bucket`, { context: { key } });
    }
    if (body.length !== this.#end - from) {
      body.cancel();
      throw new DriverError("corrupt", `the server answered ${body.length} bytes of ${key} where ${this.#end - from} were asked for`);
    }
    return body;
  }

  #append(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    const last = this.#chunks.at(-1);
    if (last !== undefined && isContinued(last, chunk)) {
      this.#chunks[this.#chunks.length - 1] = new Uint8Array(last.buffer, last.byteOffset, last.length + chunk.length);
    } else {
      this.#starts.push(this.start + this.#received);
      this.#chunks.push(chunk);
    }
    this.#received += chunk.length;
    if (this.#waiters.length === 0) return;
    const here = this.start + this.#received;
    const ready = this.#waiters.filter(({ end }) => end <= here);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter(({ end }) => end > here);
    for (const waiter of ready) waiter.resolve(this.#handOut(waiter.start, waiter.end));
  }

  #handOut(start: number, end: number): Uint8Array[] {
    this.#handedOut += end - start;
    const pieces: Uint8Array[] = [];
    for (let i = this.#chunkAt(start); i < this.#chunks.length; i++) {
      const chunk = this.#chunks[i];
      const at = this.#starts[i];
      if (chunk === undefined || at === undefined || at >= end) break;
      const from = Math.max(0, start - at);
      const to = Math.min(chunk.length, end - at);
      if (to > from) pieces.push(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to));
    }
    return pieces;
  }

  /** Index of the chunk that holds the position. */
  #chunkAt(position: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#starts[middle] ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Back to the first `bytes` bytes: where a body began. */
  #truncate(bytes: number): void {
    const cut = this.start + bytes;
    while ((this.#starts.at(-1) ?? cut) >= cut && this.#starts.length > 0) {
      this.#starts.pop();
      this.#chunks.pop();
    }
    const [last, at] = [this.#chunks.at(-1), this.#starts.at(-1)];
    if (last !== undefined && at !== undefined) this.#chunks[this.#chunks.length - 1] = last.subarray(0, cut - at);
    this.#received = bytes;
  }

  #fail(error: DriverError): void {
    this.#error = error;
    this.#end = this.start + this.#received;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }
}

/** One after the other in the same memory. */
function isContinued(a: Uint8Array, b: Uint8Array): boolean {
  return a.buffer === b.buffer && a.byteOffset + a.length === b.byteOffset;
}

function tooMuch({ key }: ContentId): DriverError {
  return new DriverError("corrupt", `the server sent more bytes of ${key} than were asked for`);
}
