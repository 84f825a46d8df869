/**
 * `S3Http`: the one place that every request of the data path passes. It bounds what is in flight, signs, counts,
 * keeps the deadline, repeats what may be repeated, and turns refusals into faults.
 *
 * A call has a deadline, and each of its attempts a shorter limit, so that one lost packet does not use up the time of all.
 * A streamed body keeps its place in flight until it is read or cancelled; it has limits of its own (`BodyLimits`).
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Dispatcher } from "undici";
import type { Cause } from "#core/causes.ts";
import { type Clock, systemClock } from "#core/clock.ts";
import { DriverError, type Fault, isFault } from "#core/errors.ts";
import type { BucketAddress } from "./address.ts";
import { encodeStrict } from "./address.ts";
import type { CredentialProvider } from "./credentials.ts";
import type { DirectConnections } from "./direct-connections.ts";
import type { Connections } from "./dispatcher.ts";
import { errorOfRefusal, errorOfTransport, parseErrorDocument, type Refusal } from "./errors.ts";
import { type BodyLimits, Exchange, type ExchangeRequest, type ResponseHead } from "./exchange.ts";
import { InFlightLimit } from "./in-flight.ts";
import { dateOf, headerOf, type ResponseHeaders } from "./object-headers.ts";
import type { CallOptions } from "./object-store.ts";
import { limitsOf, OPERATIONS, type Operation } from "./operation.ts";
import { DEFAULT_RETRY, parseRetryAfter, type RetryEnvironment, type RetryPolicy, withRetries } from "./retry.ts";
import { type Credentials, signedHeaders } from "./sign.ts";
import { rootName } from "./xml.ts";

export interface S3Request {
  readonly operation: Operation;
  /** Undefined: the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Names in lower case, values as Unicode. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Where the answer's body may go; see GetOptions. */
  readonly into?: Uint8Array | undefined;
}

/** A body that can be sent again. */
export interface RequestBody {
  readonly length: number;
  body(): Uint8Array | AsyncIterable<Uint8Array>;
}

export interface S3Response {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly body: Buffer;
  /**
   * An earlier attempt failed in a way that leaves open whether the server carried it out: a refused condition may then
   * be of the call's own making.
   */
  readonly repeated: boolean;
}

export interface S3Stream {
  readonly headers: ResponseHeaders;
  readonly status: number;
  readonly chunks: AsyncIterable<Uint8Array>;
  discard(): void;
}

export interface StoreStats {
  /** Attempts by operation name: HeadObject, GetObject, ... */
  readonly requests: Readonly<Record<string, number>>;
  /** Failed attempts by fault; `not_found` too. */
  readonly errors: Readonly<Partial<Record<Fault, number>>>;
  readonly retries: number;
  readonly inFlight: number;
  readonly waiting: number;
  /** Bytes of bodies. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

export interface S3HttpConfig {
  readonly address: BucketAddress;
  readonly credentials: CredentialProvider;
  readonly dispatcher: Dispatcher;
  /** Takes what it can, and leaves the rest to the dispatcher. */
  readonly direct?: DirectConnections | undefined;
  /** A proxy on the way, for messages. */
  readonly via?: string | undefined;
  /** Requests at a time, streamed bodies included. */
  readonly maxInFlight: number;
  readonly retry?: RetryPolicy | undefined;
  readonly bodyLimits?: BodyLimits | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  readonly watch?: RequestWatch | undefined;
}

/** Hears how each attempt ended: the first ones of a call too, which nobody else learns of. */
export interface RequestWatch {
  failed(error: DriverError, operation: Operation): void;
  succeeded(operation: Operation): void;
}

/** A server that sends nothing for half a minute is lost; a reader may pause as long as an application's think time. */
const DEFAULT_BODY_LIMITS: BodyLimits = { idleMs: 30_000, abandonMs: 120_000 };

