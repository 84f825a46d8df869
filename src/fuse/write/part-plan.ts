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
 * The part size for an object: `wantedBytes`, or as much more, in whole MiB, as 10,000 parts need.
 * Throws `too_big` beyond what parts can hold (48.8 TiB); the store may have a lower limit.
 */
export function partSizeFor(sizeBytes: number, wantedBytes: number): number {
  const needed = Math.ceil(sizeBytes / MAX_PARTS);
  const size = needed <= wantedBytes ? wantedBytes : Math.ceil(needed / MIB) * MIB;
  if (size > MAX_PART_BYTES) throw new DriverError("too_big", `a file of ${sizeBytes} bytes is too large for an object`);
  return size;
}

/** All parts of an object, in order. */
export function* partsOf(sizeBytes: number, partBytes: number): Generator<Part> {
  for (let number = 1, start = 0; start < sizeBytes; number += 1, start += partBytes) {
    yield { number, start, end: Math.min(start + partBytes, sizeBytes) };
  }
}
