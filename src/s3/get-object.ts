/** HeadObject and GetObject. */
import { crc32 } from "node:zlib";
import type { Etag } from "#core/brand.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { S3Http, S3Request, S3Stream } from "./http.ts";
import { etagOf, headerOf, infoOf, type ResponseHeaders } from "./object-headers.ts";
import type { CallOptions, GetOptions, ObjectBody, ObjectInfo } from "./object-store.ts";
import { base64OfCrc32 } from "./payload.ts";

/** A body that breaks is continued where it broke, so often; each time the call's own retries come on top. */
const RESUMES = 4;

/** What a HEAD tells. */
export async function headObject(http: S3Http, key: string, options?: CallOptions): Promise<ObjectInfo> {
  const { headers } = await http.send({ operation: "HeadObject", key }, options);
  return infoOf(key, Number(headerOf(headers, "content-length") ?? 0), headers);
}

/**
 * Starts reading an object or a range of it. A body that breaks half-way is continued with a ranged GET of the same
 * ETag: then the reader notices nothing, or gets `stale` when the object was replaced meanwhile.
 */
export async function getObject(http: S3Http, key: string, options: GetOptions = {}): Promise<ObjectBody> {
  const { range, ifMatch, into } = options;
  if (range && !(range.start >= 0 && range.start < range.end)) {
    throw new DriverError("bad_argument", `GetObject "${key}": the range ${range.start} to ${range.end} is empty`, { context: { key } });
  }
  const first = await http.open(requestOf(key, range, ifMatch, into), options);
  const shape = shapeOf(key, first, range);
  const info = infoOf(key, shape.size, first.headers);
  if (ifMatch !== undefined && info.etag !== ifMatch) {
    // The server passed over If-Match.
    first.discard();
    throw new DriverError("stale", `GetObject "${key}": the object was replaced`, { context: { key } });
  }
  const current = { stream: first };
  let cancelled = false;
  const resume = async (position: number): Promise<S3Stream> => {
    if (cancelled) throw new DriverError("interrupted", "the body was cancelled");
    const rest = { start: shape.start + position, end: shape.start + shape.length };
    current.stream = await http.open(requestOf(key, rest, info.etag, into?.subarray(position)), options);
    if (cancelled) current.stream.discard();
    if (etagOf(current.stream.headers, key) !== info.etag) {
      current.stream.discard();
      throw new DriverError("stale", `GetObject "${key}": the object was replaced while it was read`, { context: { key } });
    }
    shapeOf(key, current.stream, rest);
    return current.stream;
  };
  const expectedCrc32 = shape.whole ? wholeObjectCrc32(first.headers) : undefined;
  return {
    ...{ info, length: shape.length },
    stream: readBody({ key, length: shape.length, expectedCrc32, first, resume }),
    cancel: () => {
      cancelled = true;
      current.stream.discard();
    },
  };
}

function requestOf(key: string, range: GetOptions["range"], ifMatch: Etag | undefined, into: Uint8Array | undefined): S3Request {
  return {
    ...{ operation: "GetObject", key, into },
    headers: {
      ...(range ? { range: `bytes=${range.start}-${range.end - 1}` } : { "x-amz-checksum-mode": "ENABLED" }),
      ...(ifMatch === undefined ? {} : { "if-match": ifMatch }),
    },
  };
}

interface Shape {
  /** The whole object's size. */
  readonly size: number;
  readonly start: number;
  readonly length: number;
  readonly whole: boolean;
}

/**
 * What the response holds. Some servers pass over Range, or send more than was asked for: what follows is cut off, but a body
 * that begins elsewhere is refused, not misread.
 */
function shapeOf(key: string, { status, headers, discard }: S3Stream, range: GetOptions["range"]): Shape {
  const received = Number(headerOf(headers, "content-length") ?? Number.NaN);
  const [, from, , total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headerOf(headers, "content-range") ?? "") ?? [];
  const partial = status === 206 && from !== undefined;
  const [start, size] = partial ? [Number(from), Number(total)] : [0, received];
  if (!Number.isSafeInteger(received) || start !== (range?.start ?? 0) || (partial && range === undefined)) {
    discard();
    throw new DriverError("internal", `GetObject "${key}": the server answered with other bytes than asked for`, {
      context: { key, status },
    });
  }
  const length = range ? Math.min(range.end, size) - start : size;
  return { size, start, length, whole: !partial && length === size };
}

/** The CRC-32 of the object's bytes, where the server knows it. Sums of parts (`...-3`, COMPOSITE) are something else. */
function wholeObjectCrc32(headers: ResponseHeaders): string | undefined {
  const value = headerOf(headers, "x-amz-checksum-crc32");
  return value === undefined || value.includes("-") || headerOf(headers, "x-amz-checksum-type") === "COMPOSITE" ? undefined : value;
}

interface BodyPlan {
  readonly key: string;
  readonly length: number;
  readonly expectedCrc32: string | undefined;
  readonly first: S3Stream;
  /** Opens the body anew from this position on. */
  readonly resume: (position: number) => Promise<S3Stream>;
}

async function* readBody({ key, length, expectedCrc32, first, resume }: BodyPlan): AsyncGenerator<Uint8Array> {
  let position = 0;
  let sum = 0;
  let stream = first;
  for (let resumes = 0; ; resumes++) {
    try {
      for await (const received of stream.chunks) {
        const chunk = position + received.byteLength > length ? received.subarray(0, length - position) : received;
        position += chunk.byteLength;
        if (expectedCrc32 !== undefined) sum = crc32(chunk, sum);
        yield chunk;
        if (position === length && chunk.byteLength < received.byteLength) break;
      }
      if (position !== length) throw tooShort(key, position, length);
      break;
    } catch (error) {
      if (position >= length || resumes === RESUMES || !isFault(error, "unavailable", "timed_out", "throttled")) throw error;
    }
    stream = await resume(position);
  }
  if (expectedCrc32 !== undefined && base64OfCrc32(sum) !== expectedCrc32) {
    throw new DriverError("corrupt", `GetObject "${key}": the ${length} bytes received do not have the checksum ${expectedCrc32}`, {
      context: { key },
    });
  }
}

function tooShort(key: string, position: number, length: number): DriverError {
  return new DriverError("unavailable", `GetObject "${key}": the body ended at ${position} of ${length} bytes`, { context: { key } });
}
