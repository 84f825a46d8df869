/**
 * `ByteLimiter`: bounds the bytes that are in flight at once, over all uploads of a mount.
 *
 * First come, first served. A piece larger than the whole limit goes alone.
 */
import { DriverError } from "#core/errors.ts";

interface Waiting {
  readonly bytes: number;
  readonly admit: () => void;
}

export class ByteLimiter {
  readonly limitBytes: number;
  #used = 0;
  readonly #queue = new Set<Waiting>();

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  /** Bytes in flight now. */
  get usedBytes(): number {
    return this.#used;
  }

  /** Runs `work` when there is room for its bytes. Rejects with `interrupted` when `signal` aborts before. */
  async run<T>(bytes: number, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const share = Math.min(bytes, this.limitBytes);
    await this.#enter(share, signal);
    try {
      return await work();
    } finally {
      this.#used -= share;
      this.#admit();
    }
  }

  #enter(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#queue.delete(waiting);
        reject(new DriverError("interrupted", "the upload was interrupted"));
        this.#admit();
      };
      const admit = () => {
        signal?.removeEventListener("abort", giveUp);
        resolve();
      };
      const waiting: Waiting = { bytes, admit };
      if (signal?.aborted) return giveUp();
      signal?.addEventListener("abort", giveUp, { once: true });
      this.#queue.add(waiting);
      this.#admit();
    });
  }

  #admit(): void {
    for (const waiting of this.#queue) {
      if (this.#used + waiting.bytes > this.limitBytes) return;
      this.#queue.delete(waiting);
      this.#used += waiting.bytes;
      waiting.admit();
    }
  }
}
