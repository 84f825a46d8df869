/**
 * One HTTP request and its response, on undici's handler interface: no stream and no promise per chunk, and the chunks are
 * the socket's own buffers.
 */
import type { Dispatcher } from "undici";
import type { Cause } from "#core/causes.ts";
import { DriverError } from "#core/errors.ts";
import type { ResponseHeaders } from "./object-headers.ts";

export interface ExchangeRequest {
  readonly origin: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | AsyncIterable<Uint8Array> | null;
  /** Given: chunks of the body may be slices of it. */
  readonly into?: Uint8Array | undefined;
}

/** undici, or what takes its place for some requests. */
interface Dispatching {
  dispatch(options: Dispatcher.DispatchOptions & { readonly into?: Uint8Array | undefined }, handler: Dispatcher.DispatchHandler): unknown;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: ResponseHeaders;
}

export interface BodyLimits {
  /** No byte for this long while one is waited for: `timed_out`. */
  readonly idleMs: number;
  /** The reader has not asked for this long: the connection is given up, and the next read is `unavailable`. */
  readonly abandonMs: number;
}

export interface ExchangeHooks {
  /** Called exactly once, when the connection is free or gone. */
  readonly closed: () => void;
  /** What a reader of the body is thrown for what went wrong. */
  readonly errorOf: (thrown: unknown) => Error;
  /** Given: the body is read chunk by chunk. */
  readonly limits?: BodyLimits | undefined;
}

/** Received and not yet read: above, the connection is paused; at half of it, it goes on. */
const HIGH_WATER_BYTES = 1 << 20;

/** A cancelled body with no more than this left is read out, which costs less than a new connection. */
const DRAIN_BYTES = 128 << 10;

