/**
 * Requests from bytes, by the op table. Old kernels send shorter structs than the tables have (fuse_init_in before 7.36,
 * fuse_setxattr_in without FUSE_SETXATTR_EXT); what they leave out reads as zero. Bytes a newer kernel adds are passed over.
 */
import { DriverError } from "#core/errors.ts";
import { ForgetOne, FUSE_COMPAT_SETXATTR_IN_SIZE, FUSE_UNIQUE_RESEND_HIGH, InHeader } from "./abi.ts";
import { decodeName } from "./name-codec.ts";
import { OPS, type OpRow, opcodeName } from "./ops.ts";

const U32 = 0x1_0000_0000;
const UNIQUE = InHeader.offsets.unique;

/** A request's bytes: `view` and `bytes` are over the same memory and begin with the header. */
export interface Message {
  readonly view: DataView;
  readonly bytes: Uint8Array;
}

/** A fuse_in_header, copied. */
export interface RequestHeader {
  readonly opcode: number;
  /** `unique` in two halves, as the reply must repeat it bit by bit. */
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly nodeid: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Where the body ends: extensions are behind it. */
  readonly bodyEnd: number;
}

/** What was agreed at INIT about the form of requests. */
export interface DecodeRules {
  readonly setxattrExt: boolean;
}

function malformed(opcode: number, what: string): DriverError {
  return new DriverError("bad_argument", `malformed ${opcodeName(opcode)} request: ${what}`);
}

/** The header of a request of `length` bytes. */
export function decodeHeader({ view }: Message, length: number): RequestHeader {
  const header = InHeader.at(view, 0);
  const { len, opcode } = header;
  if (len !== length) throw malformed(opcode, `${length} bytes, header says ${len}`);
  return {
    opcode,
    uniqueLow: view.getUint32(UNIQUE, true),
    uniqueHigh: view.getUint32(UNIQUE + 4, true),
    nodeid: header.nodeid,
    uid: header.uid,
    gid: header.gid,
    pid: header.pid,
    bodyEnd: length - header.total_extlen * 8,
  };
}

/** `unique` as a number, without the mark of a repeated request: the kernel counts it up by small steps. */
export function uniqueNumber(low: number, high: number): number {
  return (high & ~FUSE_UNIQUE_RESEND_HIGH) * U32 + low;
}

/** True for a request that the kernel repeats after FUSE_NOTIFY_RESEND. */
export function isResent(high: number): boolean {
  return (high & FUSE_UNIQUE_RESEND_HIGH) !== 0;
}

/** The bytes of the `in` struct as sent. */
function inSize(row: OpRow, available: number, rules: DecodeRules): number {
  if (row.in === undefined) return 0;
  if (row.opcode === OPS.SETXATTR.opcode && !rules.setxattrExt) return FUSE_COMPAT_SETXATTR_IN_SIZE;
  return row.names === 0 && !row.payload ? Math.min(row.in.size, available) : row.in.size;
}

/** A live view of the `in` struct; of a zero-filled copy where the kernel sent less than the table has. */
function decodeIn(row: OpRow, { view, bytes }: Message, sent: number): unknown {
  if (sent === row.in?.size) return row.in.at(view, InHeader.size);
  const copy = new Uint8Array(row.in?.size ?? 0);
  copy.set(bytes.subarray(InHeader.size, InHeader.size + sent));
  return row.in?.at(new DataView(copy.buffer), 0);
}

/**
 * What a handler gets behind its request: the struct, the names and the payload, each where the row has it. Struct and
 * payload are views of the message. Throws `bad_argument` for a request that is too short.
 */
export function decodeArguments(row: OpRow, message: Message, bodyEnd: number, rules: DecodeRules): unknown[] {
  const args: unknown[] = [];
  let at = InHeader.size;
  const sent = inSize(row, bodyEnd - at, rules);
  if (at + sent > bodyEnd) throw malformed(row.opcode, `${bodyEnd - at} bytes of body, ${sent} expected`);
  if (row.in !== undefined) args.push(decodeIn(row, message, sent));
  at += sent;
  for (let i = 0; i < row.names; i++) {
    const end = message.bytes.indexOf(0, at);
    if (end < 0 || end >= bodyEnd) throw malformed(row.opcode, "a name has no end");
    args.push(decodeName(message.bytes.subarray(at, end)));
    at = end + 1;
  }
  if (row.payload) args.push(message.bytes.subarray(at, bodyEnd));
  return args;
}

/** The (node, count) pairs of a BATCH_FORGET payload. */
export function* decodeForgets(payload: Uint8Array, count: number): Generator<{ readonly nodeid: number; readonly nlookup: number }> {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  for (let i = 0; i < count; i++) yield ForgetOne.at(view, i * ForgetOne.size);
}
