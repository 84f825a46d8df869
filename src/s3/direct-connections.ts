/**
 * `DirectConnections`: GETs whose bodies go from the socket straight into the caller's buffer, and requests without any body.
 *
 * Node gives undici a fresh buffer for each 64 KiB that a socket reads; making and collecting them costs more than the reading. Measured
 * on 512 MiB from MinIO in GETs of 8 MiB, 4 at once, seconds of CPU, user + system: undici 0.36 + 0.25, here 0.05 + 0.10 with buffers that
 * are used again (`test/bench/s3-client.ts` has both).
 *
 * It speaks no more HTTP than that needs: a GET that is answered with 200 or 206 and a Content-Length that fits the buffer, any HEAD, any
 * DELETE, and refusals with their document. With any other answer (a chunked object, the whole one where a range was asked for) the
 * connection goes and undici is asked the same.
 */
import { connect, type NetConnectOpts, type Socket } from "node:net";
import { connect as connectTls, type SecureContext, type ConnectionOptions as TlsOptions } from "node:tls";
import type { Dispatcher } from "undici";
import { type ChunkedBody, decodeChunked } from "./chunked-body.ts";
import { type AnswerHead, parseHead } from "./response-head.ts";

export interface DirectRequest {
  readonly origin: string;
  readonly method: string;
  /** Percent-encoded, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | null;
  /** For the body of a GET. Undefined: undici does it. */
  readonly into?: Uint8Array | undefined;
}

export interface DirectConfig {
  readonly origin: string;
  /** For https. */
  readonly secureContext?: SecureContext | undefined;
  readonly connectMs: number;
  /** How long a connection without a request is kept. */
  readonly idleMs: number;
  /** Takes what is not for us. */
  readonly fallback: Dispatcher;
}

/** Servers send at most 8 to 16 KiB of headers; S3 allows 2 KiB of metadata. A refusal's document, of some hundred bytes, has room too. */
const HEAD_BYTES = 32 << 10;

/** A pool as large as its callers' limit of requests in flight. */
export class DirectConnections {
  readonly #config: DirectConfig;
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();

  constructor(config: DirectConfig) {
    this.#config = config;
  }

  /** As undici's: everything that happens is told to the handler. */
  dispatch(request: DirectRequest, handler: Dispatcher.DispatchHandler): void {
    const { method, into } = request;
    if (into === undefined && method !== "HEAD" && method !== "DELETE") {
      this.#fallBack(request, handler);
      return;
    }
    const connection = this.#idle.pop() ?? this.#connect();
    connection.send(request, { handler, method, isReused: connection.served > 0, notForUs: () => this.#fallBack(request, handler) });
  }

  destroy(): void {
    for (const connection of this.#all) connection.destroy();
  }

  #connect(): Connection {
    const connection: Connection = new Connection(this.#config, {
      free: () => this.#idle.push(connection),
      gone: () => {
        this.#all.delete(connection);
        const at = this.#idle.indexOf(connection);
        if (at >= 0) this.#idle.splice(at, 1);
      },
    });
    this.#all.add(connection);
    return connection;
  }

  #fallBack({ into: _, ...request }: DirectRequest, handler: Dispatcher.DispatchHandler): void {
    this.#config.fallback.dispatch({ ...request, reset: false }, handler);
  }
}

interface Job {
  readonly handler: Dispatcher.DispatchHandler;
  readonly method: string;
  /** A server may have closed it since: that is no failure of the request. */
  readonly isReused: boolean;
  readonly notForUs: () => void;
}

/** One connection, one request at a time. */
class Connection {
  /** Requests that ended well. */
  served = 0;
  readonly #socket: Socket;
  readonly #hooks: { readonly free: () => void; readonly gone: () => void };
  readonly #idleMs: number;
  readonly #head = Buffer.allocUnsafeSlow(HEAD_BYTES);
  #headBytes = 0;
  #job: Job | undefined;
  #into: Buffer = NOTHING;
  /** Bytes of the body that are here, and that will be; -1 while the head is not complete. */
  #received = 0;
  #length = -1;
  #isKept = true;
  #isGone = false;

