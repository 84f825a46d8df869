import { describe, expect, it, vi } from "vitest";
import type { UploadDelays } from "#fuse/vfs/upload-queue.ts";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { faultOf, O_CREAT, O_EXCL, O_RDWR, O_WRONLY } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { METADATA_TTL_MS, VfsWorld, type WorldOptions } from "../../../support/vfs-world.ts";

const LONG_MS = 30_000;

/** A world whose store can be made to fail, and the store in memory under it. */
async function failingWorld(given: WorldOptions = {}) {
  const memory = new MemoryObjectStore();
  const failing = new FailingObjectStore(memory);
  return { memory, failing, world: await VfsWorld.open({ ...given, store: failing }) };
}

for (const passthrough of [false, true]) {
  describe(`Uploads${passthrough ? " in passthrough" : ""}`, () => {
    it("`flush` gives the closer the store's error, keeps the data and sends it at the next flush", async () => {
      const { memory, failing, world } = await failingWorld({ passthrough });
      await using _ = world;
      const file = await world.user.open("f", O_WRONLY | O_CREAT);
      await file.write(0, "data");
      failing.fail("put", { fault: "unavailable" });
      expect(await faultOf(file.flush())).toBe("unavailable");
      expect(memory.keys).toEqual([]);
      await file.flush();
      expect(memory.text("f")).toBe("data");
      await file.release();
    });

    it("`syncAll` sends a closed file whose upload failed, and it is read from the spool until then", async () => {
      const { memory, failing, world } = await failingWorld({ passthrough });
      await using _ = world;
      failing.fail("put", { fault: "unavailable", times: 100 });
      expect(await faultOf(world.user.writeFile("f", "data"))).toBe("unavailable");
      expect(await world.user.text("f")).toBe("data");
      world.clock.advance(10 * METADATA_TTL_MS);
      expect(await world.user.readdir("")).toEqual(["f"]);
      expect(world.fs.usage().dirtyFiles).toBe(1);
      expect(world.uploads.at(-1)).toEqual([1, "unavailable"]);
      failing.mend();
      await world.fs.syncAll();
      expect(world.uploads.at(-1)).toEqual([0, undefined]);
      expect(memory.text("f")).toBe("data");
      expect(world.fs.usage().dirtyFiles).toBe(0);
      expect(world.kernel.registered).toBe(0);
      expect(await world.user.text("f")).toBe("data");
    });

    it("`syncAll` tries every file and throws the first failure", async () => {
      const { memory, failing, world } = await failingWorld({ passthrough });
      await using _ = world;
      const files = await Promise.all(
        ["a", "b", "c"].map(async (name) => {
          const file = await world.user.open(name, O_WRONLY | O_CREAT);
          await file.write(0, name);
          return file;
        }),
      );
      failing.fail("put", { fault: "denied", when: (key) => key === "b" });
      expect(await faultOf(world.fs.syncAll())).toBe("denied");
      expect(memory.keys).toEqual(["a", "c"]);
      await world.fs.syncAll();
      expect(memory.keys).toEqual(["a", "b", "c"]);
      for (const file of files) await file.close();
    });

    it("an object replaced elsewhere while it was written here stays, and the writer's data is put aside", async () => {
      await using here = await VfsWorld.open({ passthrough });
      await using there = await here.other();
      await here.user.writeFile("f", "base");
      const file = await here.user.open("f", O_RDWR);
      await file.write(0, "mine");
      await there.user.writeFile("f", "theirs");
      expect(await faultOf(file.close())).toBe("stale");
      expect(here.memory.text("f")).toBe("theirs");
      expect(Object.values(here.conflicts())).toEqual(["mine"]);
      expect(await here.user.text("f")).toBe("theirs");
      expect(here.spooled()).toEqual([]);
      expect(here.kernel.registered).toBe(0);
    });

    it("the same, when this host saw the new version before it wrote", async () => {
      await using here = await VfsWorld.open({ passthrough });
      await using there = await here.other();
      await here.user.writeFile("f", "base");
      const file = await here.user.open("f", O_RDWR);
      await there.user.writeFile("f", "theirs");
      here.clock.advance(10 * METADATA_TTL_MS);
      expect(await here.user.text("f")).toBe("theirs");
      await file.write(0, "mine");
      expect(await faultOf(file.close())).toBe("stale");
      expect(here.memory.text("f")).toBe("theirs");
      expect(Object.values(here.conflicts())).toEqual(["mine"]);
      expect(here.spooled()).toEqual([]);
    });

    it("an object removed elsewhere while it was written here: the writer's data is put aside", async () => {
      for (const looked of [false, true]) {
        await using here = await VfsWorld.open({ passthrough });
        await here.user.writeFile("f", "base");
        const file = await here.user.open("f", O_RDWR);
        await here.memory.delete("f");
        here.clock.advance(10 * METADATA_TTL_MS);
        if (looked) expect(await here.user.exists("f")).toBe(false);
        await file.write(0, "mine");
        expect(await faultOf(file.close())).toBe("stale");
        expect(here.memory.keys).toEqual([]);
        expect(Object.values(here.conflicts())).toEqual(["mine"]);
      }
    });

    it("a reader's object may be replaced elsewhere: its close is no error, and nothing is put aside", async () => {
      await using here = await VfsWorld.open({ passthrough });
      await here.user.writeFile("f", "base");
      const file = await here.user.open("f", O_RDWR);
      here.memory.seed("f", "theirs");
      here.clock.advance(10 * METADATA_TTL_MS);
      expect(await here.user.text("f")).toBe("theirs");
      await file.close();
      expect(here.conflicts()).toEqual({});
    });

    it("O_EXCL holds between hosts: the second creator's data is put aside", async () => {
      await using here = await VfsWorld.open({ passthrough });
      await using there = await here.other();
      const mine = await here.user.open("lock", O_WRONLY | O_CREAT | O_EXCL);
      const theirs = await there.user.open("lock", O_WRONLY | O_CREAT | O_EXCL);
      await mine.write(0, "mine");
      await theirs.write(0, "theirs");
      await theirs.close();
      expect(await faultOf(mine.close())).toBe("stale");
      expect(here.memory.text("lock")).toBe("theirs");
      expect(Object.values(here.conflicts())).toEqual(["mine"]);
    });
  });
}

