/**
 * The request loop: what `DeviceReader` read is dispatched by the op table; one synchronous write per reply, which costs a few microseconds.
 * A handler that answers at once is replied to at once.
 */
import { writevSync } from "node:fs";
import { ERRNO } from "#core/errno.ts";
import type { Logger } from "#core/log.ts";
import { InitOut, type InterruptIn } from "#fuse/wire/abi.ts";
import { type DecodeRules, decodeArguments, decodeHeader, type Message, uniqueNumber } from "#fuse/wire/decode.ts";
import { type Packet, ReplyEncoder } from "#fuse/wire/encode.ts";
import { OP_BY_CODE, OPS, type OpHandlers, type OpRow, opcodeName } from "#fuse/wire/ops.ts";
import { printRequest } from "#fuse/wire/print.ts";
import { BufferPool, type ReadBuffer } from "./buffers.ts";
import { DeviceReader } from "./device-reader.ts";
import { errnoOf } from "./errno-of.ts";
import { LiveRequest, RequestsUnderWay } from "./interrupts.ts";

/** Room beside a payload of max_write for the headers; also what makes the buffer larger than FUSE_MIN_READ_BUFFER. */
const HEADROOM = 4096;

/** A request with a payload is, up to this size, copied out of the read buffer: cheaper than holding a whole buffer while it is handled. */
const COPY_LIMIT = 64 << 10;

/** Free read buffers kept. */
const BUFFERS_KEPT = 8;

/** The mount is gone. */
const ENDED = new Set(["ENODEV", "ECONNABORTED"]);

type AnyHandler = (request: LiveRequest, ...args: unknown[]) => unknown;

export interface LoopOptions extends DecodeRules {
  readonly fd: number;
  readonly maxWrite: number;
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
  readonly #reader: DeviceReader;
  readonly #encoder = new ReplyEncoder();
  readonly #underWay = new RequestsUnderWay();
  readonly #ended = Promise.withResolvers<void>();
  #isGone = false;

  constructor(handlers: OpHandlers, options: LoopOptions) {
    this.#options = options;
    this.#pool = new BufferPool(options.maxWrite + HEADROOM, BUFFERS_KEPT);
    this.#reader = new DeviceReader(options.fd, this.#pool);
    const methods = handlers as unknown as Readonly<Record<string, AnyHandler>>;
    const served = Object.values<OpRow>(OPS).filter((row) => row.channel !== true);
    this.#handlers = new Map(served.map((row) => [row.opcode, (methods[row.method] as AnyHandler).bind(handlers)]));
  }

  /** Resolves when the mount is gone and all handlers have settled. Rejects when the device fails. */
  async run(): Promise<void> {
    await this.#reader.run((buffer, length) => this.#take(buffer, length));
    this.#isGone = true;
    this.#endIfDone();
    await this.#ended.promise;
  }

  #take(buffer: ReadBuffer, length: number): boolean {
    try {
      return this.#dispatch(buffer, length);
    } catch (failure) {
      this.#options.log.error({ cause: failure }, "a request of the kernel could not be read");
      return false;
    }
  }

  #endIfDone(): void {
    if (this.#isGone && this.#underWay.size === 0) this.#ended.resolve();
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
