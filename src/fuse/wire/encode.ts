/**
 * Replies as bytes. Header and structs of a reply are built in one small scratch buffer that is used again and again: a
 * reply is written with one synchronous system call, so the buffer is free when that returns.
 */
import type { Struct } from "#core/struct.ts";
import { GetxattrOut, OutHeader } from "./abi.ts";
import type { Bytes, ReplyKind } from "./ops.ts";

// biome-ignore lint/suspicious/noExplicitAny: any struct of the op table
type AnyStruct = Struct<any>;

/** Header and the largest pair of structs (EntryOut, OpenOut) fit with room to spare. */
const SCRATCH_SIZE = 512;

/** IOV_MAX of Linux is 1024: one for the header, the rest for pieces. */
const MAX_PIECES = 1000;

const UNIQUE = OutHeader.offsets.unique;

/** What is written to the device for one reply. */
export type Packet = readonly Uint8Array[];

function join(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

export class ReplyEncoder {
  readonly #bytes = new Uint8Array(SCRATCH_SIZE);
  readonly #view = new DataView(this.#bytes.buffer);

  #header(low: number, high: number, error: number, bodySize: number): void {
    this.#view.setUint32(0, OutHeader.size + bodySize, true);
    this.#view.setInt32(OutHeader.offsets.error, error, true);
    this.#view.setUint32(UNIQUE, low, true);
    this.#view.setUint32(UNIQUE + 4, high, true);
  }

  /** An error, or with errno 0 an empty success. Valid until the next call, as all packets are. */
  status(low: number, high: number, errno: number): Packet {
    this.#header(low, high, -errno, 0);
    return [this.#bytes.subarray(0, OutHeader.size)];
  }

  /** A success with the value that the handler of an op of this reply kind answered. */
  reply(low: number, high: number, kind: Exclude<ReplyKind, "none">, value: unknown): Packet {
    if (kind === "empty") return this.status(low, high, 0);
    if (kind === "bytes") return this.#data(low, high, value as Bytes);
    if (kind === "size-or-bytes") {
      return value instanceof Uint8Array ? this.#data(low, high, value) : this.#structs(low, high, [GetxattrOut], [value]);
    }
    return "at" in kind && "offsets" in kind
      ? this.#structs(low, high, [kind], [value])
      : this.#structs(low, high, kind as readonly AnyStruct[], value as readonly unknown[]);
  }

  #data(low: number, high: number, value: Bytes): Packet {
    const given = value instanceof Uint8Array ? [value] : value;
    const pieces = given.length > MAX_PIECES ? [join(given)] : given;
    let size = 0;
    for (const piece of pieces) size += piece.length;
    this.#header(low, high, 0, size);
    return [this.#bytes.subarray(0, OutHeader.size), ...pieces];
  }

  #structs(low: number, high: number, kinds: readonly AnyStruct[], values: readonly unknown[]): Packet {
    let at = OutHeader.size;
    for (const [i, kind] of kinds.entries()) {
      kind.write(this.#view, at, values[i] as never);
      at += kind.size;
    }
    this.#header(low, high, 0, at - OutHeader.size);
    return [this.#bytes.subarray(0, at)];
  }
}
