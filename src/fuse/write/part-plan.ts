/**
 * How a large object is cut into parts. Pure.
 *
 * S3's rules: 1 to 10,000 parts; each 5 MiB to 5 GiB, the last may be smaller.
 */
import { DriverError } from "#core/errors.ts";
import { type Range, RangeSet } from "#core/ranges.ts";

const MAX_PARTS = 10_000;
const MAX_PART_BYTES = 5 * 1024 ** 3;
const MIB = 1 << 20;

export interface Part {
  /** 1 to 10,000. */
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

/**
 * The part size for an object: `wantedBytes`, or as much more, in whole MiB, as `mostParts` (10,000) need.
 * Throws `too_big` beyond what parts can hold (48.8 TiB); the store may have a lower limit.
 */
export function partSizeFor(sizeBytes: number, wantedBytes: number, mostParts = MAX_PARTS): number {
  const needed = Math.ceil(sizeBytes / mostParts);
  const size = needed <= wantedBytes ? wantedBytes : Math.ceil(needed / MIB) * MIB;
  if (size > MAX_PART_BYTES) throw new DriverError("too_big", `a file of ${sizeBytes} bytes is too large for an object`);
  return size;
}

/** The first parts of an object, when their size was settled before its own was known. */
export interface SettledParts {
  readonly count: number;
  readonly partBytes: number;
}

/** All parts of an object, in order: of one size, but for the last; for an object that outgrew 10,000 of the settled ones the rest is cut larger. */
export function planParts(sizeBytes: number, wantedBytes: number, settled: SettledParts = { count: 0, partBytes: wantedBytes }): Part[] {
  const restBytes = Math.max(0, sizeBytes - settled.count * settled.partBytes);
  const partBytes = partSizeFor(restBytes, settled.partBytes, MAX_PARTS - settled.count);
  const parts: Part[] = [];
  for (let start = 0; start < sizeBytes; ) {
    const bytes = parts.length < settled.count ? settled.partBytes : partBytes;
    const end = Math.min(start + bytes, sizeBytes);
    parts.push({ number: parts.length + 1, start, end });
    start = end;
  }
  return parts;
}

/** A part of an object of which the version before has something. */
export interface MixedPart extends Part {
  /** `base`: the version before has the same bytes, and the store may copy them. */
  readonly from: "base" | "spool";
}

/** A copied part is at first so many times as large as a sent one: 64 MiB, of which several are copied side by side. */
const COPIED_CELLS = 8;

/**
 * All parts of an object that differs from the version before in `changed`, in order. Changed bytes lie in parts of `wantedBytes` at
 * multiples of it; what lies between is copied, in parts of up to 5 GiB. Where 10,000 parts would not do, the copied ones
 * grow first: they move no bytes. Throws `too_big` as `partSizeFor` does.
 */
export function planMixedParts(sizeBytes: number, wantedBytes: number, changed: Iterable<Range>): MixedPart[] {
  for (let cell = wantedBytes; ; cell = Math.min(2 * cell, MAX_PART_BYTES)) {
    const sent = cellsOf(sizeBytes, cell, changed);
    const mostCells = Math.floor(MAX_PART_BYTES / cell);
    for (let cells = Math.min(COPIED_CELLS, mostCells); ; cells = Math.min(2 * cells, mostCells)) {
      const parts = cutMixed(sizeBytes, sent, { spool: cell, base: cells * cell });
      if (parts !== undefined) return parts;
      if (cells === mostCells) break;
    }
    if (cell === MAX_PART_BYTES) throw new DriverError("too_big", `a file of ${sizeBytes} bytes is too large for an object`);
  }
}

/** The cells that have a changed byte. */
function cellsOf(sizeBytes: number, cell: number, changed: Iterable<Range>): RangeSet {
  const cells = new RangeSet();
  for (const [start, end] of changed) {
    if (start < end) cells.add(Math.floor(start / cell) * cell, Math.min(sizeBytes, Math.ceil(end / cell) * cell));
  }
  return cells;
}

/** Undefined when 10,000 parts do not do. */
function cutMixed(sizeBytes: number, sent: RangeSet, partBytes: Record<MixedPart["from"], number>): MixedPart[] | undefined {
  const parts: MixedPart[] = [];
  const cut = (from: MixedPart["from"], [start, end]: Range) => {
    for (let at = start; at < end && parts.length <= MAX_PARTS; at += partBytes[from]) {
      parts.push({ number: parts.length + 1, start: at, end: Math.min(end, at + partBytes[from]), from });
    }
  };
  let at = 0;
  for (const [start, end] of sent) {
    cut("base", [at, start]);
    cut("spool", [start, end]);
    at = end;
  }
  cut("base", [at, sizeBytes]);
  return parts.length <= MAX_PARTS ? parts : undefined;
}
