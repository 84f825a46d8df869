/**
 * A lock for asynchronous sections: `run` calls never overlap and go in the order they were made.
 * Not re-entrant: a section that waits for its own mutex waits for ever.
 */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** True while a section runs or waits. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  run<T>(section: () => Promise<T> | T): Promise<T> {
    this.#waiting += 1;
    const result = this.#tail.then(section).finally(() => {
      this.#waiting -= 1;
    });
    this.#tail = result.catch(() => undefined);
    return result;
  }
}

/**
 * Many sharers or one owner. An owner that waits lets no new sharer in, so it is not starved.
 * Not re-entrant in either form.
 */
export class SharedMutex {
  #sharers = 0;
  #owned = false;
  readonly #queue: { readonly exclusive: boolean; readonly start: () => void }[] = [];

  shared<T>(section: () => Promise<T>): Promise<T> {
    return this.#enter(false, section);
  }

  exclusive<T>(section: () => Promise<T>): Promise<T> {
    return this.#enter(true, section);
  }

  async #enter<T>(exclusive: boolean, section: () => Promise<T>): Promise<T> {
    await new Promise<void>((start) => {
      this.#queue.push({ exclusive, start });
      this.#admit();
    });
    try {
      return await section();
    } finally {
      if (exclusive) this.#owned = false;
      else this.#sharers -= 1;
      this.#admit();
    }
  }

  #admit(): void {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (this.#owned || (next.exclusive && this.#sharers > 0)) return;
      this.#queue.shift();
      if (next.exclusive) this.#owned = true;
      else this.#sharers += 1;
      next.start();
    }
  }
}
