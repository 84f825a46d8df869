/**
 * Reads the frames of a journal, a window at a time, up to its end or to the first that is not right.
 */
import fs from "node:fs";
import { decodeFrame, FRAME_BYTES, type Frame, windowOf } from "./record.ts";

/** `length` bytes from `start`; fewer only at the end of the source. The array may be reused by the next call. */
export type ByteSource = (start: number, length: number) => Uint8Array;

export interface PlacedFrame {
  readonly frame: Frame;
  /** Its place in the journal. */
  readonly offset: number;
}

/**
 * How the reading ended.
 * - `whole`: the last frame ends where the journal ends.
 * - `torn`: the last write did not get through (a crash): what follows `end` is part of one frame, or zeros.
 * - `damaged`: something after a good frame is wrong, and more follows it.
 */
export interface ReadEnd {
  readonly state: "whole" | "torn" | "damaged";
  /** One past the last good frame. */
  readonly end: number;
}

/** Enough for thousands of small frames a read. */
const WINDOW_BYTES = 256 << 10;

/** Yields the good frames of [start, end) in order; a frame's bytes are valid until the next is taken. */
export function* readFrames(source: ByteSource, start: number, end: number): Generator<PlacedFrame, ReadEnd> {
  let windowStart = start;
  let window = windowOf(new Uint8Array(0));
  let offset = start;
  while (offset < end) {
    const found = decodeFrame(window, offset - windowStart);
    if (found === undefined) return { state: isTorn(source, offset, end) ? "torn" : "damaged", end: offset };
    if ("needed" in found) {
      if (offset + found.needed > end) return { state: "torn", end: offset };
      window = windowOf(source(offset, Math.min(Math.max(found.needed, WINDOW_BYTES), end - offset)));
      windowStart = offset;
      if (window.bytes.byteLength < found.needed) return { state: "torn", end: offset };
      continue;
    }
    yield { frame: found, offset };
    offset += found.end - found.start;
  }
  return { state: "whole", end: offset };
}

/** A source over an open file. */
export function fileSource(fd: number): ByteSource {
  let buffer = Buffer.allocUnsafe(WINDOW_BYTES);
  return (start, length) => {
    if (buffer.byteLength < length) buffer = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const count = fs.readSync(fd, buffer, done, length - done, start + done);
      if (count === 0) break;
      done += count;
    }
    return buffer.subarray(0, done);
  };
}

/**
 * Is the wrong frame at `offset` the last thing in the journal? Then it is a write that a crash cut off: of its right length but with
 * bytes missing inside, or a run of zeros where a file system had grown the file before its data was written.
 */
function isTorn(source: ByteSource, offset: number, end: number): boolean {
  const head = source(offset, Math.min(FRAME_BYTES, end - offset));
  const length = new DataView(head.buffer, head.byteOffset, head.byteLength).getUint32(4, true);
  if (offset + FRAME_BYTES + length === end) return true;
  for (let at = offset; at < end; at += WINDOW_BYTES) {
    if (source(at, Math.min(WINDOW_BYTES, end - at)).some((byte) => byte !== 0)) return false;
  }
  return true;
}
