import { describe, expect, it, vi } from "vitest";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { faultOf, type KernelUser, O_CREAT, O_RDWR, O_WRONLY } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { METADATA_TTL_MS, VfsWorld } from "../../../support/vfs-world.ts";

const LONG_MS = 30_000;

/** A world in which closed files are sent at once, and a store that can be held up. */
async function localWorld(passthrough: boolean) {
  const memory = new MemoryObjectStore();
  const store = new FailingObjectStore(memory);
  const uploadDelays = { quietMs: 0, latestMs: 0, retryMs: 60_000 };
  const world = await VfsWorld.open({ store, passthrough, options: { durability: "local", uploadDelays } });
  /** Closes a file, and answers when its PUT waits at the store; then what lets it go on. */
  const sending = async (path: string, data: string) => {
    const before = store.calls.put ?? 0;
    const goOn = store.hold("put");
    await world.user.writeFile(path, data);
    await vi.waitUntil(() => (store.calls.put ?? 0) > before, LONG_MS);
    return goOn;
  };
  return { memory, store, world, sending };
}

for (const passthrough of [false, true]) {
  describe(`While a closed file is on its way${passthrough ? ", in passthrough" : ""}`, () => {
    it("it can be read, written and closed again, and all of it comes to the bucket", async () => {
      const { memory, world, sending } = await localWorld(passthrough);
      await using _ = world;
      const goOn = await sending("f", "one");
      expect(await world.user.text("f")).toBe("one");
      const file = await world.user.open("f", O_RDWR);
      await file.write(3, "two");
      await file.close();
      expect(await world.user.text("f")).toBe("onetwo");
      expect(memory.keys).toEqual([]);
      goOn();
      await world.fs.syncAll();
      expect(memory.text("f")).toBe("onetwo");
      expect(world.spooled()).toEqual([]);
      expect(world.conflicts()).toEqual({});
      expect(world.kernel.registered).toBe(0);
    });

    it("its attributes can be changed, and reach the bucket", async () => {
      const { memory, world, sending } = await localWorld(passthrough);
      await using _ = world;
      const goOn = await sending("f", "one");
      await world.user.setattr("f", { mode: 0o600 });
      goOn();
      await world.fs.syncAll();
      expect(memory.metadata("f")?.["mode"]).toBe(String(0o100600));
      expect(memory.text("f")).toBe("one");
    });

    it("the time of a write that another process makes meanwhile reaches the bucket with the close of that process", async () => {
      const memory = new MemoryObjectStore();
      const store = new FailingObjectStore(memory);
      await using world = await VfsWorld.open({ store, passthrough, options: { durability: "remote" } });
      const [first, second] = [await world.user.open("f", O_RDWR | O_CREAT), await world.user.open("f", O_RDWR)];
      await first.write(0, "one");
      const goOn = store.hold("put");
      const closed = first.close();
      await vi.waitUntil(() => store.calls.put === 1, LONG_MS);
      await second.write(3, "two");
      goOn();
      await closed;
      expect(memory.text("f")).toBe("onetwo");
      await second.close();
      const { sec, nsec } = (await world.user.stat("f")).mtime;
      expect(memory.metadata("f")?.["mtime"]).toBe(`${sec}.${String(nsec).padStart(9, "0")}`);
    });

    it("its removal waits for it, and leaves nothing", async () => {
      const { memory, world, sending } = await localWorld(passthrough);
      await using _ = world;
      const goOn = await sending("f", "one");
      const removed = world.user.unlink("f");
      goOn();
      await removed;
      expect(memory.keys).toEqual([]);
      expect(world.spooled()).toEqual([]);
      expect(await world.user.readdir("")).toEqual([]);
    });

    it("another file that takes its name wins", async () => {
      const { memory, store, world, sending } = await localWorld(passthrough);
      await using _ = world;
      const goOn = await sending("f", "old");
      const file = await world.user.open("g", O_WRONLY | O_CREAT);
      await file.write(0, "new");
      await file.close();
      const renamed = world.user.rename("g", "f");
      goOn();
      await renamed;
      await world.fs.syncAll();
      expect([memory.keys, memory.text("f")]).toEqual([["f"], "new"]);
      expect(world.conflicts()).toEqual({});
      expect(store.calls.copy).toBeUndefined();
    });

    it.each(["replaced", "removed"])("who looked it up before it was %s opens no empty file", async (how) => {
      await using world = await VfsWorld.open({ passthrough, options: { durability: "local" } });
      await world.user.writeFile("f", "old");
      const node = await world.user.node("f");
      if (how === "removed") await world.user.unlink("f");
      else {
        await world.user.writeFile("g", "new");
        await world.user.rename("g", "f");
      }
      // The kernel looks up again then.
      expect(await faultOf(world.user.openNode(node))).toBe("stale");
      expect(await faultOf(world.user.openNode(node, O_RDWR))).toBe("stale");
      if (how === "replaced") expect(await world.user.text("f")).toBe("new");
    });

    it("its directory can be renamed", async () => {
      const { memory, world, sending } = await localWorld(passthrough);
      await using _ = world;
      await world.user.mkdir("d");
      const goOn = await sending("d/f", "one");
      const renamed = world.user.rename("d", "e");
      goOn();
      await renamed;
      await world.fs.syncAll();
      expect([memory.keys, memory.text("e/f")]).toEqual([["e/", "e/f"], "one"]);
    });

    it("`fsync` waits for it, and one upload is enough", async () => {
      const { memory, store, world, sending } = await localWorld(passthrough);
      await using _ = world;
      const goOn = await sending("f", "one");
      const file = await world.user.open("f");
      const synced = file.fsync();
      goOn();
      await synced;
      expect(memory.text("f")).toBe("one");
      expect(store.calls.put).toBe(1);
      await file.close();
    });

    it("a listing that shows the object in the bucket does not take it for somebody else's", async () => {
      const { memory, store, world, sending } = await localWorld(passthrough);
      await using _ = world;
      memory.seed("f", "before");
      const goOn = await sending("f", "after!");
      const node = await world.user.node("f");
      world.clock.advance(METADATA_TTL_MS * 100);
      expect(await world.user.readdir("")).toEqual(["f"]);
      goOn();
      await vi.waitUntil(() => memory.text("f") === "after!", LONG_MS);
      world.clock.advance(METADATA_TTL_MS * 100);
      expect(await world.user.node("f")).toBe(node);
      expect(await world.user.text("f")).toBe("after!");
      expect(store.calls.put).toBe(1);
    });
  });
}

