/** What is sent: its length, its bytes, its checksum; from memory or from a range of an open file. */
import { createHash } from "node:crypto";
import { read } from "node:fs";
import { crc32 } from "node:zlib";
import { DriverError } from "#core/errors.ts";
import { BufferPool } from "./buffer-pool.ts";
import type { Payload } from "./object-store.ts";

/**
 * A file range up to this size is read into memory once, so that its checksum and its sending share one read; above
 * it the file is read twice, in chunks, and memory stays flat. The upper layers' usual part is 8 to 16 MiB.
 */
const IN_MEMORY_BYTES = 16 << 20;

export const CRC32_HEADER = "x-amz-checksum-crc32";

/** One read(2) of a streamed file range. */
const CHUNK_BYTES = 1 << 20;

/** How the server checks what arrives. `md5` where CRC-32 may not be used: it costs ten times as much. */
export type Checksum = "crc32" | "md5";

/** A payload ready to be sent, as often as retries want it. */
export interface PreparedPayload {
  readonly length: number;
  /** The header that carries its checksum. */
  readonly checksum: Readonly<Record<string, string>>;
  /** Something undici takes as a body; a fresh one each time. */
  body(): Uint8Array | AsyncIterable<Uint8Array>;
  /** The server has it all and no body of it is used any more. Not called after a failure. */
  done(): void;
}

/** Shared by all stores of the process: it is about memory, not about a server. */
const pool = new BufferPool();

/** Bytes the payload has. */
export function payloadLength(payload: Payload): number {
  return payload instanceof Uint8Array ? payload.byteLength : payload.end - payload.start;
}

/** All bytes of a payload in memory. Throws `corrupt` when the file is shorter than the range. */
export async function readPayload(payload: Payload): Promise<Uint8Array> {
  return payload instanceof Uint8Array ? payload : readInto(Buffer.allocUnsafe(payloadLength(payload)), payload);
}

type FileRange = Exclude<Payload, Uint8Array>;

async function readInto(bytes: Buffer, { fd, start, seen }: FileRange): Promise<Buffer> {
  await readFully(fd, bytes, start);
  seen?.(bytes);
  return bytes;
}

/** Reads what must be read before sending: the bytes, or for a large file range one pass for its checksum. */
export async function preparePayload(payload: Payload, kind: Checksum = "crc32"): Promise<PreparedPayload> {
  const length = payloadLength(payload);
  const sum = kind === "crc32" ? crc32Sum() : md5Sum();
  if (payload instanceof Uint8Array) {
    sum.add(payload);
    return { length, checksum: sum.header(), body: () => payload, done: () => undefined };
  }
  if (length <= IN_MEMORY_BYTES) return inMemory(payload, sum);
  const { fd, start, end, seen } = payload;
  for await (const chunk of fileChunks(fd, start, end)) {
    sum.add(chunk);
    seen?.(chunk);
  }
  return { length, checksum: sum.header(), body: () => fileChunks(fd, start, end), done: () => undefined };
}

async function inMemory(payload: FileRange, sum: Sum): Promise<PreparedPayload> {
  const length = payloadLength(payload);
  const bytes = await readInto(pool.take(length), payload);
  sum.add(bytes);
  let bodies = 0;
  return {
    ...{ length, checksum: sum.header() },
    body: () => {
      bodies += 1;
      return bytes;
    },
    // When an attempt failed, what was left of it may still wait to be written to its connection.
    done: () => {
      if (bodies === 1) pool.give(bytes);
    },
  };
}

interface Sum {
  add(bytes: Uint8Array): void;
  header(): Readonly<Record<string, string>>;
}

function crc32Sum(): Sum {
  let value = 0;
  return {
    add: (bytes) => {
      value = crc32(bytes, value);
    },
    header: () => ({ [CRC32_HEADER]: base64OfCrc32(value) }),
  };
}

function md5Sum(): Sum {
  const hash = createHash("md5");
  return { add: (bytes) => void hash.update(bytes), header: () => ({ "content-md5": hash.digest("base64") }) };
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
