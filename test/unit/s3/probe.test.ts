import { describe, expect, it } from "vitest";
import { probeStore } from "#s3/probe.ts";
import { FailingObjectStore } from "../../support/failing-object-store.ts";
import { MemoryObjectStore } from "../../support/memory-object-store.ts";
import { fails } from "../../support/store-assertions.ts";

/** A store that passes over every condition, as some servers do. */
class CarelessObjectStore extends MemoryObjectStore {
  override put(...[key, body, options]: Parameters<MemoryObjectStore["put"]>) {
    const { ifMatch: _, ifNoneMatch: __, ...rest } = options ?? {};
    return super.put(key, body, rest);
  }
  override delete(key: string) {
    return super.delete(key);
  }
  override copy(source: string, target: string) {
    return super.copy(source, target);
  }
  override copyPart(...[upload, part, { ifMatch: _, ...source }]: Parameters<MemoryObjectStore["copyPart"]>) {
    return super.copyPart(upload, part, source);
  }
  override completeUpload(...[upload, parts]: Parameters<MemoryObjectStore["completeUpload"]>) {
    return super.completeUpload(upload, parts);
  }
}

describe("probeStore", () => {
  it("finds what is passed over, and touches no key but its own", async () => {
    const store = new CarelessObjectStore();
    store.seed("p/file", "x");
    store.seed("p/.bucketmount/probe-other", "x");
    const abilities = await probeStore(store, "p/");
    expect(Object.values(abilities)).toEqual(Object.values(abilities).map(() => false));
    expect(store.keys).toEqual(["p/.bucketmount/probe-other", "p/file"]);
    expect(store.openUploads).toBe(0);
  });

  it("counts what fails in another way as not able, and still cleans up", async () => {
    const memory = new MemoryObjectStore();
    const store = new FailingObjectStore(memory);
    store.fail("copy", { fault: "not_implemented", times: 9 });
    store.fail("beginUpload", { fault: "not_implemented", times: 9 });
    expect(await probeStore(store, "")).toMatchObject({
      putIfNoneMatch: true,
      deleteIfMatch: true,
      completeIfNoneMatch: false,
      copySourceIfMatch: false,
      copyPartIfMatch: false,
    });
    expect(memory.keys).toEqual([]);
  });

  it("throws when nothing can be written", async () => {
    const store = new FailingObjectStore(new MemoryObjectStore());
    store.fail("put", { fault: "denied", times: 9 });
    await fails(probeStore(store, ""), "denied");
  });

  it("finds metadata in lists", async () => {
    const store = new MemoryObjectStore({ listMetadata: true });
    const abilities = await probeStore(store, "", { listWithMetadata: (query, call) => store.list(query, call) });
    expect(abilities.listMetadata).toBe(true);
  });
});
