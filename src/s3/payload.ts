/** What is sent: its length, its bytes, its CRC-32; from memory or from a range of an open file. */
import { read } from "node:fs";
import { crc32 } from "node:zlib";
import { DriverError } from "#core/errors.ts";
import type { Payload } from "./object-store.ts";

/**
 * A file range up to this size is read into memory once, so that its checksum and its sending share one read; above
 * it the file is read twice, in chunks, and memory stays flat. The upper layers' usual part is 8 to 16 MiB.
 */
const IN_MEMORY_BYTES = 16 << 20;

/** One read(2) of a streamed file range. */
const CHUNK_BYTES = 1 << 20;

/** A payload ready to be sent, as often as retries want it. */
export interface PreparedPayload {
  readonly length: number;
  /** Base64 of the big-endian CRC-32, as `x-amz-checksum-crc32` has it. */
  readonly crc32: string;
  /** Something undici takes as a body; a fresh one each time. */
  body(): Uint8Array | AsyncIterable<Uint8Array>;
}

/** Bytes the payload has. */
export function payloadLength(payload: Payload): number {
  return payload instanceof Uint8Array ? payload.byteLength : payload.end - payload.start;
}

/** All bytes of a payload in memory. Throws `corrupt` when the file is shorter than the range. */
export async function readPayload(payload: Payload): Promise<Uint8Array> {
  if (payload instanceof Uint8Array) return payload;
  const bytes = Buffer.allocUnsafe(payloadLength(payload));
  await readFully(payload.fd, bytes, payload.start);
  return bytes;
}

/** Reads what must be read before sending: the bytes, or for a large file range one pass for its checksum. */
export async function preparePayload(payload: Payload): Promise<PreparedPayload> {
  const length = payloadLength(payload);
  if (payload instanceof Uint8Array || length <= IN_MEMORY_BYTES) {
    const bytes = await readPayload(payload);
    return { length, crc32: base64OfCrc32(crc32(bytes)), body: () => bytes };
  }
  const { fd, start, end } = payload;
  let sum = 0;
  for await (const chunk of fileChunks(fd, start, end)) sum = crc32(chunk, sum);
  return { length, crc32: base64OfCrc32(sum), body: () => fileChunks(fd, start, end) };
}

/** A CRC-32 as S3's checksum headers have it. */
export function base64OfCrc32(value: number): string {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes.toString("base64");
}

async function* fileChunks(fd: number, start: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; at += CHUNK_BYTES) {
    // A new buffer each time: undici may still hold the last one.
    const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - at));
    await readFully(fd, chunk, at);
    yield chunk;
  }
}

async function readFully(fd: number, into: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < into.byteLength; ) {
    const count = await readSome(fd, into, done, position + done);
    if (count === 0) throw new DriverError("corrupt", `the file to upload ends ${into.byteLength - done} bytes too early`);
    done += count;
  }
}

function readSome(fd: number, into: Uint8Array, offset: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, into, offset, into.byteLength - offset, position, (error, count) =>
      error ? reject(DriverError.from(error)) : resolve(count),
    );
  });
}
