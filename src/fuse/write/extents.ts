/**
 * Which bytes of a spool file are its own and which are still only in the base version. Pure.
 *
 * The rule: a byte counts as local when it was written here, when it lies at or beyond the base's size, or when the file was once
 * cut below it. The last is what makes "cut, then grow again" read as zeros: the spool file has a hole there, and the base's old
 * bytes must not shine through it. So a cut to `size` makes all of [size, base size) local for good.
 */
import { type Range, RangeSet } from "#core/ranges.ts";

/** A run of bytes that come from one place. */
export interface Piece {
  readonly from: "spool" | "base";
  readonly start: number;
  readonly end: number;
}

export class Extents {
  readonly baseSize: number;
  /** Local bytes below `baseSize`. */
  readonly #local: RangeSet;

  /** `local`: what an earlier engine had (its `ranges()`); none for a fresh overlay. */
  constructor(baseSize: number, local: Iterable<Range> = []) {
    this.baseSize = baseSize;
    this.#local = new RangeSet();
    for (const [start, end] of local) this.#add(start, end);
  }

  /** Nothing is left to be taken from the base. */
  get whole(): boolean {
    return this.#local.has(0, this.baseSize);
  }

  /** Bytes [start, end) are now in the spool file. */
  written(start: number, end: number): void {
    this.#add(start, end);
  }

  /** The file was cut or grown to `size`. */
  truncated(size: number): void {
    this.#add(size, this.baseSize);
  }

  /** [start, end) as runs, in order and without a gap. */
  pieces(start: number, end: number): Piece[] {
    const pieces: Piece[] = [];
    let at = start;
    for (const [gapStart, gapEnd] of this.missing(start, end)) {
      if (gapStart > at) pieces.push({ from: "spool", start: at, end: gapStart });
      pieces.push({ from: "base", start: gapStart, end: gapEnd });
      at = gapEnd;
    }
    if (at < end) pieces.push({ from: "spool", start: at, end });
    return pieces;
  }

  /** The parts of [start, end) that only the base has. */
  missing(start: number, end: number): Range[] {
    const last = Math.min(end, this.baseSize);
    return start < last ? this.#local.missing(start, last) : [];
  }

  /** For the state store: what the constructor takes. */
  ranges(): Range[] {
    return [...this.#local];
  }

  #add(start: number, end: number): void {
    const last = Math.min(end, this.baseSize);
    if (start < last) this.#local.add(start, last);
  }
}
