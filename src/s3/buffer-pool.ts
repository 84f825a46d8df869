/**
 * `BufferPool`: large buffers that are used again, since a fresh one costs a page fault for each of its 4 KiB and the collector's
 * time: for 8 MiB more than reading the file into it.
 *
 * Bounded by what it keeps, not by what is out: whoever takes bounds that. Kept buffers are freed when none was asked for in a while.
 */

const MIB = 1 << 20;
/** Smaller ones come cheaper from the allocator. */
export const LEAST_POOLED_BYTES = MIB;
/** Kept at most: as much as the uploads of a mount have in flight. */
const KEPT_BYTES = 64 * MIB;
const IDLE_MS = 3_000;

export class BufferPool {
  readonly #keptLimit: number;
  readonly #idleMs: number;
  readonly #free: Buffer[] = [];
  #keptBytes = 0;
  #lastTakenMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor({ keptBytes = KEPT_BYTES, idleMs = IDLE_MS }: { keptBytes?: number; idleMs?: number } = {}) {
    this.#keptLimit = keptBytes;
    this.#idleMs = idleMs;
  }

  /** Bytes of buffers that wait to be used again. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** A buffer of exactly `bytes`, its content whatever was there before. */
  take(bytes: number): Buffer {
    if (bytes < LEAST_POOLED_BYTES) return Buffer.allocUnsafe(bytes);
    this.#lastTakenMs = performance.now();
    const capacity = capacityFor(bytes);
    const at = this.#free.findLastIndex((buffer) => buffer.byteLength === capacity);
    const [found] = at < 0 ? [] : this.#free.splice(at, 1);
    if (found !== undefined) this.#keptBytes -= capacity;
    return (found ?? Buffer.allocUnsafeSlow(capacity)).subarray(0, bytes);
  }

  /**
   * Gives back a buffer that nobody will read again. Leave it to the collector when that is not sure: what the next user writes into
   * it would be seen, and what is kept too long is freed at once, not when the last reference goes.
   */
  give(buffer: Buffer): void {
    const whole = Buffer.from(buffer.buffer);
    if (buffer.byteLength < LEAST_POOLED_BYTES || this.#keptBytes + whole.byteLength > this.#keptLimit) return;
    this.#free.push(whole);
    this.#keptBytes += whole.byteLength;
    this.#timer ??= setTimeout(() => this.#shrink(), this.#idleMs).unref();
  }

  #shrink(): void {
    this.#timer = undefined;
    const restMs = this.#lastTakenMs + this.#idleMs - performance.now();
    if (restMs > 0) {
      this.#timer = setTimeout(() => this.#shrink(), restMs).unref();
      return;
    }
    // An idle process collects nothing for hours: detaching frees the memory now.
    for (const { buffer } of this.#free) if (buffer instanceof ArrayBuffer) buffer.transfer(0);
    this.#free.length = 0;
    this.#keptBytes = 0;
  }
}

/** Powers of two, so that the last parts of files find one too. Pages that are not touched cost nothing. */
function capacityFor(bytes: number): number {
  let capacity = LEAST_POOLED_BYTES;
  while (capacity < bytes) capacity *= 2;
  return capacity;
}
