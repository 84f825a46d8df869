/**
 * Large writes to a cached file past the page cache (O_DIRECT of open(2)).
 *
 * What streams through an engine is in the kernel's page cache already, as pages of the mounted file. Writing it to the cache file the
 * usual way takes the same memory a second time, and fresh pages cost more than the copy: the second half of a cold read's time.
 * O_DIRECT wants memory, offset and length on block boundaries; so bytes go through page-aligned buffers, and what does not
 * fit the boundaries is written the usual way. A file system that refuses O_DIRECT (tmpfs of older kernels) gets all of it so.
 */
import { closeSync, constants, openSync, write } from "node:fs";
import { writeFully } from "./descriptor-io.ts";

/** Satisfies every block device and file system in use; a page on x86-64 and arm64. */
const ALIGNMENT = 4096;
/** One write. Larger ones gain nothing, and four of them are all the memory this takes. */
const STEP_BYTES = 1 << 20;
const BUFFERS = 4;
/** Smaller writes are not worth a trip to the disk while somebody waits for memory. */
const DIRECT_FROM_BYTES = 1 << 20;

export class DirectWriter {
  readonly #fd: number;
  readonly #directFd: number | undefined;

  /** Writes to the file at `path`, open as `fd`. */
  constructor(path: string, fd: number) {
    this.#fd = fd;
    this.#directFd = openDirect(path);
  }

  /** Writes all pieces, one after the other, from `offset` on. System errors come as they are. */
  async write(offset: number, pieces: readonly Uint8Array[]): Promise<void> {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const directFd = this.#directFd;
    if (directFd === undefined || offset % ALIGNMENT !== 0 || length < DIRECT_FROM_BYTES) return writeFully(this.#fd, offset, pieces);
    const source = new PieceReader(pieces);
    const end = length - (length % ALIGNMENT);
    for (let done = 0; done < end; done += STEP_BYTES) {
      const step = Math.min(STEP_BYTES, end - done);
      await withBuffer(async (buffer) => {
        source.copyTo(buffer.subarray(0, step));
        await writeAligned(directFd, this.#fd, buffer.subarray(0, step), offset + done);
      });
    }
    await writeFully(this.#fd, offset + end, source.rest());
  }

  close(): void {
    if (this.#directFd !== undefined) closeSync(this.#directFd);
  }
}

function openDirect(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_DIRECT);
  } catch {
    return undefined;
  }
}

/** One direct write; what the file system refuses or leaves (it may write less than asked) goes the usual way. */
function writeAligned(directFd: number, fd: number, bytes: Uint8Array, offset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    write(directFd, bytes, 0, bytes.length, offset, (error, count) => {
      if (error !== null && error.code !== "EINVAL") return reject(error);
      const done = error === null ? count : 0;
      if (done === bytes.length) return resolve();
      writeFully(fd, offset + done, [bytes.subarray(done)]).then(resolve, reject);
    });
  });
}

/** Reads on through pieces that belong together. */
class PieceReader {
  readonly #pieces: readonly Uint8Array[];
  #index = 0;
  #used = 0;

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces;
  }

  copyTo(target: Uint8Array): void {
    for (let at = 0; at < target.length; ) {
      const piece = (this.#pieces[this.#index] as Uint8Array).subarray(this.#used, this.#used + target.length - at);
      target.set(piece, at);
      at += piece.length;
      this.#used += piece.length;
      if (this.#used === (this.#pieces[this.#index] as Uint8Array).length) this.#next();
    }
  }

  rest(): Uint8Array[] {
    const [first, ...others] = this.#pieces.slice(this.#index);
    return first === undefined ? [] : [first.subarray(this.#used), ...others];
  }

  #next(): void {
    this.#index += 1;
    this.#used = 0;
  }
}

/** What is used of it: neither TypeScript's libraries without a browser nor Node's types have it. */
declare const WebAssembly: { readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer } };

/** The buffers of the process: free ones, and who waits for one. WebAssembly's memory is the page-aligned memory that Node has. */
const free: Uint8Array[] = [];
const waiting: ((buffer: Uint8Array) => void)[] = [];
let made = 0;

async function withBuffer(use: (buffer: Uint8Array) => Promise<void>): Promise<void> {
  const buffer = await takeBuffer();
  try {
    await use(buffer);
  } finally {
    const next = waiting.shift();
    if (next === undefined) free.push(buffer);
    else next(buffer);
  }
}

function takeBuffer(): Promise<Uint8Array> {
  const buffer = free.pop();
  if (buffer !== undefined) return Promise.resolve(buffer);
  if (made === BUFFERS) return new Promise((resolve) => waiting.push(resolve));
  made += 1;
  const pages = STEP_BYTES / 65_536;
  return Promise.resolve(new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer));
}
