/**
 * The default `KernelChannel`: the FUSE protocol over /dev/fuse, without libfuse.
 *
 * A fresh connection begins with the kernel's INIT. A successor engine, given its predecessor's init reply, goes on with the
 * same connection: it asks the kernel to send again what was read and not answered (FUSE_NOTIFY_RESEND).
 */
import { write, writeSync } from "node:fs";
import { DriverError } from "#core/errors.ts";
import { type Logger, silentLogger } from "#core/log.ts";
import type { ValuesOf } from "#core/struct.ts";
import type { InitIn } from "#fuse/wire/abi.ts";
import { decodeArguments, decodeHeader, type RequestHeader } from "#fuse/wire/decode.ts";
import { ReplyEncoder } from "#fuse/wire/encode.ts";
import { encodeInvalEntry, encodeInvalInode, encodeResend } from "#fuse/wire/notify.ts";
import { OPS, opcodeName } from "#fuse/wire/ops.ts";
import { BackingReadAhead } from "./backing-read-ahead.ts";
import { BufferPool, type ReadBuffer } from "./buffers.ts";
import type { ChannelOptions, KernelChannel, KernelFeatures } from "./channel.ts";
import { DeviceReader } from "./device-reader.ts";
import { exitAtOnce } from "./libc.ts";
import { RequestLoop } from "./loop.ts";
import { closeBacking, openBacking, tryBacking } from "./passthrough.ts";
import { type Agreement, agreementOf, encodeInit, initFlagNames, MAX_WRITE, negotiate } from "./session.ts";

const EIO = 5;

/**
 * A notice may wait in the kernel, and libuv joins its threads on the way out, also after process.exit and an uncaught exception: the
 * process could not end. So the last listener of "exit" leaves by _exit(2).
 */
async function whileNotifying<T>(work: () => Promise<T>): Promise<T> {
  const leave = (code: number): void => exitAtOnce(code);
  process.on("exit", leave);
  try {
    return await work();
  } finally {
    process.off("exit", leave);
  }
}

/**
 * Opens the channel: answers INIT, or resumes. Resolves when the mount works, apart from `serve` being called. Throws
 * `precondition` when the kernel is too old, `internal` when the descriptor is no mounted /dev/fuse.
 */
export async function openKernelChannel(options: ChannelOptions): Promise<KernelChannel> {
  const log = options.log ?? silentLogger;
  // On a fresh connection too: a predecessor may have read INIT and died before it answered.
  const resent = sendResend(options.fd);
  const init = options.resume ?? (await answerInit(options, log));
  const agreement = agreementOf(init);
  if (options.resume !== undefined && !resent) {
    log.warn({}, "this kernel cannot send unanswered requests again (needs Linux 6.9): whoever waits in one waits until a signal ends it");
  }
  return new DeviceChannel(options, init, { ...agreement, features: provenFeatures(options, agreement, log) }, log);
}

/** False when the kernel does not know the notice. */
function sendResend(fd: number): boolean {
  try {
    writeSync(fd, encodeResend());
    return true;
  } catch {
    return false;
  }
}

/** Waits for INIT, agrees, tells `beforeInit`, answers. Returns the answer's bytes. */
async function answerInit(options: ChannelOptions, log: Logger): Promise<Uint8Array> {
  const { header, offer } = await readInit(options.fd);
  const encoder = new ReplyEncoder();
  try {
    const answer = negotiate(offer, options);
    log.info({ minor: answer.minor, flags: initFlagNames(answer) }, "FUSE protocol agreed");
    const init = encodeInit(answer);
    options.beforeInit?.(init);
    writeSync(options.fd, Buffer.concat(encoder.reply(header.uniqueLow, header.uniqueHigh, OPS.INIT.reply, answer)));
    return init;
  } catch (error) {
    writeSync(options.fd, encoder.status(header.uniqueLow, header.uniqueHigh, EIO)[0] as Uint8Array);
    throw error;
  }
}

