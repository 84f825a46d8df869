/**
 * The request loop: several reads of /dev/fuse in flight, dispatch by the op table, one synchronous write per reply.
 *
 * A read blocks a thread of libuv's pool until the kernel has a request. The reply is written from the main thread, which
 * costs a few microseconds and needs no second hop. A handler that answers at once is replied to at once.
 */
import { read, writevSync } from "node:fs";
import { ERRNO } from "#core/errno.ts";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { InitOut, type InterruptIn } from "#fuse/wire/abi.ts";
import { type DecodeRules, decodeArguments, decodeHeader, type Message, uniqueNumber } from "#fuse/wire/decode.ts";
import { type Packet, ReplyEncoder } from "#fuse/wire/encode.ts";
import { OP_BY_CODE, OPS, type OpHandlers, type OpRow, opcodeName } from "#fuse/wire/ops.ts";
import { printRequest } from "#fuse/wire/print.ts";
import { BufferPool, type ReadBuffer } from "./buffers.ts";
import { errnoOf } from "./errno-of.ts";
import { LiveRequest, RequestsUnderWay } from "./interrupts.ts";

/** Room beside a payload of max_write for the headers; also what makes the buffer larger than FUSE_MIN_READ_BUFFER. */
const HEADROOM = 4096;

/** A request with a payload is, up to this size, copied out of the read buffer: cheaper than holding a whole buffer while it is handled. */
const COPY_LIMIT = 64 << 10;

/** Free read buffers kept. */
const BUFFERS_KEPT = 8;

/** A read failed, and reading again is right: interrupted, or the request was withdrawn before it reached us. */
const RETRIED = new Set(["EINTR", "EAGAIN", "ENOENT"]);
/** The mount is gone. */
const ENDED = new Set(["ENODEV", "ECONNABORTED"]);

type AnyHandler = (request: LiveRequest, ...args: unknown[]) => unknown;

export interface LoopOptions extends DecodeRules {
  readonly fd: number;
  readonly maxWrite: number;
  readonly readers: number;
  /** The init reply, for a kernel that asks again because a predecessor died before it answered. */
  readonly init: Uint8Array;
  /** A predecessor read requests that it did not answer, and the kernel cannot send them again (before Linux 6.9). */
  readonly lostRequests: boolean;
  readonly log: Logger;
}

export class RequestLoop {
  readonly #options: LoopOptions;
  readonly #handlers: ReadonlyMap<number, AnyHandler>;
  readonly #pool: BufferPool;
  readonly #encoder = new ReplyEncoder();
  readonly #underWay = new RequestsUnderWay();
  readonly #ended = Promise.withResolvers<void>();
  #readersLeft = 0;
  #gone = false;
  #failure: Error | undefined;

  constructor(handlers: OpHandlers, options: LoopOptions) {
    this.#options = options;
    this.#pool = new BufferPool(options.maxWrite + HEADROOM, BUFFERS_KEPT);
    const methods = handlers as unknown as Readonly<Record<string, AnyHandler>>;
    const served = Object.values<OpRow>(OPS).filter((row) => row.channel !== true);
    this.#handlers = new Map(served.map((row) => [row.opcode, (methods[row.method] as AnyHandler).bind(handlers)]));
  }