/** Faults after which the server may or may not have carried the request out. */
const AMBIGUOUS: readonly Fault[] = ["unavailable", "timed_out"];

interface Attempt {
  readonly request: S3Request;
  readonly path: string;
  readonly signal: AbortSignal | undefined;
  /** From sending to the end of the answer's head, or of its body where that is collected. */
  readonly attemptMs: number;
  /** Of the call, in milliseconds since the epoch. */
  readonly deadlineAt: number;
}

export class S3Http {
  readonly address: BucketAddress;
  #credentials: CredentialProvider;
  #dispatcher: Dispatcher;
  #direct: DirectConnections | undefined;
  #via: string | undefined;
  readonly #bodyLimits: BodyLimits;
  readonly #clock: Clock;
  readonly #retry: RetryEnvironment;
  readonly #inFlight: InFlightLimit;
  readonly #watch: RequestWatch | undefined;

  readonly #requests: Record<string, number> = {};
  readonly #errors: Partial<Record<Fault, number>> = {};
  readonly #open = new Set<Exchange>();
  #retries = 0;
  #sentBytes = 0;
  #receivedBytes = 0;
  /** The server's clock less ours, learnt from a RequestTimeTooSkewed. */
  #skewMs = 0;
  #closed = false;

  constructor(config: S3HttpConfig) {
    const { address, credentials, dispatcher, maxInFlight, retry = DEFAULT_RETRY, bodyLimits = DEFAULT_BODY_LIMITS } = config;
    const { clock = systemClock, random = Math.random } = config;
    this.address = address;
    this.#credentials = credentials;
    this.#dispatcher = dispatcher;
    this.#direct = config.direct;
    this.#via = config.via;
    this.#bodyLimits = bodyLimits;
    this.#clock = clock;
    this.#retry = { clock, random, policy: retry, sleep: pause };
    this.#inFlight = new InFlightLimit(maxInFlight);
    this.#watch = config.watch;
  }

