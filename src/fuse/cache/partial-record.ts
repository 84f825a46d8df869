/**
 * The record beside a partial file: which of its ranges are valid. A line of JSON and a line with its CRC-32, so that a damaged
 * record is told from a valid one. Ranges are only ever added, so an old record of the same file is true too, only incomplete.
 */
import { crc32 } from "node:zlib";
import { RangeSet } from "#core/ranges.ts";

/** The record's text for a version of `size` bytes. */
export function encodePartialRecord(size: number, ranges: RangeSet): string {
  const line = JSON.stringify({ size, ranges });
  return `${line}\n${crc32(line).toString(16)}\n`;
}

/** The ranges a record names, or undefined when it is damaged or of another size. */
export function decodePartialRecord(text: string, size: number): RangeSet | undefined {
  const [line = "", checksum] = text.split("\n");
  if (checksum !== crc32(line).toString(16)) return undefined;
  try {
    const record: unknown = JSON.parse(line);
    if (typeof record !== "object" || record === null || !("ranges" in record) || !("size" in record)) return undefined;
    if (record.size !== size || !Array.isArray(record.ranges)) return undefined;
    const ranges = RangeSet.from(record.ranges);
    return ranges.end <= size ? ranges : undefined;
  } catch {
    return undefined;
  }
}
