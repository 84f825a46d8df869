/**
 * Lookups that are over, given back late: a node that nobody has looked up is forgotten by the file system, and gets another number
 * (st_ino) at its next lookup. A path is walked anew for each operation, so without this stat(2) of one file would tell two numbers, by
 * which tar and others take it for two files. The kernel's own cache of names does the same for a channel that works by nodes.
 */
export class KeptLookups {
  readonly #limit: number;
  readonly #forget: (node: number, count: number) => void;
  /** Lookups by node, the one that is given back next first. */
  readonly #kept = new Map<number, number>();

  /** Keeps up to `limit` nodes. */
  constructor(limit: number, forget: (node: number, count: number) => void) {
    this.#limit = limit;
    this.#forget = forget;
  }

  /** One lookup of `node` is over. */
  giveBack(node: number): void {
    const count = (this.#kept.get(node) ?? 0) + 1;
    this.#kept.delete(node);
    this.#kept.set(node, count);
    if (this.#kept.size > this.#limit) this.#forgetOldest();
  }

  #forgetOldest(): void {
    for (const [node, count] of this.#kept) {
      this.#kept.delete(node);
      this.#forget(node, count);
      return;
    }
  }
}