  stats(): StoreStats {
    const { running: inFlight, waiting } = this.#inFlight;
    const [requests, errors] = [{ ...this.#requests }, { ...this.#errors }];
    return { requests, errors, retries: this.#retries, inFlight, waiting, sentBytes: this.#sentBytes, receivedBytes: this.#receivedBytes };
  }

  /** Sends a request and reads the whole answer. Throws the fault of any status but 2xx. */
  async send(request: S3Request, options: CallOptions = {}): Promise<S3Response> {
    let ambiguous = false;
    return this.#call(request, options, async (attempt) => {
      try {
        const response = await this.#attempt(attempt, undefined, async (exchange, head) => ({ ...head, body: await exchange.collect() }));
        if (errorIn200(request.operation) && rootName(response.body.toString("latin1", 0, 400)) === "Error")
          throw this.#refusal(attempt, response, response.body);
        return { ...response, repeated: ambiguous };
      } catch (error) {
        // The mark travels with the error: only the call knows its earlier attempts.
        if (ambiguous && error instanceof DriverError) throw withContext(error, { repeated: true });
        ambiguous ||= isFault(error, ...AMBIGUOUS);
        throw error;
      }
    });
  }

  /** Sends a request and answers when the head is there. The caller reads or discards the body. */
  open(request: S3Request, options: CallOptions = {}): Promise<S3Stream> {
    return this.#call(request, options, (attempt) =>
      this.#attempt(attempt, this.#bodyLimits, async (exchange, { status, headers }) => ({
        ...{ status, headers },
        chunks: exchange.chunks(),
        discard: () => exchange.discard(),
      })),
    );
  }

  /** Signs what is sent from now on with other keys, and sends it over other connections where these are given. */
  renew({ credentials, connections }: { credentials: CredentialProvider; connections?: Connections | undefined }): void {
    this.#credentials = credentials;
    if (connections === undefined) return;
    // The old connections end by themselves when they have been idle for a while.
    this.#dispatcher = connections.dispatcher;
    this.#direct = connections.direct;
    this.#via = connections.via;
  }

  /** Ends all that is in flight with `interrupted`, then closes the connections. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const exchange of this.#open) exchange.abort(new DriverError("interrupted", "the store was closed"));
    this.#direct?.destroy();
    await this.#dispatcher.destroy();
  }

  #call<T>(request: S3Request, options: CallOptions, run: (attempt: Attempt) => Promise<T>): Promise<T> {
    const { attemptMs, deadlineMs } = limitsOf(request.operation, request.body?.length ?? 0);
    const deadlineAt = this.#clock.now() + (options.deadlineMs ?? deadlineMs);
    const { signal } = options;
    const path = this.address.pathOf(request.key) + queryString(request.query);
    return withRetries(
      {
        ...{ deadlineAt, signal },
        run: () => {
          if (this.#closed) throw new DriverError("interrupted", `${request.operation}: the store is closed`);
          if (signal?.aborted) throw new DriverError("interrupted", `${request.operation} was interrupted`);
          return run({ request, path, signal, attemptMs, deadlineAt });
        },
        refresh: () => this.#skewChanged() || this.#credentials.refresh(),
        onRetry: () => {
          this.#retries += 1;
        },
      },
      this.#retry,
    );
  }

  async #attempt<T>(
    attempt: Attempt,
    limits: BodyLimits | undefined,
    use: (exchange: Exchange, head: ResponseHead) => Promise<T>,
  ): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    try {
      const credentials = await this.#admit(attempt);
      const exchange = this.#start(attempt, credentials, limits);
      const limitMs = Math.max(1, Math.min(attempt.attemptMs, attempt.deadlineAt - this.#clock.now()));
      timer = setTimeout(() => exchange.abort(this.#timeout(attempt.request, limitMs)), limitMs);
      const head = await exchange.head;
      if (head.status >= 300) throw this.#refusal(attempt, head, await exchange.collect());
      const used = await use(exchange, head);
      this.#watch?.succeeded(attempt.request.operation);
      return used;
    } catch (thrown) {
      throw this.#failed(attempt, thrown);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits for credentials and for a place; whoever gets here next must start an exchange or release the place. */
  async #admit({ signal, deadlineAt }: Attempt): Promise<Credentials> {
    const found = this.#credentials.get();
    const credentials = found instanceof Promise ? await found : found;
    const place = this.#inFlight.acquire(signal, deadlineAt - this.#clock.now());
    if (place !== undefined) await place;
    return credentials;
  }

  /** Signs, sends, counts. The exchange gives the place back when it is closed. */
  #start(attempt: Attempt, credentials: Credentials, limits: BodyLimits | undefined): Exchange {
    const { request, signal } = attempt;
    const { operation, body } = request;
    const onAbort = () => exchange.abort(new DriverError("interrupted", `${operation} was interrupted`));
    const closed = () => {
      this.#inFlight.release();
      signal?.removeEventListener("abort", onAbort);
      // `closed` may be called while the constructor still runs, when undici refuses the request.
      queueMicrotask(() => {
        this.#open.delete(exchange);
        this.#receivedBytes += exchange.receivedBytes;
      });
    };
    const errorOf = (thrown: unknown) => this.#failed(attempt, thrown);
    const signed = this.#signed(attempt, credentials);
    this.#requests[operation] = (this.#requests[operation] ?? 0) + 1;
    this.#sentBytes += body?.length ?? 0;
    const exchange: Exchange = new Exchange(this.#direct ?? this.#dispatcher, signed, { closed, errorOf, limits });
    this.#open.add(exchange);
    if (signal?.aborted || this.#closed) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
    return exchange;
  }

  #signed({ request, path }: Attempt, credentials: Credentials): ExchangeRequest {
    const { method } = OPERATIONS[request.operation];
    const { host, region, origin } = this.address;
    const nowMs = this.#clock.now() + this.#skewMs;
    try {
      const headers = signedHeaders(
        { method, path, host, region, nowMs, headers: { ...request.headers, ...lengthOf(request) } },
        credentials,
      );
      return { origin, method, path, headers, body: request.body?.body() ?? null, into: request.into };
    } catch (error) {
      this.#inFlight.release();
      throw error;
    }
  }

  #failed({ request }: Attempt, thrown: unknown): DriverError {
    const { operation, key } = request;
    const endpoint = `${this.address.endpoint}${this.#via === undefined ? "" : ` through the proxy ${this.#via}`}`;
    const error = errorOfTransport(thrown, endpoint, { operation, bucket: this.address.bucket, key });
    this.#errors[error.fault] = (this.#errors[error.fault] ?? 0) + 1;
    this.#watch?.failed(error, operation);
    return error;
  }

  #timeout({ operation, key }: S3Request, limitMs: number): DriverError {
    const { bucket, endpoint } = this.address;
    return new DriverError("timed_out", `${operation}: no answer from ${endpoint} in ${Math.round(limitMs)} ms`, {
      context: { operation, bucket, key, cause: "unreachable" satisfies Cause },
    });
  }

  #lastSkewMs: number | undefined;

  #refusal({ request }: Attempt, { status, headers }: ResponseHead, body: Buffer): DriverError {
    const document = parseErrorDocument(body.toString("utf8"));
    const { bucket, endpoint, region } = this.address;
    const nowMs = this.#clock.now();
    const skewMs = (dateOf(headers) ?? nowMs) - nowMs;
    if (document.code === "RequestTimeTooSkewed") this.#lastSkewMs = skewMs;
    const error = errorOfRefusal({
      ...{
        operation: request.operation,
        status,
        code: document.code,
        message: document.message,
        bucket,
        endpoint,
        region,
        key: request.key,
      },
      requestId: document.requestId ?? headerOf(headers, "x-amz-request-id"),
      rightRegion: document.region ?? headerOf(headers, "x-amz-bucket-region"),
      condition: document.condition,
      creating: request.headers?.["if-none-match"] !== undefined,
      replacing: request.headers?.["if-match"] !== undefined,
      skewMs,
    } satisfies Refusal);
    const retryAfterMs = parseRetryAfter(headerOf(headers, "retry-after"), nowMs);
    return retryAfterMs === undefined ? error : withContext(error, { retryAfterMs });
  }

  /** After RequestTimeTooSkewed, signing with the server's clock is what new credentials are elsewhere. */
  #skewChanged(): boolean {
    const skewMs = this.#lastSkewMs;
    this.#lastSkewMs = undefined;
    if (skewMs === undefined || Math.abs(skewMs - this.#skewMs) < 1000) return false;
    this.#skewMs = skewMs;
    return true;
  }
}

function errorIn200(operation: Operation): boolean {
  return "errorIn200" in OPERATIONS[operation];
}

/** `?a=b&c=d`, percent-encoded as the signature wants it. */
function queryString(query: S3Request["query"]): string {
  if (query === undefined) return "";
  return `?${Object.entries(query)
    .map(([name, value]) => `${encodeStrict(name)}=${encodeStrict(value)}`)
    .join("&")}`;
}

/** A body that is streamed needs its length said; PUT and POST without one say 0. */
function lengthOf({ operation, body }: S3Request): Record<string, string> {
  const { method } = OPERATIONS[operation];
  return method === "PUT" || method === "POST" ? { "content-length": String(body?.length ?? 0) } : {};
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch (thrown) {
    throw new DriverError("interrupted", "interrupted while waiting for the next attempt", { cause: thrown });
  }
}

function withContext(error: DriverError, more: Readonly<Record<string, number | boolean>>): DriverError {
  return new DriverError(error.fault, error.message, { context: { ...error.context, ...more }, cause: error.cause });
}
