import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Etag, NodeId } from "#core/brand.ts";
import { systemClock } from "#core/clock.ts";
import { silentLogger } from "#core/log.ts";
import { OrderedStore } from "#fuse/vfs/ordered-store.ts";
import { Removals } from "#fuse/vfs/removals.ts";
import type { CallOptions, ObjectStore } from "#s3/object-store.ts";
import { FailingObjectStore, type StoreMethod } from "../../../support/failing-object-store.ts";
import { faultOf } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { createMemoryStateStore } from "../../../support/memory-state-store.ts";

/** A store on which the object `d/x` is on its way out. */
async function storeWithRemoval() {
  const memory = new MemoryObjectStore();
  const inner = new FailingObjectStore(memory);
  const state = createMemoryStateStore();
  const options = { store: inner, state, clock: systemClock, log: silentLogger, deleteIfMatch: true, trustMs: 60_000 };
  const removals = new Removals(options);
  for (const key of ["d/w", "d/x", "d/y"]) memory.seed(key, key);
  await removals.removeNow("d/w");
  const release = inner.hold("delete");
  const { etag, lastModified } = await memory.head("d/x");
  await removals.remove({ node: 2 as NodeId, key: "d/x", etag, lastModified }, () => undefined);
  delete inner.calls.delete;
  return { store: new OrderedStore(inner, removals), inner, memory, release };
}

const body = Buffer.from("new");
const upload = (key: string) => ({ key, uploadId: "u" });
const part = { partNumber: 1, etag: '"e"' as Etag };

type Request = readonly [method: StoreMethod, request: (store: ObjectStore, options?: CallOptions) => Promise<unknown>];

const WAIT: readonly Request[] = [
  ["head", (store, options) => store.head("d/x", options)],
  ["get", (store, options) => store.get("d/x", options)],
  ["put", (store, options) => store.put("d/x", body, options)],
  ["list", (store, options) => store.list({ prefix: "d/" }, options)],
  ["list", (store, options) => store.list({ prefix: "" }, options)],
  ["copy", (store, options) => store.copy("d/x", "d/z", options)],
  ["copy", (store, options) => store.copy("d/y", "d/x", options)],
  ["deleteMany", (store, options) => store.deleteMany(["d/y", "d/x"], options)],
  ["beginUpload", (store, options) => store.beginUpload("d/x", options)],
  ["copyPart", (store, options) => store.copyPart(upload("d/z"), 1, { key: "d/x", start: 0, end: 1 }, options)],
  ["completeUpload", (store, options) => store.completeUpload(upload("d/x"), [part], options)],
];

const GO_ON: readonly Request[] = [
  ["head", (store) => store.head("d/y")],
  ["get", (store) => store.get("d/y")],
  ["put", (store) => store.put("d/xx", body)],
  ["list", (store) => store.list({ prefix: "e/" })],
  ["copy", (store) => store.copy("d/y", "d/z")],
  ["deleteMany", (store) => store.deleteMany(["d/y"])],
  ["uploadPart", (store) => store.uploadPart(upload("d/x"), 1, body)],
  ["abortUpload", (store) => store.abortUpload(upload("d/x"))],
];

describe("OrderedStore", () => {
  it.each(WAIT.map((request) => [...request, String(request[1]).replace(/.*=> /s, "")] as const))(
    "`%s` that could see what is on its way out waits: $2",
    async (method, request) => {
      const { store, inner, release } = await storeWithRemoval();
      const aborting = new AbortController();
      const given = faultOf(request(store, { signal: aborting.signal }));
      const waiting = faultOf(request(store));
      for (let i = 0; i < 5; i++) await turn();
      expect(inner.calls[method]).toBeUndefined();
      aborting.abort();
      expect(await given).toBe("interrupted");
      release();
      await waiting;
      expect(inner.calls[method]).toBe(1);
    },
  );

  it.each(GO_ON)("`%s` of something else goes on at once", async (method, request) => {
    const { store, inner, memory } = await storeWithRemoval();
    await faultOf(request(store));
    expect([inner.calls[method], memory.keys.includes("d/x")]).toEqual([1, true]);
  });

  it("`delete` waits too, and then there is nothing", async () => {
    const { store, release, memory } = await storeWithRemoval();
    const deleting = store.delete("d/x");
    release();
    await deleting;
    expect(memory.keys).toEqual(["d/y"]);
  });
});
