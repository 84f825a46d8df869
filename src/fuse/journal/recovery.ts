/**
 * What a sequence of journal records means. Pure: no file, no clock.
 */
import { type HandleId, type NodeId, ROOT_NODE } from "#core/brand.ts";
import type { JournalRecord } from "./record.ts";
import type { DirtyRow, EngineState, HandleRow, InodeRow, RemovalRow, SessionRow } from "./state-store.ts";

/** The state after these records, from nothing. */
export function recoverState(records: Iterable<JournalRecord>): EngineState {
  const state = new ReplayedState();
  for (const record of records) state.apply(record);
  return state;
}

/** A state that records are applied to, one after the other. */
export class ReplayedState implements EngineState {
  session: SessionRow | undefined;
  readonly inodes = new Map<NodeId, InodeRow>();
  readonly handles = new Map<HandleId, HandleRow>();
  readonly dirty = new Map<NodeId, DirtyRow>();
  readonly removals = new Map<NodeId, RemovalRow>();
  /** The kernel knows the root without being told. */
  maxNode: number = ROOT_NODE;
  maxHandle = 0;

  apply(record: JournalRecord): void {
    switch (record.type) {
      case "format":
        break;
      case "counters":
        this.#raise(record.maxNode, record.maxHandle);
        break;
      case "session":
        this.session = record.row;
        break;
      case "inode":
        this.inodes.set(record.row.node, record.row);
        this.#raise(record.row.node, 0);
        break;
      case "inode-dropped":
        this.inodes.delete(record.node);
        break;
      case "handle":
        this.handles.set(record.row.handle, record.row);
        this.#raise(0, record.row.handle);
        break;
      case "handle-dropped":
        this.handles.delete(record.handle);
        break;
      case "dirty":
        // The last one put is the last in the map: of two rows for one key it is the newer.
        this.dirty.delete(record.row.node);
        this.dirty.set(record.row.node, record.row);
        this.#raise(record.row.node, 0);
        break;
      case "dirty-dropped":
        this.dirty.delete(record.node);
        break;
      case "removal":
        this.removals.set(record.row.node, record.row);
        this.#raise(record.row.node, 0);
        break;
      case "removal-dropped":
        this.removals.delete(record.node);
        break;
      case "connection-begun":
        this.session = undefined;
        this.inodes.clear();
        this.handles.clear();
        break;
    }
  }

  /** The counters never fall: a number that was given out is never given out again. */
  #raise(node: number, handle: number): void {
    if (node > this.maxNode) this.maxNode = node;
    if (handle > this.maxHandle) this.maxHandle = handle;
  }
}

/**
 * Which records of a journal still matter, by offset: what a checkpoint keeps. The rest is only history.
 */
export class LiveIndex {
  readonly #inodes = new Map<number, number>();
  readonly #handles = new Map<number, number>();
  readonly #dirty = new Map<number, number>();
  readonly #removals = new Map<number, number>();
  #session = -1;
  maxNode: number = ROOT_NODE;
  maxHandle = 0;

  /** Takes in the next record: its type and id are enough, except for the counters. */
  add(type: JournalRecord["type"], id: number, offset: number, counters?: { maxNode: number; maxHandle: number }): void {
    switch (type) {
      case "format":
        break;
      case "counters":
        this.#raise(counters?.maxNode ?? 0, counters?.maxHandle ?? 0);
        break;
      case "session":
        this.#session = offset;
        break;
      case "inode":
        this.#inodes.set(id, offset);
        this.#raise(id, 0);
        break;
      case "inode-dropped":
        this.#inodes.delete(id);
        break;
      case "handle":
        this.#handles.set(id, offset);
        this.#raise(0, id);
        break;
      case "handle-dropped":
        this.#handles.delete(id);
        break;
      case "dirty":
        this.#dirty.set(id, offset);
        this.#raise(id, 0);
        break;
      case "dirty-dropped":
        this.#dirty.delete(id);
        break;
      case "removal":
        this.#removals.set(id, offset);
        this.#raise(id, 0);
        break;
      case "removal-dropped":
        this.#removals.delete(id);
        break;
      case "connection-begun":
        this.#session = -1;
        this.#inodes.clear();
        this.#handles.clear();
        break;
    }
  }

  /** True when the record at `offset` holds a row that is in the state now. */
  isLive(type: JournalRecord["type"], id: number, offset: number): boolean {
    if (type === "session") return this.#session === offset;
    if (type === "inode") return this.#inodes.get(id) === offset;
    if (type === "handle") return this.#handles.get(id) === offset;
    if (type === "dirty") return this.#dirty.get(id) === offset;
    if (type === "removal") return this.#removals.get(id) === offset;
    return false;
  }

  #raise(node: number, handle: number): void {
    if (node > this.maxNode) this.maxNode = node;
    if (handle > this.maxHandle) this.maxHandle = handle;
  }
}
