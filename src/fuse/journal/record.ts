/**
 * The records of the journal, byte for byte.
 *
 * A record is a frame and a body. The frame's CRC-32 covers everything after itself, so a torn, flipped or shifted record
 * is found. What has a fixed shape is a struct; names are UTF-16, since they may hold lone surrogates (file names that are
 * not UTF-8) which UTF-8 cannot carry; a dirty row, written once per open file and of many shapes, is JSON, and so is a removal's.
 */
import { crc32 } from "node:zlib";
import type { HandleId, NodeId } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import { struct } from "#core/struct.ts";
import type { DirtyRow, HandleRow, InodeRow, NodeKind, RemovalRow, SessionRow } from "./state-store.ts";

/** One change of the state. Rows are absolute, so that of two records of one id only the later matters. */
export type JournalRecord =
  | { readonly type: "format"; readonly version: number }
  | { readonly type: "counters"; readonly maxNode: number; readonly maxHandle: number }
  | { readonly type: "session"; readonly row: SessionRow }
  | { readonly type: "inode"; readonly row: InodeRow }
  | { readonly type: "inode-dropped"; readonly node: NodeId }
  | { readonly type: "handle"; readonly row: HandleRow }
  | { readonly type: "handle-dropped"; readonly handle: HandleId }
  | { readonly type: "dirty"; readonly row: DirtyRow }
  | { readonly type: "dirty-dropped"; readonly node: NodeId }
  | { readonly type: "connection-begun" }
  | { readonly type: "removal"; readonly row: RemovalRow }
  | { readonly type: "removal-dropped"; readonly node: NodeId };

export type RecordType = JournalRecord["type"];

/** Numbers on disk: never reuse one, add at the end. */
const TYPE_NUMBERS = {
  format: 1,
  counters: 2,
  session: 3,
  inode: 4,
  "inode-dropped": 5,
  handle: 6,
  "handle-dropped": 7,
  dirty: 8,
  "dirty-dropped": 9,
  "connection-begun": 10,
  removal: 11,
  "removal-dropped": 12,
} as const satisfies Record<RecordType, number>;

const TYPE_NAMES = new Map<number, RecordType>(Object.entries(TYPE_NUMBERS).map(([name, number]) => [number, name as RecordType]));

/** `id` is what the record is about: node, handle, version; 0 where there is only one of its kind. */
const FRAME = struct("journal_frame", { crc: "u32", length: "u32", id: "id64", type: "u32", reserved: ["u32", 1] });
const COUNTERS = struct("journal_counters", { maxNode: "id64", maxHandle: "id64" });
const INODE = struct("journal_inode", { parent: "id64", kind: "u32", unlinked: "u32" });
const HANDLE = struct("journal_handle", { node: "id64", flags: "u32", kind: "u32", backingId: "u32", hasBacking: "u32" });

/** Order is the number on disk. */
const KINDS: readonly NodeKind[] = ["file", "dir", "symlink", "special"];

/** Raised when a shape above changes; another version's journal is refused, not guessed at. */
export const FORMAT_VERSION = 1;
export const FRAME_BYTES = FRAME.size;
const CRC_BYTES = 4;
/** A dirty row with 10,000 uploaded parts has about 1.5 MB; a length beyond this is damage. */
export const MAX_BODY_BYTES = 64 << 20;

