/**
 * `MemoryBudget`: bytes held for reads, over all open files. Read-ahead takes what is free and waits for its turn when nothing is;
 * a read that somebody waits for always proceeds.
 */

export class MemoryBudget {
  readonly limitBytes: number;
  /** Frees what can be had again from the disk, at least so many bytes if there are. */
  readonly #reclaim: (bytes: number) => void;
  #usedBytes = 0;
  /** First come, first served. */
  readonly #queue: { readonly bytes: number; readonly resolve: () => void }[] = [];
  /** Who wants to hear, once, that there is room again. */
  readonly #listeners = new Set<() => void>();

  constructor(limitBytes: number, reclaim: (bytes: number) => void) {
    this.limitBytes = limitBytes;
    this.#reclaim = reclaim;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Takes `bytes` if they are free, perhaps after reclaiming. */
  tryTake(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.limitBytes) this.#reclaim(this.#usedBytes + bytes - this.limitBytes);
    if (this.#queue.length > 0 || this.#usedBytes + bytes > this.limitBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  /** Takes `bytes` even when that goes over the limit. */
  take(bytes: number): void {
    this.#usedBytes += bytes;
  }

  /** Takes `bytes` when they are free and those who came before have theirs. More than the limit is had when nothing else is held. */
  takeWhenFree(bytes: number): Promise<void> {
    if (this.tryTake(bytes)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#queue.push({ bytes, resolve });
      this.#serveQueue();
    });
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes;
    this.#serveQueue();
    if (this.#listeners.size === 0 || this.#usedBytes >= this.limitBytes) return;
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    // Not within the caller, which may be in the middle of a change.
    queueMicrotask(() => {
      for (const listener of listeners) listener();
    });
  }

  /** Calls `listener` once, when bytes were given back. The same function waits once. */
  whenRoom(listener: () => void): void {
    this.#listeners.add(listener);
  }

  forget(listener: () => void): void {
    this.#listeners.delete(listener);
  }

  #serveQueue(): void {
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      if (this.#usedBytes > 0 && this.#usedBytes + first.bytes > this.limitBytes) return;
      this.#queue.shift();
      this.#usedBytes += first.bytes;
      first.resolve();
    }
  }
}