async function readInit(fd: number): Promise<{ header: RequestHeader; offer: ValuesOf<typeof InitIn> }> {
  const { message, length } = await readFirst(fd);
  const header = decodeHeader(message, length);
  if (header.opcode !== OPS.INIT.opcode) {
    const found = opcodeName(header.opcode);
    throw new DriverError(
      "precondition",
      `the connection is initialised already (first request: ${found}); a successor needs the stored init reply`,
    );
  }
  const [offer] = decodeArguments(OPS.INIT, message, header.bodyEnd, { setxattrExt: false });
  return { header, offer: offer as ValuesOf<typeof InitIn> };
}

/** The first request of the connection. The reader takes no second one. */
async function readFirst(fd: number): Promise<{ message: ReadBuffer; length: number }> {
  const what = `waiting for the kernel's INIT on descriptor ${fd}`;
  const reader = new DeviceReader(fd, new BufferPool(MAX_WRITE + 4096, 1));
  let first: { message: ReadBuffer; length: number } | undefined;
  const reading = reader.run((message, length) => {
    first = { message, length };
    reader.stop();
    return true;
  });
  await reading.catch((cause: unknown) => {
    throw new DriverError("internal", `${what} (is it mounted?)`, { cause });
  });
  if (first === undefined) throw new DriverError("internal", `${what}: the mount is gone`);
  return first;
}

/** The agreed features less what does not work here. */
function provenFeatures(options: ChannelOptions, { features }: Agreement, log: Logger): KernelFeatures {
  if (!features.passthrough || options.passthrough === "no") return { ...features, passthrough: false };
  if (options.trialFd === undefined) return features;
  const failure = tryBacking(options.fd, options.trialFd);
  if (failure !== undefined) log.info({ errno: failure }, "passthrough is off: the kernel refused a backing file of the cache folder");
  return { ...features, passthrough: failure === undefined };
}

class DeviceChannel implements KernelChannel {
  readonly features: KernelFeatures;
  readonly init: Uint8Array;
  readonly #options: ChannelOptions;
  readonly #agreement: Agreement;
  readonly #log: Logger;
  readonly #readAhead = new BackingReadAhead();

  constructor(options: ChannelOptions, init: Uint8Array, agreement: Agreement, log: Logger) {
    this.features = agreement.features;
    this.init = init;
    this.#options = options;
    this.#agreement = agreement;
    this.#log = log;
  }

  serve(handlers: Parameters<KernelChannel["serve"]>[0]): Promise<void> {
    const loop = new RequestLoop(handlers, {
      fd: this.#options.fd,
      maxWrite: this.features.maxWrite,
      setxattrExt: this.#agreement.setxattrExt,
      init: this.init,
      lostRequests: this.#options.resume !== undefined && !this.features.resend,
      log: this.#log,
    });
    return whileNotifying(() => loop.run());
  }

  registerBacking(fd: number): number | undefined {
    if (!this.features.passthrough) return undefined;
    const opened = openBacking(this.#options.fd, fd);
    if ("errno" in opened) {
      this.#log.debug({ errno: opened.errno }, "the kernel refused a backing file");
      return undefined;
    }
    this.#readAhead.start(opened.id, fd);
    return opened.id;
  }

  unregisterBacking(backingId: number): void {
    this.#readAhead.stop(backingId);
    const failure = closeBacking(this.#options.fd, backingId);
    if (failure !== undefined) this.#log.debug({ backingId, errno: failure }, "the kernel does not know a backing id");
  }

  invalidateNode(node: number, offset: number, length: number): void {
    this.#notify(encodeInvalInode(node, offset, length));
  }

  invalidateEntry(parent: number, name: string): void {
    this.#notify(encodeInvalEntry(parent, name));
  }

  /** Off this thread: the kernel takes the locks of the node or directory, which a request that we have to answer may hold. */
  #notify(notice: Uint8Array): void {
    write(this.#options.fd, notice, 0, notice.length, null, (error) => {
      if (error === null || error.code === "ENOENT" || error.code === "ENODEV") return; // the kernel does not have it cached; the mount is gone
      this.#log.warn({ errno: error.code }, "the kernel refused an invalidation");
    });
  }
}
