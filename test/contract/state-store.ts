/**
 * What every `StateStore` promises: a successor finds exactly what was put.
 */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Etag, HandleId, NodeId } from "#core/brand.ts";
import type { DirtyRow, EngineState, HandleRow, InodeRow, RemovalRow, StateStore } from "#fuse/journal/state-store.ts";

/** One folder (or what stands for it) over several engines. */
export interface StateStoreHarness {
  /** Opens what is there; the one before was closed. */
  open(): StateStore;
  dispose(): void;
}

const node = (n: number) => n as NodeId;
const handle = (n: number) => n as HandleId;

/** Every kind of row, with the odd values: lone surrogates in names, absent and present optional fields. */
export const inodeRow = (id: number): fc.Arbitrary<InodeRow> =>
  fc.record(
    {
      node: fc.constant(node(id)),
      parent: fc.nat({ max: 2 ** 40 }).map(node),
      name: fc.oneof(fc.string({ unit: "binary" }), fc.constant("caf\udce9 \udc80"), fc.constant("")),
      kind: fc.constantFrom("file", "dir", "symlink", "special"),
      unlinked: fc.boolean(),
      links: fc.array(
        fc.record(
          { parent: fc.nat({ max: 2 ** 40 }).map(node), name: fc.string(), etag: fc.string().map((etag) => etag as Etag) },
          { requiredKeys: ["parent", "name"] },
        ),
      ),
    },
    { requiredKeys: ["node", "parent", "name", "kind"] },
  );

export const handleRow = (id: number): fc.Arbitrary<HandleRow> =>
  fc.record(
    {
      handle: fc.constant(handle(id)),
      node: fc.nat({ max: 2 ** 40 }).map(node),
      kind: fc.constantFrom("file", "dir"),
      flags: fc.nat({ max: 2 ** 31 - 1 }),
      backingId: fc.nat({ max: 2 ** 31 - 1 }),
    },
    { requiredKeys: ["handle", "node", "kind", "flags"] },
  );

export const dirtyRow = (id: number): fc.Arbitrary<DirtyRow> =>
  fc.record(
    {
      node: fc.constant(node(id)),
      spool: fc.string(),
      key: fc.string({ unit: "binary" }),
      base: fc.option(
        fc.record({ key: fc.string(), etag: fc.string().map((text) => `"${text}"` as Etag), size: fc.nat({ max: 2 ** 45 }) }),
      ),
      extents: fc.option(fc.array(fc.tuple(fc.nat(), fc.nat()))),
      headers: fc.record({ contentType: fc.string(), storageClass: fc.string() }, { requiredKeys: [] }),
      metadata: fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true }),
      upload: fc.record({
        uploadId: fc.string(),
        key: fc.string(),
        parts: fc.array(
          fc.record(
            { partNumber: fc.nat(), etag: fc.constant('"e"' as Etag), crc32: fc.string() },
            { requiredKeys: ["partNumber", "etag"] },
          ),
        ),
      }),
    },
    { requiredKeys: ["node", "spool", "key", "base", "extents", "headers", "metadata"] },
  );

export const removalRow = (id: number): fc.Arbitrary<RemovalRow> =>
  fc.record(
    {
      node: fc.constant(node(id)),
      key: fc.string({ unit: "binary" }),
      etag: fc.string().map((text) => `"${text}"` as Etag),
      mtime: fc.string(),
      ctime: fc.string(),
      lastModified: fc.nat({ max: 2 ** 45 }),
    },
    { requiredKeys: ["node", "key", "etag", "lastModified"] },
  );

/** A change of the state, as a call on a store. Few ids, so that rows are replaced and dropped. */
export type Change = readonly [method: keyof StateStore, argument?: unknown];

const id = fc.integer({ min: 2, max: 9 });
export const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 6, arbitrary: id.chain(inodeRow).map((row): Change => ["putInode", row]) },
  { weight: 3, arbitrary: id.map((n): Change => ["dropInode", n]) },
  { weight: 4, arbitrary: id.chain(handleRow).map((row): Change => ["putHandle", row]) },
  { weight: 3, arbitrary: id.map((n): Change => ["dropHandle", n]) },
  { weight: 4, arbitrary: id.chain(dirtyRow).map((row): Change => ["putDirty", row]) },
  { weight: 2, arbitrary: id.map((n): Change => ["dropDirty", n]) },
  { weight: 3, arbitrary: id.chain(removalRow).map((row): Change => ["putRemoval", row]) },
  { weight: 2, arbitrary: id.map((n): Change => ["dropRemoval", n]) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 80 }).map((init): Change => ["putSession", { init }]) },
  { weight: 1, arbitrary: fc.constant<Change>(["beginConnection"]) },
);

export function applyChange(store: StateStore, [method, argument]: Change): void {
  (store[method] as (argument: unknown) => void).call(store, argument);
}

