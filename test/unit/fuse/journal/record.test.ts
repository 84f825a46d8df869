import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HandleId, NodeId } from "#core/brand.ts";
import {
  decodeFrame,
  decodeRecord,
  encodeRecord,
  FRAME_BYTES,
  type Frame,
  type JournalRecord,
  MAX_BODY_BYTES,
  windowOf,
} from "#fuse/journal/record.ts";
import { dirtyRow, handleRow, inodeRow, removalRow } from "../../../contract/state-store.ts";

const id = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const record: fc.Arbitrary<JournalRecord> = fc.oneof(
  id.map((version) => ({ type: "format" as const, version })),
  fc.record({ type: fc.constant("counters" as const), maxNode: id, maxHandle: id }),
  fc.uint8Array().map((init) => ({ type: "session" as const, row: { init } })),
  id.chain(inodeRow).map((row) => ({ type: "inode" as const, row })),
  id.map((node) => ({ type: "inode-dropped" as const, node: node as NodeId })),
  id.chain(handleRow).map((row) => ({ type: "handle" as const, row })),
  id.map((handle) => ({ type: "handle-dropped" as const, handle: handle as HandleId })),
  id.chain(dirtyRow).map((row) => ({ type: "dirty" as const, row })),
  id.map((node) => ({ type: "dirty-dropped" as const, node: node as NodeId })),
  fc.constant({ type: "connection-begun" as const }),
  id.chain(removalRow).map((row) => ({ type: "removal" as const, row })),
  id.map((node) => ({ type: "removal-dropped" as const, node: node as NodeId })),
);

describe("encodeRecord and decodeRecord", () => {
  it("`decodeRecord` gives back what `encodeRecord` was given, at any offset", () => {
    fc.assert(
      fc.property(record, fc.nat({ max: 40 }), (original, offset) => {
        const bytes = Buffer.concat([Buffer.alloc(offset, 0xff), encodeRecord(original), Buffer.alloc(7, 0xff)]);
        expect(decodeRecord(decodeFrame(windowOf(bytes), offset) as Frame)).toEqual(original);
      }),
    );
  });

  it("`decodeFrame` never takes a record for good when a bit of it flipped", () => {
    fc.assert(
      fc.property(record, fc.nat(), (original, place) => {
        const bytes = encodeRecord(original);
        const bit = place % (bytes.byteLength * 8);
        bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        expect(decodeFrame(windowOf(bytes), 0) ?? {}).not.toHaveProperty("window");
      }),
    );
  });

  it("`decodeFrame` tells how many bytes it needs when there are fewer", () => {
    const bytes = encodeRecord({ type: "session", row: { init: new Uint8Array(100) } });
    expect(decodeFrame(windowOf(bytes.subarray(0, 5)), 0)).toEqual({ needed: FRAME_BYTES });
    expect(decodeFrame(windowOf(bytes.subarray(0, FRAME_BYTES + 99)), 0)).toEqual({ needed: FRAME_BYTES + 100 });
  });

  it("`decodeFrame` refuses a length beyond all reason when it reads one", () => {
    const bytes = encodeRecord({ type: "connection-begun" });
    bytes.writeUInt32LE(MAX_BODY_BYTES + 1, 4);
    expect(decodeFrame(windowOf(bytes), 0)).toBeUndefined();
  });
});