describe("Uploads", () => {
  it("truncate(2) by path keeps what could not be sent and sends it later", async () => {
    const { memory, failing, world } = await failingWorld();
    await using _ = world;
    await world.user.writeFile("f", "0123456789");
    failing.fail("put", { fault: "unavailable", times: 2 });
    expect(await faultOf(world.user.setattr("f", { size: 4 }))).toBe("unavailable");
    expect(world.fs.usage().dirtyFiles).toBe(1);
    await world.fs.syncAll();
    expect(memory.text("f")).toBe("0123");
    expect(world.spooled()).toEqual([]);
  });

  it("a conflict found by a later try leaves no spool file and no dirty row behind", async () => {
    const { memory, failing, world } = await failingWorld();
    await using _ = world;
    await world.user.writeFile("f", "base");
    failing.fail("put", { fault: "unavailable", times: 2 });
    expect(await faultOf(world.user.writeFile("f", "mine"))).toBe("unavailable");
    memory.seed("f", "theirs");
    expect(await faultOf(world.fs.syncAll())).toBe("stale");
    expect(Object.values(world.conflicts())).toEqual(["mine"]);
    await world.fs.syncAll();
    expect(world.spooled()).toEqual([]);
    await using next = await world.successor(false);
    expect(memory.text("f")).toBe("theirs");
    expect(Object.values(next.conflicts())).toEqual(["mine"]);
  });

  it("a lost answer of the store is no conflict with oneself", async () => {
    const { memory, failing, world } = await failingWorld();
    await using _ = world;
    await world.user.writeFile("f", "one");
    const file = await world.user.open("f", O_WRONLY);
    await file.write(0, "two");
    failing.fail("put", { fault: "timed_out", after: true });
    expect(await faultOf(file.flush())).toBe("timed_out");
    expect(await faultOf(file.flush())).toBe("done");
    await file.release();
    expect(memory.text("f")).toBe("two");
    expect(world.conflicts()).toEqual({});
  });

  it("`storeAttributes` keeps headers and metadata of others", async () => {
    await using world = await VfsWorld.open();
    world.memory.seed("f", "x", {
      headers: { contentType: "text/plain", cacheControl: "no-cache", storageClass: "STANDARD_IA" },
      metadata: { author: "somebody", mode: "33188" },
    });
    await world.user.setattr("f", { mode: 0o600 });
    await world.user.writeFile("f", "y");
    const { headers, metadata } = await world.memory.head("f");
    expect(headers).toEqual({ contentType: "text/plain", cacheControl: "no-cache", storageClass: "STANDARD_IA" });
    expect(metadata).toMatchObject({ author: "somebody", mode: String(0o100600), uid: "500" });
    expect(world.memory.text("f")).toBe("y");
  });

  it("`storeAttributes` of a version replaced elsewhere is refused and changes nothing", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("f", "mine");
    const node = await world.user.node("f");
    world.memory.seed("f", "theirs", { metadata: { mode: String(0o100640) } });
    expect(await faultOf(world.fs.setattr(node, { mode: 0o600 }))).toBe("stale");
    expect(world.memory.metadata("f")?.["mode"]).toBe(String(0o100640));
    world.clock.advance(10 * METADATA_TTL_MS);
    expect((await world.user.stat("f")).mode).toBe(0o100640);
  });

  it("chmod of a file that is open and was sent in parts lets its readers go on", async () => {
    await using world = await VfsWorld.open({ upload: { partSizeBytes: 100_000, multipartFromBytes: 150_000 } });
    const bytes = Buffer.alloc(300_000, "0123456789");
    await world.user.writeFile("f", bytes);
    await using there = await world.other();
    const file = await there.user.open("f");
    await file.read(0, 10);
    await there.user.setattr("f", { mode: 0o600 });
    expect((await file.readAll()).equals(bytes)).toBe(true);
    await file.close();
  });
});