/** The state after these changes, worked out in the plainest way. */
export function modelOf(changes: readonly Change[], before?: EngineState): EngineState {
  const state = {
    session: before?.session,
    inodes: new Map(before?.inodes),
    handles: new Map(before?.handles),
    dirty: new Map(before?.dirty),
    removals: new Map(before?.removals),
    maxNode: before?.maxNode ?? 1,
    maxHandle: before?.maxHandle ?? 0,
  };
  for (const [method, argument] of changes) {
    if (method === "putSession") state.session = argument as EngineState["session"];
    if (method === "putInode") state.inodes.set((argument as InodeRow).node, argument as InodeRow);
    if (method === "dropInode") state.inodes.delete(argument as NodeId);
    if (method === "putHandle") state.handles.set((argument as HandleRow).handle, argument as HandleRow);
    if (method === "dropHandle") state.handles.delete(argument as HandleId);
    if (method === "putDirty") state.dirty.set((argument as DirtyRow).node, argument as DirtyRow);
    if (method === "dropDirty") state.dirty.delete(argument as NodeId);
    if (method === "putRemoval") state.removals.set((argument as RemovalRow).node, argument as RemovalRow);
    if (method === "dropRemoval") state.removals.delete(argument as NodeId);
    if (method === "beginConnection") {
      state.session = undefined;
      state.inodes.clear();
      state.handles.clear();
    }
    state.maxNode = Math.max(state.maxNode, ...state.inodes.keys(), ...state.dirty.keys(), ...state.removals.keys());
    state.maxHandle = Math.max(state.maxHandle, ...state.handles.keys());
  }
  return state;
}

/** An EngineState as plain values, so that states of different classes compare. */
export function plain({ session, inodes, handles, dirty, removals, maxNode, maxHandle }: EngineState): unknown {
  const sorted = (rows: ReadonlyMap<number, unknown>) => [...rows].toSorted(([a], [b]) => a - b);
  const rows = { inodes: sorted(inodes), handles: sorted(handles), dirty: sorted(dirty), removals: sorted(removals) };
  return { session, ...rows, maxNode, maxHandle };
}

export function stateStoreContract(name: string, make: () => StateStoreHarness): void {
  describe(`StateStore: ${name}`, () => {
    let harness: StateStoreHarness;
    beforeEach(() => {
      harness = make();
    });
    afterEach(() => harness.dispose());

    const reopen = async (store: StateStore): Promise<StateStore> => {
      await store.close();
      return harness.open();
    };

    it("`recovered` is empty when nothing was ever put", async () => {
      const store = harness.open();
      expect(plain(store.recovered)).toEqual(plain(modelOf([])));
      await store.close();
    });

    it("`recovered` is what was put when the store was opened, not what is put later", async () => {
      let store = harness.open();
      store.putInode({ node: node(7), parent: node(1), name: "a", kind: "file" });
      expect(store.recovered.inodes.size).toBe(0);
      store = await reopen(store);
      store.dropInode(node(7));
      expect(store.recovered.inodes.get(node(7))?.name).toBe("a");
      await store.close();
    });

    it("`maxNode` and `maxHandle` stay when the rows that raised them are dropped", async () => {
      let store = harness.open();
      store.putInode({ node: node(70), parent: node(1), name: "a", kind: "file" });
      store.putHandle({ handle: handle(90), node: node(70), kind: "file", flags: 0 });
      store.dropHandle(handle(90));
      store.dropInode(node(70));
      store = await reopen(await reopen(store));
      expect(store.recovered).toMatchObject({ maxNode: 70, maxHandle: 90 });
      await store.close();
    });

    it("`beginConnection` forgets session, inodes and handles and keeps dirty rows and counters", async () => {
      let store = harness.open();
      const dirty: DirtyRow = { node: node(5), spool: "s", key: "k", base: null, extents: null, headers: {}, metadata: {} };
      store.putSession({ init: Uint8Array.of(1, 2, 3) });
      store.putInode({ node: node(5), parent: node(1), name: "a", kind: "file" });
      store.putHandle({ handle: handle(6), node: node(5), kind: "file", flags: 0 });
      store.putDirty(dirty);
      store.beginConnection();
      store = await reopen(store);
      const dirtyRows = new Map([[node(5), dirty]]);
      expect(plain(store.recovered)).toEqual(plain({ ...modelOf([]), dirty: dirtyRows, maxNode: 5, maxHandle: 6 }));
      await store.close();
    });

    it("`sync` resolves, alone and when called many times at once", async () => {
      const store = harness.open();
      store.putSession({ init: new Uint8Array(64) });
      await store.sync();
      await Promise.all([store.sync(), store.sync(), store.sync()]);
      await store.close();
    });

    it("any changes over several engines give the model's state", async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.array(change, { maxLength: 20 }), { minLength: 1, maxLength: 4 }), async (lives) => {
          const own = make();
          try {
            let model = modelOf([]);
            for (const changes of lives) {
              const store = own.open();
              expect(plain(store.recovered)).toEqual(plain(model));
              for (const one of changes) applyChange(store, one);
              model = modelOf(changes, model);
              await store.close();
            }
            const last = own.open();
            expect(plain(last.recovered)).toEqual(plain(model));
            await last.close();
          } finally {
            own.dispose();
          }
        }),
        { numRuns: 40 },
      );
    });
  });
}
