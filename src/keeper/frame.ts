/**
 * How requests and answers lie on the stream: two lengths (u32, little-endian), a header in JSON, then a blob. A descriptor travels with
 * the frame's first byte.
 */
import { closeSync } from "node:fs";
import { DriverError } from "#core/errors.ts";
import type { UnixSocket } from "#fuse/channel/unix-socket.ts";
import { MAX_BLOB_BYTES } from "./protocol.ts";

export interface Frame {
  readonly header: unknown;
  readonly blob: Uint8Array;
  /** Whoever reads the frame closes it. */
  readonly fd: number | undefined;
}

/** What frames need of a socket. */
export type FrameStream = Pick<UnixSocket, "send" | "receive">;

const PREFIX_BYTES = 8;
/** A list of all volumes that a node can have. */
const MAX_HEADER_BYTES = 1 << 20;

export function sendFrame(stream: FrameStream, header: object, blob: Uint8Array = new Uint8Array(), fd?: number): Promise<void> {
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32LE(text.length, 0);
  prefix.writeUInt32LE(blob.length, 4);
  return stream.send(Buffer.concat([prefix, text, blob]), fd);
}

/**
 * The next frame; undefined when the other end closed between two. Fault `corrupt` for bytes that are no frame: nothing more can be read
 * from the stream then. Descriptors of a frame that does not come whole are closed.
 */
export async function receiveFrame(stream: FrameStream): Promise<Frame | undefined> {
  const fds: number[] = [];
  try {
    const prefix = await receiveExactly(stream, PREFIX_BYTES, fds);
    if (prefix === undefined) return undefined;
    const [headerBytes, blobBytes] = [prefix.readUInt32LE(0), prefix.readUInt32LE(4)];
    if (headerBytes > MAX_HEADER_BYTES || blobBytes > MAX_BLOB_BYTES) throw new DriverError("corrupt", "a frame is longer than any can be");
    const body = await receiveExactly(stream, headerBytes + blobBytes, fds);
    if (body === undefined || fds.length > 1) throw new DriverError("corrupt", "a frame is not whole, or has more than one descriptor");
    const frame = { header: parse(body.subarray(0, headerBytes)), blob: body.subarray(headerBytes), fd: fds[0] };
    fds.length = 0;
    return frame;
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

/** Undefined when the stream ended before the first of the bytes. */
async function receiveExactly(stream: FrameStream, length: number, fds: number[]): Promise<Buffer | undefined> {
  // A buffer of its own: blobs are kept, and would keep a whole pool alive.
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let filled = 0; filled < length; ) {
    const received = await stream.receive(bytes.subarray(filled));
    if (received.fd !== undefined) fds.push(received.fd);
    if (received.bytes === 0 && filled === 0) return undefined;
    if (received.bytes === 0) throw new DriverError("corrupt", "the stream ended within a frame");
    filled += received.bytes;
  }
  return bytes;
}

function parse(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString());
  } catch {
    throw new DriverError("corrupt", "a frame's header is no JSON");
  }
}
