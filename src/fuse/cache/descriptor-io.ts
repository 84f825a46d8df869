/**
 * Whole reads and writes at a position of an open file, through the thread pool: read(2) and writev(2) may do less than asked.
 */
import { openSync, read, writev } from "node:fs";
import { DriverError } from "#core/errors.ts";

/**
 * One write(2) of more makes ext4 ask for page cache in blocks of that size, which a machine in use has to search for: 512 MiB in writes of
 * 8 MiB took 0.6 to 1.2 s of system time, of 2 MiB 0.4 to 0.6 s, of 1 MiB and less 0.1 s (Linux 6.18).
 */
const WRITE_BYTES = 1 << 20;

/** Exactly the bytes [start, end). Throws `corrupt` when the file ends before. */
export function readFully(fd: number, start: number, end: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    // Large enough never to come from Buffer's shared pool: the bytes are handed on without a copy.
    const data = Buffer.allocUnsafeSlow(end - start);
    const step = (done: number) => {
      if (done === data.length) return resolve(data);
      read(fd, data, done, data.length - done, start + done, (error, count) => {
        if (error !== null) return reject(DriverError.from(error));
        if (count === 0) return reject(new DriverError("corrupt", `a cached file ends at ${start + done}, before ${end}`));
        step(done + count);
      });
    };
    step(0);
  });
}

/** Writes all pieces, one after the other, from `offset` on. System errors come as they are: the caller may make room and repeat. */
export function writeFully(fd: number, offset: number, pieces: readonly Uint8Array[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const step = (rest: readonly Uint8Array[], at: number) => {
      if (rest.length === 0) return resolve();
      writev(fd, firstBytes(rest, WRITE_BYTES), at, (error, count) => {
        if (error !== null) return reject(error);
        step(skipBytes(rest, count), at + count);
      });
    };
    step(
      pieces.filter((piece) => piece.length > 0),
      offset,
    );
  });
}

/** The pieces' first `count` bytes, or all. */
function firstBytes(pieces: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let left = count;
  for (const [index, piece] of pieces.entries()) {
    if (piece.length >= left) return [...pieces.slice(0, index), piece.subarray(0, left)];
    left -= piece.length;
  }
  return pieces;
}

/** The pieces without their first `count` bytes. */
function skipBytes(pieces: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let left = count;
  for (const [index, piece] of pieces.entries()) {
    if (left < piece.length) return left === 0 ? pieces.slice(index) : [piece.subarray(left), ...pieces.slice(index + 1)];
    left -= piece.length;
  }
  return [];
}

/** Opens for reading and writing; undefined when there is no such file. */
export function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, "r+");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw DriverError.from(error);
  }
}

/** True for ENOENT. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === "ENOENT";
}