  constructor({ origin, secureContext, connectMs, idleMs }: DirectConfig, hooks: { free: () => void; gone: () => void }) {
    this.#hooks = hooks;
    this.#idleMs = idleMs;
    const onread = { buffer: () => this.#next(), callback: (bytes: number) => this.#take(bytes) };
    this.#socket = openSocket(new URL(origin), secureContext, onread);
    this.#socket.setNoDelay(true);
    this.#socket.setTimeout(connectMs, () => this.#end(timedOut()));
    this.#socket.once(secureContext === undefined ? "connect" : "secureConnect", () => this.#socket.setTimeout(0));
    this.#socket.once("error", (error) => this.#end(error));
    this.#socket.once("close", () => this.#end(closedEarly()));
  }

  send(request: DirectRequest, job: Job): void {
    const { into = NOTHING } = request;
    this.#job = job;
    this.#into = Buffer.from(into.buffer, into.byteOffset, into.byteLength);
    this.#socket.ref();
    if (this.served > 0) this.#socket.setTimeout(0);
    job.handler.onRequestStart?.(this.#controller(), undefined);
    if (this.#job === job && !this.#isGone) this.#socket.write(encodeRequest(request), "latin1");
  }

  destroy(): void {
    this.#end(closedEarly());
  }

  /** Where the next bytes go. */
  #next(): Uint8Array {
    if (this.#length >= 0 && this.#job !== undefined) return this.#into.subarray(this.#received, this.#length);
    return this.#head.subarray(this.#headBytes);
  }

  /** So many bytes were read into what `#next` gave. */
  #take(bytes: number): boolean {
    if (this.#job === undefined) this.#end(closedEarly());
    else if (this.#length >= 0) this.#takeBody(bytes);
    else this.#takeHead(bytes);
    return true;
  }

  #takeHead(bytes: number): void {
    this.#headBytes += bytes;
    const received = this.#head.subarray(0, this.#headBytes);
    const bodyAt = received.indexOf("\r\n\r\n") + 4;
    if (bodyAt < 4) {
      this.#awaitMore();
      return;
    }
    const head = parseHead(received.subarray(0, bodyAt - 4), this.#job?.method);
    if (head === undefined) this.#notForUs();
    else if (head.status >= 300 && head.length !== 0) this.#takeRefusal(head, received.subarray(bodyAt));
    else this.#beginBody(head, received.subarray(bodyAt));
  }

  #awaitMore(): void {
    if (this.#headBytes === HEAD_BYTES) this.#notForUs();
  }

  /** `begun` is what came of the body together with the head. */
  #beginBody(head: AnswerHead, begun: Buffer): void {
    // A DELETE is done, whatever its body may say: it is left unread, with the connection.
    const isUnread = this.#job?.method === "DELETE" && head.length !== 0;
    const length = isUnread ? 0 : head.length;
    if (length === undefined || length > this.#into.byteLength) {
      this.#notForUs();
      return;
    }
    const bodyBytes = Math.min(begun.byteLength, length);
    this.#length = length;
    // More than was announced, as some servers answer a HEAD: what belongs to which request is not known any more.
    this.#isKept = head.isKept && !isUnread && bodyBytes === begun.byteLength;
    begun.copy(this.#into, 0, 0, bodyBytes);
    this.#job?.handler.onResponseStart?.(this.#controller(), head.status, head.headers, "");
    if (this.#job !== undefined) this.#takeBody(bodyBytes);
  }

  /** Told when its document is here, which is read behind the head. */
  #takeRefusal(head: AnswerHead, begun: Buffer): void {
    const whole = head.isChunked ? decodeChunked(begun) : plainBody(begun, head.length);
    if (whole === undefined) this.#notForUs();
    else if (whole === "incomplete") this.#awaitMore();
    else {
      this.#isKept = head.isKept && whole.end === begun.byteLength;
      this.#job?.handler.onResponseStart?.(this.#controller(), head.status, head.headers, "");
      this.#job?.handler.onResponseData?.(this.#controller(), whole.body);
      this.#complete();
    }
  }

  #takeBody(bytes: number): void {
    const chunk = this.#into.subarray(this.#received, this.#received + bytes);
    this.#received += bytes;
    if (bytes > 0) this.#job?.handler.onResponseData?.(this.#controller(), chunk);
    if (this.#received === this.#length) this.#complete();
  }

  #complete(): void {
    const job = this.#job;
    if (job === undefined) return;
    this.#forget();
    this.served += 1;
    if (this.#isKept) {
      this.#socket.setTimeout(this.#idleMs);
      // An idle connection keeps no process alive.
      this.#socket.unref();
      this.#hooks.free();
    } else this.destroy();
    job.handler.onResponseEnd?.(this.#controller(), {});
  }

  /** The same is asked of undici, from the beginning: nothing was told to the handler yet. */
  #notForUs(): void {
    const job = this.#job;
    this.#forget();
    this.destroy();
    job?.notForUs();
  }

  /** The connection is over. */
  #end(error: Error): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#hooks.gone();
    this.#socket.destroy();
    const job = this.#job;
    const wasStale = job?.isReused === true && this.#headBytes === 0;
    this.#forget();
    if (wasStale) job?.notForUs();
    else job?.handler.onResponseError?.(this.#controller(), error);
  }

  #forget(): void {
    this.#job = undefined;
    this.#into = NOTHING;
    this.#headBytes = 0;
    this.#received = 0;
    this.#length = -1;
  }

  /** No pauses: the caller has room for all of it. Nothing is written into its buffer once `abort` returned. */
  #controller(): Dispatcher.DispatchController {
    return {
      rawHeaders: null,
      rawTrailers: null,
      aborted: this.#isGone,
      paused: false,
      reason: null,
      pause: () => undefined,
      resume: () => undefined,
      abort: (reason) => {
        this.#forget();
        this.#end(reason);
      },
    };
  }
}

interface OnRead {
  readonly buffer: () => Uint8Array;
  readonly callback: (bytes: number) => boolean;
}

function openSocket({ hostname, port, protocol }: URL, secureContext: SecureContext | undefined, onread: OnRead): Socket {
  // A URL has an IPv6 address in brackets.
  const host = hostname.replace(/^\[|\]$/g, "");
  const place = { host, port: Number(port) || (protocol === "https:" ? 443 : 80) };
  if (secureContext === undefined) return connect({ ...place, onread } satisfies NetConnectOpts);
  // Node's types do not list `onread` here; its documentation does.
  const options: TlsOptions & { onread: OnRead } = { ...place, secureContext, ALPNProtocols: ["http/1.1"], onread };
  return connectTls(/^[\d.]+$|:/.test(host) ? options : { ...options, servername: host });
}

function encodeRequest({ method, path, headers }: DirectRequest): string {
  let lines = `${method} ${path} HTTP/1.1\r\n`;
  for (const [name, value] of Object.entries(headers)) lines += `${name}: ${value}\r\n`;
  return `${lines}\r\n`;
}

/** Undefined: its end is not announced. */
function plainBody(begun: Buffer, length: number | undefined): ChunkedBody | "incomplete" | undefined {
  if (length === undefined) return undefined;
  return begun.byteLength < length ? "incomplete" : { body: Buffer.from(begun.subarray(0, length)), end: length };
}

function timedOut(): Error {
  return Object.assign(new Error("the connection attempt was not answered"), { code: "ETIMEDOUT" });
}

function closedEarly(): Error {
  return Object.assign(new Error("the server closed the connection"), { code: "ECONNRESET" });
}

const NOTHING = Buffer.alloc(0);