/** Bytes and a view of them, made once for many records. */
export interface Window {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function windowOf(bytes: Uint8Array): Window {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

/** A record's envelope, checked; the body is not yet looked into. It stands at [start, end) of the window. */
export interface Frame {
  readonly type: RecordType;
  readonly id: number;
  readonly window: Window;
  readonly start: number;
  readonly end: number;
}

/** The record's bytes, frame included. */
export function encodeRecord(record: JournalRecord): Buffer {
  switch (record.type) {
    case "format":
      return encodeFrame("format", record.version, 0);
    case "counters":
      return encodeCounters(record);
    case "session":
      return encodeBytes("session", 0, record.row.init);
    case "inode":
      return encodeInode(record.row);
    case "handle":
      return encodeHandle(record.row);
    case "dirty":
    case "removal":
      return encodeBytes(record.type, record.row.node, Buffer.from(JSON.stringify(record.row)));
    case "handle-dropped":
      return encodeFrame(record.type, record.handle, 0);
    case "inode-dropped":
    case "dirty-dropped":
    case "removal-dropped":
      return encodeFrame(record.type, record.node, 0);
    case "connection-begun":
      return encodeFrame("connection-begun", 0, 0);
  }
}

/** What stands at `start`: a frame, how many bytes are needed to tell (more than there are), or undefined: damage. */
export function decodeFrame(window: Window, start: number): Frame | { readonly needed: number } | undefined {
  const there = window.bytes.byteLength - start;
  if (there < FRAME_BYTES) return { needed: FRAME_BYTES };
  const { crc, length, id, type } = FRAME.at(window.view, start);
  const name = TYPE_NAMES.get(type);
  if (name === undefined || length > MAX_BODY_BYTES) return undefined;
  const needed = FRAME_BYTES + length;
  if (there < needed) return { needed };
  const end = start + needed;
  if (crc32(window.bytes.subarray(start + CRC_BYTES, end)) !== crc) return undefined;
  return { type: name, id, window, start, end };
}

/** The record of a frame; its values are copies. Throws `corrupt` where a body cannot be of its type. */
export function decodeRecord(frame: Frame): JournalRecord {
  const { type, id, window } = frame;
  const node = id as NodeId;
  const body = frame.start + FRAME_BYTES;
  switch (type) {
    case "format":
      return { type, version: id };
    case "counters": {
      const { maxNode, maxHandle } = COUNTERS.at(window.view, body);
      return { type, maxNode, maxHandle };
    }
    case "session":
      return { type, row: { init: Uint8Array.from(window.bytes.subarray(body, frame.end)) } };
    case "inode":
      return { type, row: decodeInode(node, window, body, frame.end) };
    case "handle":
      return { type, row: decodeHandle(id as HandleId, window, body) };
    case "dirty":
      return { type, row: JSON.parse(textOf(window, body, frame.end, "utf8")) as DirtyRow };
    case "removal":
      return { type, row: JSON.parse(textOf(window, body, frame.end, "utf8")) as RemovalRow };
    case "handle-dropped":
      return { type, handle: id as HandleId };
    case "inode-dropped":
    case "dirty-dropped":
    case "removal-dropped":
      return { type, node };
    case "connection-begun":
      return { type };
  }
}

/** A record with `bodyBytes` of body that `fill` writes. */
function encodeFrame(type: RecordType, id: number, bodyBytes: number, fill?: (record: Buffer, view: DataView) => void): Buffer {
  const record = Buffer.allocUnsafe(FRAME_BYTES + bodyBytes);
  const { view } = windowOf(record);
  FRAME.write(view, 0, { crc: 0, length: bodyBytes, id, type: TYPE_NUMBERS[type] });
  fill?.(record, view);
  record.writeUInt32LE(crc32(record.subarray(CRC_BYTES)), FRAME.offsets.crc);
  return record;
}

function encodeBytes(type: RecordType, id: number, body: Uint8Array): Buffer {
  if (body.byteLength > MAX_BODY_BYTES)
    throw new DriverError("internal", `a ${type} row of ${body.byteLength} bytes is too large for the journal`);
  return encodeFrame(type, id, body.byteLength, (record) => record.set(body, FRAME_BYTES));
}

function encodeCounters({ maxNode, maxHandle }: { maxNode: number; maxHandle: number }): Buffer {
  return encodeFrame("counters", 0, COUNTERS.size, (_, view) => COUNTERS.write(view, FRAME_BYTES, { maxNode, maxHandle }));
}

/** In the word of `unlinked`: after the name stand NUL and the links, as JSON. */
const HAS_LINKS = 4;

function encodeInode({ node, parent, name, kind, unlinked, links }: InodeRow): Buffer {
  const text = links === undefined ? name : `${name}\0${JSON.stringify(links)}`;
  return encodeFrame("inode", node, INODE.size + text.length * 2, (record, view) => {
    // Three values, so that the row comes back as it was given.
    const gone = unlinked === undefined ? 0 : unlinked ? 1 : 2;
    const flags = gone | (links === undefined ? 0 : HAS_LINKS);
    INODE.write(view, FRAME_BYTES, { parent, kind: KINDS.indexOf(kind), unlinked: flags });
    record.write(text, FRAME_BYTES + INODE.size, "utf16le");
  });
}

function decodeInode(node: NodeId, window: Window, start: number, end: number): InodeRow {
  const { parent, kind, unlinked: flags } = INODE.at(window.view, start);
  const text = textOf(window, start + INODE.size, end, "utf16le");
  const gone = flags & ~HAS_LINKS;
  const row = { node, parent: parent as NodeId, name: text, kind: kindOf(kind), ...(gone === 0 ? {} : { unlinked: gone === 1 }) };
  if ((flags & HAS_LINKS) === 0) return row;
  // JSON has no NUL of its own.
  const at = text.lastIndexOf("\0");
  return { ...row, name: text.slice(0, at), links: JSON.parse(text.slice(at + 1)) as NonNullable<InodeRow["links"]> };
}

function encodeHandle({ handle, node, kind, flags, backingId }: HandleRow): Buffer {
  return encodeFrame("handle", handle, HANDLE.size, (_, view) => {
    const hasBacking = backingId === undefined ? 0 : 1;
    HANDLE.write(view, FRAME_BYTES, { node, flags, kind: KINDS.indexOf(kind), backingId: backingId ?? 0, hasBacking });
  });
}

function decodeHandle(handle: HandleId, window: Window, start: number): HandleRow {
  const { node, flags, kind, backingId, hasBacking } = HANDLE.at(window.view, start);
  const row = { handle, node: node as NodeId, kind: kindOf(kind) === "dir" ? ("dir" as const) : ("file" as const), flags };
  return hasBacking === 0 ? row : { ...row, backingId };
}

function kindOf(number: number): NodeKind {
  const kind = KINDS[number];
  if (kind === undefined) throw new DriverError("corrupt", `the journal has a node of unknown kind ${number}`);
  return kind;
}

function textOf({ bytes }: Window, start: number, end: number, encoding: "utf8" | "utf16le"): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString(encoding);
}
