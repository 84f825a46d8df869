/**
 * `RangeSet`: a set of byte positions kept as sorted, disjoint, non-touching half-open ranges [start, end).
 *
 * What a sparse file holds is such a set. Sets stay small in practice (sequential filling merges into one range), so a
 * sorted array with binary search beats a tree: look-ups are O(log n), changes O(n) moves of numbers.
 */

/** Half-open: positions `start` to `end - 1`. */
export type Range = readonly [start: number, end: number];

export class RangeSet {
  /** Bounds in order: start 0, end 0, start 1, end 1, ... strictly increasing. */
  #bounds: number[] = [];

  /** A set of these ranges, in any order, overlapping or not. Throws RangeError on bounds that are not safe integers in order. */
  static from(ranges: Iterable<Range>): RangeSet {
    const set = new RangeSet();
    for (const [start, end] of ranges) set.add(start, end);
    return set;
  }

  /** Adds [start, end); an empty range changes nothing. */
  add(start: number, end: number): void {
    check(start, end);
    if (start === end) return;
    // A bound equal to `start` or `end` touches: the ranges merge.
    const from = this.#firstAtLeast(start);
    const to = this.#firstAbove(end);
    const insert: number[] = [];
    if (from % 2 === 0) insert.push(start);
    if (to % 2 === 0) insert.push(end);
    this.#bounds.splice(from, to - from, ...insert);
  }

  /** Takes [start, end) away; an empty range changes nothing. */
  remove(start: number, end: number): void {
    check(start, end);
    if (start === end) return;
    const from = this.#firstAtLeast(start);
    const to = this.#firstAbove(end);
    const insert: number[] = [];
    if (from % 2 === 1) insert.push(start);
    if (to % 2 === 1) insert.push(end);
    this.#bounds.splice(from, to - from, ...insert);
  }

  /** True when all of [start, end) is in the set; true for an empty range. */
  has(start: number, end: number): boolean {
    check(start, end);
    if (start === end) return true;
    const after = this.#firstAbove(start);
    return after % 2 === 1 && (this.#bounds[after] ?? 0) >= end;
  }

  /** The parts of [start, end) that are not in the set, in order. */
  missing(start: number, end: number): Range[] {
    check(start, end);
    const gaps: Range[] = [];
    let at = start;
    for (let i = this.#firstAbove(start) & ~1; at < end; i += 2) {
      const nextStart = this.#bounds[i] ?? Number.MAX_SAFE_INTEGER;
      if (nextStart > at) gaps.push([at, Math.min(nextStart, end)]);
      at = this.#bounds[i + 1] ?? end;
    }
    return gaps;
  }

  /** The parts of [start, end) that are in the set, in order. */
  present(start: number, end: number): Range[] {
    check(start, end);
    const found: Range[] = [];
    for (let i = this.#firstAbove(start) & ~1; i < this.#bounds.length; i += 2) {
      const from = Math.max(this.#bounds[i] ?? 0, start);
      const to = Math.min(this.#bounds[i + 1] ?? 0, end);
      if (from >= end) break;
      if (from < to) found.push([from, to]);
    }
    return found;
  }

  /** Positions in the set: bytes. */
  get size(): number {
    let total = 0;
    for (let i = 0; i < this.#bounds.length; i += 2) total += (this.#bounds[i + 1] ?? 0) - (this.#bounds[i] ?? 0);
    return total;
  }

  /** How many separate ranges there are. */
  get count(): number {
    return this.#bounds.length / 2;
  }

  get isEmpty(): boolean {
    return this.#bounds.length === 0;
  }

  /** One past the last position of the set; 0 when it is empty. */
  get end(): number {
    return this.#bounds.at(-1) ?? 0;
  }

  clear(): void {
    this.#bounds = [];
  }

  clone(): RangeSet {
    const copy = new RangeSet();
    copy.#bounds = this.#bounds.slice();
    return copy;
  }

  *[Symbol.iterator](): Iterator<Range> {
    for (let i = 0; i < this.#bounds.length; i += 2) yield [this.#bounds[i] ?? 0, this.#bounds[i + 1] ?? 0];
  }

  /** Ranges in order: what `RangeSet.from` takes, and what a JSON text of the set holds. */
  toJSON(): Range[] {
    return [...this];
  }

  /** Index of the first bound >= position. */
  #firstAtLeast(position: number): number {
    let low = 0;
    let high = this.#bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#bounds[middle] ?? 0) < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of the first bound > position. Odd: the position is inside a range, whose end that bound is. */
  #firstAbove(position: number): number {
    let low = 0;
    let high = this.#bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#bounds[middle] ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function check(start: number, end: number): void {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) {
    throw new RangeError(`not a range: [${start}, ${end})`);
  }
}
