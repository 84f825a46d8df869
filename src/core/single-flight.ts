/**
 * `SingleFlight`: one run of a piece of work for all who ask while it is under way.
 *
 * The work belongs to nobody in particular, so a caller's abort ends that caller's waiting only.
 */
import { DriverError } from "./errors.ts";

export class SingleFlight<K, V> {
  readonly #flights = new Map<K, Promise<V>>();

  /** Joins the run of `key`, or starts `work`. Rejects with `interrupted` when `signal` aborts first; the work goes on. */
  run(key: K, work: () => Promise<V>, signal?: AbortSignal): Promise<V> {
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      flight = work().finally(() => this.#flights.delete(key));
      // Whoever gave up waiting leaves the rejection without a listener.
      flight.catch(() => undefined);
      this.#flights.set(key, flight);
    }
    return untilAborted(flight, signal);
  }

  /** True while a run of `key` is under way. */
  has(key: K): boolean {
    return this.#flights.has(key);
  }

  get size(): number {
    return this.#flights.size;
  }
}

/** The promise's outcome, or `interrupted` as soon as `signal` aborts. What the promise stands for is not stopped. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const giveUp = () => reject(new DriverError("interrupted", "the waiting was interrupted"));
    if (signal.aborted) giveUp();
    signal.addEventListener("abort", giveUp, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", giveUp));
  });
}