  /** Resolves when the mount is gone and all handlers have settled. */
  run(): Promise<void> {
    this.#readersLeft = this.#options.readers;
    for (let i = 0; i < this.#options.readers; i++) this.#read(this.#pool.take());
    return this.#ended.promise;
  }

  #read(buffer: ReadBuffer): void {
    read(this.#options.fd, buffer.bytes, 0, buffer.bytes.length, null, (error, length) => {
      if (error !== null) {
        this.#readFailed(error, buffer);
        return;
      }
      let kept = false;
      try {
        kept = this.#dispatch(buffer, length);
      } catch (failure) {
        this.#options.log.error({ cause: failure }, "a request of the kernel could not be read");
      }
      this.#read(kept ? this.#pool.take() : buffer);
    });
  }

  #readFailed(error: NodeJS.ErrnoException, buffer: ReadBuffer): void {
    const code = error.code ?? "";
    if (RETRIED.has(code) && !this.#gone) {
      this.#read(buffer);
      return;
    }
    if (!ENDED.has(code) && !this.#gone)
      this.#failure = new DriverError("internal", `reading /dev/fuse: ${error.message}`, { cause: error });
    this.#gone = true;
    this.#readersLeft--;
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (!this.#gone || (this.#failure === undefined && (this.#readersLeft > 0 || this.#underWay.size > 0))) return;
    if (this.#failure === undefined) this.#ended.resolve();
    else this.#ended.reject(this.#failure);
  }

  /** Handles one message. True: the buffer is in use until the request's handler settles. */
  #dispatch(buffer: ReadBuffer, length: number): boolean {
    const header = decodeHeader(buffer, length);
    const row = OP_BY_CODE[header.opcode];
    const request = new LiveRequest(header);
    if (row === undefined) {
      this.#options.log.debug({ request: printRequest(header, []) }, "not served");
      this.#status(request, ERRNO.ENOSYS);
      return false;
    }
    const inPlace = row.opcode === OPS.WRITE.opcode && length > COPY_LIMIT;
    const message: Message = row.payload && !inPlace ? copyOf(buffer, length) : buffer;
    try {
      const args = decodeArguments(row, message, header.bodyEnd, this.#options);
      if (row.channel) this.#answerOurselves(request, args);
      else return this.#call(row, request, args, inPlace ? buffer : undefined);
    } catch (error) {
      this.#fail(row, request, error);
    }
    return false;
  }

  /** Calls the handler. `lent` is the buffer that its payload is in, where it is used in place. True when the request is not answered yet. */
  #call(row: OpRow, request: LiveRequest, args: readonly unknown[], lent: ReadBuffer | undefined): boolean {
    const handler = this.#handlers.get(row.opcode) as AnyHandler;
    const answer = handler(request, ...args);
    if (!(answer instanceof Promise)) {
      this.#reply(row, request, answer);
      return false;
    }
    this.#underWay.add(request);
    const settled = (): void => {
      this.#underWay.delete(request);
      if (lent !== undefined) this.#pool.give(lent);
      this.#endIfDone();
    };
    answer.then(
      (value) => {
        this.#reply(row, request, value);
        settled();
      },
      (error: unknown) => {
        this.#fail(row, request, error);
        settled();
      },
    );
    return lent !== undefined;
  }

  /** INIT, INTERRUPT and DESTROY concern the connection, not the file system. */
  #answerOurselves(request: LiveRequest, args: readonly unknown[]): void {
    if (request.opcode === OPS.INTERRUPT.opcode) {
      const { unique } = args[0] as ReturnType<typeof InterruptIn.at>;
      this.#interrupt(Number(unique & 0xffff_ffffn), Number(unique >> 32n));
    } else if (request.opcode === OPS.INIT.opcode) {
      this.#reply(OPS.INIT, request, InitOut.at(new DataView(this.#options.init.buffer, this.#options.init.byteOffset), 0));
    } else {
      this.#status(request, 0);
    }
  }

  #interrupt(low: number, high: number): void {
    const outcome = this.#underWay.interrupt(uniqueNumber(low, high));
    if (outcome === "lost" && this.#options.lostRequests) this.#write(this.#encoder.status(low, high, ERRNO.EINTR), "INTERRUPT");
  }

  #reply(row: OpRow, request: LiveRequest, value: unknown): void {
    if (row.reply === "none") return;
    let packet: Packet;
    try {
      packet = this.#encoder.reply(request.uniqueLow, request.uniqueHigh, row.reply, value);
    } catch (error) {
      this.#fail(row, request, error);
      return;
    }
    if (!this.#write(packet, opcodeName(row.opcode))) this.#status(request, ERRNO.EIO);
  }

  #fail(row: OpRow, request: LiveRequest, thrown: unknown): void {
    const errno = errnoOf(thrown, { op: opcodeName(request.opcode), node: request.nodeid }, this.#options.log);
    if (row.reply !== "none") this.#status(request, errno);
  }

  #status(request: LiveRequest, errno: number): void {
    this.#write(this.#encoder.status(request.uniqueLow, request.uniqueHigh, errno), opcodeName(request.opcode));
  }

  /** Writes one packet. False when the kernel found it malformed; the request may then still wait for an answer. */
  #write(packet: Packet, op: string): boolean {
    try {
      writevSync(this.#options.fd, packet);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "EAGAIN" || ENDED.has(code ?? "")) return true; // the request was withdrawn, or the mount is gone
      this.#options.log.error({ op, errno: code }, "the kernel refused a reply");
      return code !== "EINVAL";
    }
  }
}

function copyOf({ bytes }: Message, length: number): Message {
  const copy = bytes.slice(0, length);
  return { bytes: copy, view: new DataView(copy.buffer) };
}
