/**
 * `DeviceReader`: the kernel's requests, read from /dev/fuse on the event loop's own thread.
 *
 * The kernel tells through the loop's epoll that a request is there, and a read of the non-blocking descriptor takes it: no other thread
 * has to wake up, whose wake-ups cost more than the request. Figures are in `test/bench/channel.ts`.
 */
import { ERRNO } from "#core/errno.ts";
import { DriverError } from "#core/errors.ts";
import type { BufferPool, ReadBuffer } from "./buffers.ts";
import { errnoName, ReadableWatch, readNow, setNonBlocking } from "./libc.ts";

/** A turn of the loop takes so many, and then lets promises and sockets have theirs. */
const REQUESTS_PER_TURN = 4;

/** Reading again is right: interrupted, or the request was withdrawn before it reached us. */
const RETRIED = new Set<number>([ERRNO.EINTR, ERRNO.ENOENT]);
/** The mount is gone. */
const ENDED = new Set<number>([ERRNO.ENODEV, ERRNO.ECONNABORTED]);

export class DeviceReader {
  readonly #fd: number;
  readonly #pool: BufferPool;
  readonly #ended = Promise.withResolvers<void>();
  #take: (buffer: ReadBuffer, length: number) => boolean = () => false;
  #buffer: ReadBuffer;
  #watch: ReadableWatch | undefined;
  #isDue = false;
  #left = 0;

  /** `fd` is a mounted /dev/fuse; each buffer of the pool holds the largest request. */
  constructor(fd: number, pool: BufferPool) {
    this.#fd = fd;
    this.#pool = pool;
    this.#buffer = pool.take();
  }

  /**
   * Hands each request to `take`, which answers whether it keeps the buffer. Resolves when the mount is gone; rejects with `internal`
   * when the device fails otherwise. Once per reader.
   */
  run(take: (buffer: ReadBuffer, length: number) => boolean): Promise<void> {
    this.#take = take;
    setNonBlocking(this.#fd);
    this.#watch = new ReadableWatch(this.#fd, this.#due);
    return this.#ended.promise;
  }

  /** Stops reading; `run` resolves. */
  stop(): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.#ended.resolve();
  }

  readonly #due = (): void => {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(this.#turn);
  };

  readonly #turn = (): void => {
    this.#isDue = false;
    this.#left = REQUESTS_PER_TURN;
    this.#next();
  };

  /** Between two requests everything runs that the first one's handler resolved: what needs no waiting is answered in the order it came. */
  readonly #next = (): void => {
    if (this.#left === 0 || this.#watch === undefined || !this.#readOne()) return;
    this.#left -= 1;
    // A tick comes when no microtask is left.
    queueMicrotask(() => process.nextTick(this.#next));
  };

  /** False when there is nothing to read. */
  #readOne(): boolean {
    const length = readNow(this.#fd, this.#buffer.bytes);
    if (length > 0) {
      if (this.#take(this.#buffer, length)) this.#buffer = this.#pool.take();
      return true;
    }
    if (length === -ERRNO.EAGAIN) return false;
    if (RETRIED.has(-length)) return true;
    const what = length === 0 ? "end of file" : errnoName(-length);
    if (!ENDED.has(-length)) this.#ended.reject(new DriverError("internal", `reading /dev/fuse: ${what}`));
    this.stop();
    return false;
  }
}
