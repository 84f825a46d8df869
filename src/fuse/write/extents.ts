/**
 * Which bytes of a spool file are its own and which are still only in the base version; and which are the same in both. Pure.
 *
 * The rule: a byte counts as local when it was written or fetched here, when it lies at or beyond the base's size, or when the file was
 * once cut below it. The last is what makes "cut, then grow again" read as zeros: the spool file has a hole there, and the base's old
 * bytes must not shine through it. So a cut to `size` makes all of [size, base size) local for good. What is local and was not fetched
 * counts as changed.
 *
 * An upload makes a new version of the bytes as they are at its beginning (`begin`), while writes go on. When it is stored, that version
 * is the base of what follows (`stored`): only what was written since the beginning differs from it.
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
  readonly #local = new RangeSet();
  /** Those among them that may differ from the base. */
  readonly #changed = new RangeSet();
  /** Changes since the last `begin`, of the whole file. */
  #since: RangeSet | undefined;

  /** `local`: what an earlier engine had (its `ranges()`); none for a fresh overlay. `changed`: what of it is not as in the base; default all. */
  constructor(baseSize: number, local: Iterable<Range> = [], changed: Iterable<Range> = local) {
    this.baseSize = baseSize;
    for (const [start, end] of local) addBelow(baseSize, this.#local, start, end);
    for (const [start, end] of changed) addBelow(baseSize, this.#changed, start, end);
  }

  /** Nothing is left to be taken from the base. */
  get whole(): boolean {
    return this.#local.has(0, this.baseSize);
  }

  /** Nothing of the base is in the file any more. */
  get isReplaced(): boolean {
    return this.#changed.has(0, this.baseSize);
  }

  /** Bytes [start, end) were written to the spool file. */
  written(start: number, end: number): void {
    this.filled(start, end);
    addBelow(this.baseSize, this.#changed, start, end);
    this.#since?.add(start, end);
  }

  /** Bytes [start, end) were fetched from the base into the spool file. */
  filled(start: number, end: number): void {
    addBelow(this.baseSize, this.#local, start, end);
  }

  /** The file was cut or grown to `size`. */
  truncated(size: number): void {
    this.written(size, Math.max(size, this.baseSize));
    this.#since?.add(size, Number.MAX_SAFE_INTEGER);
  }

  /** The parts of [0, size) that may differ from the base, what lies beyond its end included. */
  changes(size: number): Range[] {
    const changes = this.#changed.present(0, Math.min(size, this.baseSize));
    return size > this.baseSize ? [...changes, [this.baseSize, size]] : changes;
  }

  /** An upload of the present content begins. */
  begin(): void {
    this.#since = new RangeSet();
  }

  /** What was begun is stored, with `size` bytes: the extents over that version. */
  stored(size: number): Extents {
    const beyond: Range[] = size > this.baseSize ? [[this.baseSize, size]] : [];
    return new Extents(size, [...this.#local, ...beyond], this.#since ?? [...this.#changed, ...beyond]);
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
}

function addBelow(limit: number, set: RangeSet, start: number, end: number): void {
  const last = Math.min(end, limit);
  if (start < last) set.add(start, last);
}