describe("A large file that is on its way", () => {
  const LARGE = Buffer.alloc(400_000, "0123456789");

  /** Its second part waits at the store. */
  async function sendingParts() {
    const memory = new MemoryObjectStore();
    const store = new FailingObjectStore(memory);
    const uploadDelays = { quietMs: 0, latestMs: 0, retryMs: 60_000 };
    const upload = { partSizeBytes: 100_000, multipartFromBytes: 150_000, parallelParts: 1 };
    const world = await VfsWorld.open({ store, upload, options: { durability: "local", uploadDelays } });
    await world.user.mkdir("d");
    const goOn = store.hold("uploadPart");
    await world.user.writeFile("d/f", LARGE);
    await vi.waitUntil(() => (store.calls.uploadPart ?? 0) > 0, LONG_MS);
    return { memory, store, world, goOn };
  }

  for (const [title, change, left] of [
    ["is removed", (user: KernelUser) => user.unlink("d/f"), []],
    ["is renamed", (user: KernelUser) => user.rename("d/f", "d/g"), ["d/g"]],
    ["goes with its directory", (user: KernelUser) => user.rename("d", "e"), ["e/f"]],
    [
      "is replaced",
      async (user: KernelUser) => {
        await user.writeFile("d/tmp", LARGE);
        await user.rename("d/tmp", "d/f");
      },
      ["d/f"],
    ],
  ] as const) {
    it(`and ${title} is not sent to its end, and that is no failure`, async () => {
      const { memory, store, world, goOn } = await sendingParts();
      await using _ = world;
      const changed = change(world.user);
      // The part that waits is the last of that upload.
      goOn();
      await changed;
      const before = { ...store.calls };
      expect(before.completeUpload).toBeUndefined();
      expect(before.abortUpload).toBe(1);
      await world.fs.syncAll();
      expect(memory.keys.filter((key) => !key.endsWith("/"))).toEqual(left);
      for (const key of left) expect(Buffer.compare(memory.bytes(key) ?? Buffer.alloc(0), LARGE)).toBe(0);
      expect(memory.openUploads).toBe(0);
      expect(world.uploads).toEqual([]);
      expect(world.spooled()).toEqual([]);
      expect(world.conflicts()).toEqual({});
    });
  }
});

describe("A conflict that an upload finds which nobody waits for", () => {
  it("is told at the next fsync or close of who has the file open, once; the data is put aside", async () => {
    for (const telling of ["fsync", "flush"] as const) {
      const { memory, world, sending } = await localWorld(false);
      await using _ = world;
      memory.seed("f", "base");
      const file = await world.user.open("f", O_RDWR);
      const goOn = await sending("f", "mine");
      memory.seed("f", "theirs");
      goOn();
      await vi.waitUntil(() => Object.keys(world.conflicts()).length > 0, LONG_MS);
      await vi.waitUntil(() => !world.fs.usage().dirtyFiles, LONG_MS);
      expect(await faultOf(file[telling]())).toBe("stale");
      expect(await faultOf(file.close())).toBe("done");
      expect(Object.values(world.conflicts())).toEqual(["mine"]);
      expect(memory.text("f")).toBe("theirs");
      world.clock.advance(METADATA_TTL_MS * 100);
      expect(await world.user.text("f")).toBe("theirs");
      expect(world.spooled()).toEqual([]);
    }
  });

  it("does not come of an own upload whose answer was lost, O_EXCL or not", async () => {
    const { memory, store, world } = await localWorld(false);
    await using _ = world;
    store.fail("put", { fault: "timed_out", after: true });
    const file = await world.user.open("f", O_WRONLY | O_CREAT | 0o200);
    await file.write(0, "data");
    await file.close();
    await vi.waitUntil(() => world.uploads.length > 0, LONG_MS);
    expect(world.uploads).toEqual([[1, "timed_out"]]);
    await world.fs.syncAll();
    expect(world.uploads.at(-1)).toEqual([0, undefined]);
    expect(memory.text("f")).toBe("data");
    expect(world.conflicts()).toEqual({});
  });

  it("a file whose upload may have reached the bucket leaves nothing there when it is removed or renamed", async () => {
    for (const change of ["unlink", "rename"] as const) {
      const { memory, store, world } = await localWorld(false);
      await using _ = world;
      store.fail("put", { fault: "timed_out", after: true });
      await world.user.writeFile("f", "data");
      await vi.waitUntil(() => world.uploads.length > 0, LONG_MS);
      expect(memory.keys).toEqual(["f"]);
      if (change === "unlink") await world.user.unlink("f");
      else await world.user.rename("f", "g");
      await world.fs.syncAll();
      expect(memory.keys).toEqual(change === "unlink" ? [] : ["g"]);
    }
  });
});
