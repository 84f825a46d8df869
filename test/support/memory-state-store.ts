/**
 * `StateStore` in memory, for tests of what uses one. A "successor" is a new store over the same medium:
 *
 *   const medium = createMemoryMedium();
 *   const first = createMemoryStateStore(medium);   // ... puts; no close needed: that is the crash
 *   const second = createMemoryStateStore(medium);  // second.recovered is what was put
 */
import type { HandleId, NodeId } from "#core/brand.ts";
import type { DirtyRow, EngineState, HandleRow, InodeRow, RemovalRow, SessionRow, StateStore } from "#fuse/journal/state-store.ts";

/** What outlives a store: the "disk". */
export interface MemoryMedium {
  session: SessionRow | undefined;
  readonly inodes: Map<NodeId, InodeRow>;
  readonly handles: Map<HandleId, HandleRow>;
  readonly dirty: Map<NodeId, DirtyRow>;
  readonly removals: Map<NodeId, RemovalRow>;
  maxNode: number;
  maxHandle: number;
  /** How often `sync` was called, for tests that ask whether it was. */
  syncs: number;
}

export function createMemoryMedium(): MemoryMedium {
  return {
    session: undefined,
    inodes: new Map(),
    handles: new Map(),
    dirty: new Map(),
    removals: new Map(),
    maxNode: 1,
    maxHandle: 0,
    syncs: 0,
  };
}

/** A store over `medium`; rows are copied in, so that changing an object after its put changes nothing, as on a disk. */
export function createMemoryStateStore(medium: MemoryMedium = createMemoryMedium()): StateStore {
  const recovered = snapshot(medium);
  return {
    recovered,
    putSession: (row) => {
      medium.session = structuredClone(row);
    },
    putInode: (row) => {
      medium.inodes.set(row.node, structuredClone(row));
      medium.maxNode = Math.max(medium.maxNode, row.node);
    },
    dropInode: (node) => void medium.inodes.delete(node),
    putHandle: (row) => {
      medium.handles.set(row.handle, structuredClone(row));
      medium.maxHandle = Math.max(medium.maxHandle, row.handle);
    },
    dropHandle: (handle) => void medium.handles.delete(handle),
    putDirty: (row, dropped) => {
      medium.dirty.delete(row.node);
      if (dropped !== undefined) medium.dirty.delete(dropped);
      medium.dirty.set(row.node, structuredClone(row));
      medium.maxNode = Math.max(medium.maxNode, row.node);
    },
    dropDirty: (node) => void medium.dirty.delete(node),
    putRemoval: (row) => {
      medium.removals.set(row.node, structuredClone(row));
      medium.maxNode = Math.max(medium.maxNode, row.node);
    },
    dropRemoval: (node) => void medium.removals.delete(node),
    beginConnection: () => {
      medium.session = undefined;
      medium.inodes.clear();
      medium.handles.clear();
    },
    sync: async () => {
      medium.syncs += 1;
    },
    close: async () => {},
  };
}

/** A copy of the medium's state that later puts do not reach. */
function snapshot(medium: MemoryMedium): EngineState {
  return {
    session: medium.session,
    inodes: new Map(medium.inodes),
    handles: new Map(medium.handles),
    dirty: new Map(medium.dirty),
    removals: new Map(medium.removals),
    maxNode: medium.maxNode,
    maxHandle: medium.maxHandle,
  };
}
