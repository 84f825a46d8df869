import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HandleId, NodeId } from "#core/brand.ts";
import type { JournalRecord } from "#fuse/journal/record.ts";
import { LiveIndex, recoverState } from "#fuse/journal/recovery.ts";
import type { DirtyRow, HandleRow, InodeRow, RemovalRow, SessionRow } from "#fuse/journal/state-store.ts";
import { type Change, change, modelOf, plain } from "../../../contract/state-store.ts";

/** The record a store writes for a change. */
function recordOf([method, argument]: Change): JournalRecord {
  if (method === "putSession") return { type: "session", row: argument as SessionRow };
  if (method === "putInode") return { type: "inode", row: argument as InodeRow };
  if (method === "dropInode") return { type: "inode-dropped", node: argument as NodeId };
  if (method === "putHandle") return { type: "handle", row: argument as HandleRow };
  if (method === "dropHandle") return { type: "handle-dropped", handle: argument as HandleId };
  if (method === "putDirty") return { type: "dirty", row: argument as DirtyRow };
  if (method === "dropDirty") return { type: "dirty-dropped", node: argument as NodeId };
  if (method === "putRemoval") return { type: "removal", row: argument as RemovalRow };
  if (method === "dropRemoval") return { type: "removal-dropped", node: argument as NodeId };
  return { type: "connection-begun" };
}

function idOf(record: JournalRecord): number {
  if (record.type === "inode" || record.type === "dirty" || record.type === "removal") return record.row.node;
  if (record.type === "handle") return record.row.handle;
  if (record.type === "handle-dropped") return record.handle;
  return "node" in record ? record.node : 0;
}

describe("recoverState", () => {
  it("`recoverState` gives the model's state after any changes", () => {
    fc.assert(
      fc.property(fc.array(change), (changes) => {
        expect(plain(recoverState(changes.map(recordOf)))).toEqual(plain(modelOf(changes)));
      }),
    );
  });

  it("`recoverState` never lowers a counter when a counters record is smaller", () => {
    const records: JournalRecord[] = [
      { type: "counters", maxNode: 50, maxHandle: 60 },
      { type: "counters", maxNode: 3, maxHandle: 70 },
    ];
    expect(recoverState(records)).toMatchObject({ maxNode: 50, maxHandle: 70 });
  });
});

describe("LiveIndex", () => {
  it("`isLive` picks records that alone, after the counters, give the same state", () => {
    fc.assert(
      fc.property(fc.array(change), (changes) => {
        const records = changes.map(recordOf);
        const index = new LiveIndex();
        for (const [offset, record] of records.entries()) index.add(record.type, idOf(record), offset);
        const live = records.filter((record, offset) => index.isLive(record.type, idOf(record), offset));
        const counters: JournalRecord = { type: "counters", maxNode: index.maxNode, maxHandle: index.maxHandle };
        expect(plain(recoverState([counters, ...live]))).toEqual(plain(modelOf(changes)));
        expect(live.length).toBe(new Set(live.map((record) => `${record.type} ${idOf(record)}`)).size);
      }),
    );
  });
});
