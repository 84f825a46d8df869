/**
 * How a large object is cut into parts. Pure.
 *
 * S3's rules: 1 to 10,000 parts; each 5 MiB to 5 GiB, the last may be smaller.
 */
import { DriverError } from "#core/errors.ts";

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
