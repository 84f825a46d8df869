/** `InFlightLimit`: at most so many at a time, the others in the order in which they came. */
import { DriverError } from "#core/errors.ts";

interface Waiter {
  readonly admit: () => void;
}

export class InFlightLimit {
  readonly #limit: number;
  readonly #waiters = new Set<Waiter>();
  #running = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /**
   * Takes a place; give it back with `release`, once. Answers undefined when it was there at once (the usual case costs
   * no promise). Rejects with `interrupted` when the signal aborts, with `timed_out` after `timeoutMs`, and holds no place then.
   */
  acquire(signal: AbortSignal | undefined, timeoutMs: number): Promise<void> | undefined {
    if (this.#running < this.#limit) {
      this.#running += 1;
      return undefined;
    }
    return new Promise<void>((resolve, reject) => {
      const leave = (error?: DriverError) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        this.#waiters.delete(waiter);
        if (error) reject(error);
        else resolve();
      };
      const onAbort = () => leave(new DriverError("interrupted", "interrupted while waiting for a free connection"));
      const onTimeout = () => leave(new DriverError("timed_out", `no connection became free in ${Math.round(timeoutMs)} ms`));
      const waiter: Waiter = { admit: () => leave() };
      const timer = setTimeout(onTimeout, timeoutMs);
      this.#waiters.add(waiter);
      if (signal?.aborted) onAbort();
      else signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Gives a place back: to the first who waits, else to all. */
  release(): void {
    const [first] = this.#waiters;
    if (first === undefined) this.#running -= 1;
    else first.admit();
  }
}