describe("Uploads with durability=local", () => {
  const atOnce = { quietMs: 0, latestMs: 0, retryMs: 10 };
  const later = { quietMs: 600_000, latestMs: 600_000, retryMs: 600_000 };
  const local = (uploadDelays: UploadDelays) => ({ options: { durability: "local" as const, uploadDelays } });

  it("`flush` needs no request, and the file comes to the bucket by itself", async () => {
    await using world = await VfsWorld.open(local(atOnce));
    await world.user.writeFile("f", "data");
    expect(world.memory.keys).toEqual([]);
    await vi.waitUntil(() => world.memory.text("f") === "data", LONG_MS);
    await vi.waitUntil(() => world.spooled().length === 0, LONG_MS);
    expect(world.fs.usage().dirtyFiles).toBe(0);
  });

  it("`fsync` of a file, or of its directory, brings it to the bucket", async () => {
    await using world = await VfsWorld.open(local(later));
    await world.user.mkdir("d");
    const file = await world.user.open("d/f", O_WRONLY | O_CREAT);
    await file.write(0, "data");
    await file.fsync();
    expect(world.memory.text("d/f")).toBe("data");
    await file.close();
    await world.user.writeFile("d/g", "more");
    await world.user.writeFile("h", "not in it");
    const directory = await world.fs.opendir(await world.user.node("d"));
    await world.fs.fsyncdir(directory);
    await world.fs.releasedir(directory);
    expect([world.memory.text("d/g"), world.memory.text("h")]).toEqual(["more", undefined]);
  });

  it("a failed upload is repeated until it works, told while it fails, and no close waits for it", async () => {
    const { memory, failing, world } = await failingWorld(local(atOnce));
    await using _ = world;
    failing.fail("put", { fault: "unavailable", times: 3 });
    await world.user.writeFile("f", "data");
    await vi.waitUntil(() => memory.text("f") === "data", LONG_MS);
    await vi.waitUntil(() => world.uploads.at(-1)?.[0] === 0, LONG_MS);
    expect(world.uploads[0]).toEqual([1, "unavailable"]);
  });

  it("`fsync` and `syncAll` tell why an upload fails", async () => {
    const { memory, failing, world } = await failingWorld(local(later));
    await using _ = world;
    failing.fail("put", { fault: "denied", times: 2 });
    const file = await world.user.open("f", O_WRONLY | O_CREAT);
    await file.write(0, "data");
    expect(await faultOf(file.fsync())).toBe("denied");
    await file.close();
    expect(await faultOf(world.fs.syncAll())).toBe("denied");
    await world.fs.syncAll();
    expect(memory.text("f")).toBe("data");
  });

  it("`flush` waits while more is unsent than the limit allows, and not for a store that fails", async () => {
    const { failing, world } = await failingWorld({ options: { durability: "local", uploadDelays: later, unsentLimitBytes: 10 } });
    await using _ = world;
    await world.user.writeFile("a", "12345");
    const goOn = failing.hold("put");
    let closed = false;
    const closing = world.user.writeFile("b", "1234567890").then(() => {
      closed = true;
    });
    await vi.waitUntil(() => failing.calls.put === 2, LONG_MS);
    expect(closed).toBe(false);
    goOn();
    await closing;
    failing.fail("put", { fault: "unavailable", times: 100 });
    await world.user.writeFile("c", "12345678901");
    await world.user.writeFile("d", "12345678901");
    expect(world.fs.usage().dirtyFiles).toBe(2);
  });

  it("many files are sent at one time, and each once", async () => {
    await using world = await VfsWorld.open(local(atOnce));
    const names = Array.from({ length: 200 }, (_, i) => `f${i}`);
    for (const name of names) await world.user.writeFile(name, name);
    await vi.waitUntil(() => world.memory.keys.length === names.length, LONG_MS);
    await world.fs.syncAll();
    expect(world.memory.requests["PutObject"]).toBe(names.length);
    expect(world.spooled()).toEqual([]);
  });

  it("a rename moves the ctime of a file that is not sent yet", async () => {
    await using world = await VfsWorld.open(local(later));
    await world.user.writeFile("f", "x");
    const before = await world.user.stat("f");
    world.clock.advance(3_600_000);
    await world.user.rename("f", "g");
    const after = await world.user.stat("g");
    expect(after.ctime.sec).toBeGreaterThan(before.ctime.sec);
    expect(after.mtime).toEqual(before.mtime);
  });
});