/**
 * A running exchange. First `head` resolves; then the body is either collected whole or, with `limits`, read chunk by
 * chunk.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly head: Promise<ResponseHead>;
  readonly #settleHead: { resolve(head: ResponseHead): void; reject(error: unknown): void };
  readonly #closed: () => void;
  readonly #errorOf: (thrown: unknown) => Error;
  readonly #limits: BodyLimits | undefined;

  #controller: Dispatcher.DispatchController | undefined;
  #chunks: Uint8Array[] = [];
  #queuedBytes = 0;
  #receivedBytes = 0;
  #expectedBytes = Number.POSITIVE_INFINITY;
  #state: "open" | "ended" | "failed" = "open";
  #error: unknown;
  /** The rest of the body is not wanted: chunks are dropped as they come. */
  #discarded = false;
  /** The body may go into the caller's buffer, which it has back when it cancels. */
  readonly #isLent: boolean;
  /** All of it is wanted at once: no pauses. */
  #collecting = false;
  #waiter: (() => void) | undefined;
  #watch: NodeJS.Timeout | undefined;
  #lastProgressMs = 0;

  constructor(dispatcher: Dispatching, request: ExchangeRequest, { closed, limits, errorOf }: ExchangeHooks) {
    const { promise, resolve, reject } = Promise.withResolvers<ResponseHead>();
    // The head may fail while nobody waits for it: a failure is told by the body then.
    promise.catch(() => undefined);
    this.head = promise;
    this.#settleHead = { resolve, reject };
    this.#closed = closed;
    this.#errorOf = errorOf;
    this.#limits = limits;
    const { origin, method, path, headers, body, into } = request;
    this.#isLent = into !== undefined;
    try {
      // `reset: false`: undici would close the connection after each HEAD, against servers that answer one with a body.
      const options = { origin, method, path, headers, body: body as Uint8Array | null, reset: false, into };
      dispatcher.dispatch(options, this);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Bytes of body that came over the wire. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Ends the exchange; whoever waits gets `reason`. Nothing happens when it is over. */
  abort(reason: Error): void {
    if (this.#state !== "open") return;
    this.#controller?.abort(reason);
    this.#fail(reason);
  }

  /** The rest of the body is not wanted. A reader of it gets `interrupted`. */
  discard(): void {
    this.#discarded = true;
    this.#chunks = [];
    this.#queuedBytes = 0;
    this.#wake();
    if (this.#state !== "open") return;
    if (this.#isLent || this.#expectedBytes - this.#receivedBytes > DRAIN_BYTES) this.abort(cancelled());
    else this.#controller?.resume();
  }

  /** The whole body. Its time limit is the caller's. */
  async collect(): Promise<Buffer> {
    clearInterval(this.#watch);
    this.#collecting = true;
    this.#controller?.resume();
    while (this.#state === "open") await this.#wait();
    if (this.#state === "failed") throw this.#error;
    const [first] = this.#chunks;
    if (first === undefined) return EMPTY;
    return this.#chunks.length === 1 ? Buffer.from(first.buffer, first.byteOffset, first.byteLength) : Buffer.concat(this.#chunks);
  }

  /** The body's chunks as undici cut them, not copied. Leaving the loop early discards the rest. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) {
          this.#take(chunk.byteLength);
          yield chunk;
        } else if (this.#discarded) {
          throw cancelled();
        } else if (this.#state === "failed") {
          throw this.#errorOf(this.#error);
        } else if (this.#state === "ended") {
          return;
        } else {
          await this.#wait();
        }
      }
    } finally {
      this.discard();
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#state === "failed") controller.abort(this.#error as Error);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: ResponseHeaders): void {
    if (status < 200) return;
    const length = Number(headers["content-length"]);
    if (Number.isSafeInteger(length)) this.#expectedBytes = length;
    this.#settleHead.resolve({ status, headers });
    if (this.#limits !== undefined && this.#expectedBytes > 0) this.#startWatch(this.#limits);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#receivedBytes += chunk.byteLength;
    this.#lastProgressMs = performance.now();
    if (this.#discarded) return;
    this.#chunks.push(chunk);
    this.#queuedBytes += chunk.byteLength;
    if (this.#limits === undefined || this.#collecting) return;
    if (this.#queuedBytes >= HIGH_WATER_BYTES) controller.pause();
    this.#wake();
  }

  onResponseEnd(): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    this.#finish();
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#fail(error);
  }

  #fail(error: unknown): void {
    if (this.#state !== "open") return;
    this.#state = "failed";
    this.#error = error;
    this.#settleHead.reject(error);
    this.#finish();
  }

  #finish(): void {
    clearInterval(this.#watch);
    this.#closed();
    this.#wake();
  }

  #take(bytes: number): void {
    this.#queuedBytes -= bytes;
    this.#lastProgressMs = performance.now();
    if (this.#queuedBytes < HIGH_WATER_BYTES / 2) this.#controller?.resume();
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiter = resolve;
    });
  }

  #wake(): void {
    this.#waiter?.();
    this.#waiter = undefined;
  }

  #startWatch({ idleMs, abandonMs }: BodyLimits): void {
    this.#lastProgressMs = performance.now();
    this.#watch = setInterval(() => this.#checkProgress(idleMs, abandonMs), Math.max(10, Math.min(idleMs, abandonMs) / 4));
    this.#watch.unref();
  }

  #checkProgress(idleMs: number, abandonMs: number): void {
    const quietMs = performance.now() - this.#lastProgressMs;
    const waiting = this.#waiter !== undefined || this.#discarded;
    if (waiting && quietMs > idleMs) this.abort(noData(idleMs));
    if (!waiting && quietMs > abandonMs) {
      this.abort(new DriverError("unavailable", `the body was not read for ${abandonMs} ms and its connection was given up`));
    }
  }
}

function noData(ms: number): DriverError {
  return new DriverError("timed_out", `no data came for ${ms} ms`, { context: { cause: "unreachable" satisfies Cause } });
}

function cancelled(): DriverError {
  return new DriverError("interrupted", "the body was cancelled");
}

const EMPTY = Buffer.alloc(0);
