import { describe, expect, it } from "vitest";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { faultOf, O_CREAT, O_RDWR, O_WRONLY } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { ManualClock, METADATA_TTL_MS, VfsWorld } from "../../../support/vfs-world.ts";

/** More than is read ahead at once, so that its end is still in the bucket only. */
const LARGE = Buffer.alloc(48 << 20, "0123456789abcdef");
const AT_END = LARGE.length - 1000;
/** Files in parts have ETags that a copy changes. */
const IN_PARTS = { partSizeBytes: 100, multipartFromBytes: 100 };

async function failingWorld() {
  const memory = new MemoryObjectStore();
  const failing = new FailingObjectStore(memory);
  return { memory, failing, world: await VfsWorld.open({ store: failing }) };
}

describe("Rename of what is open", () => {
  for (const [title, from, to] of [
    ["a file", "d/f", "d/g"],
    ["a directory", "d", "e"],
  ] as const) {
    const path = title === "a file" ? to : `${to}/f`;

    it(`${title}: a reader of a large file that is not here yet goes on`, async () => {
      await using world = await VfsWorld.open();
      world.memory.seed("d/f", LARGE);
      const file = await world.user.open("d/f");
      await file.read(0, 10);
      await world.user.rename(from, to);
      expect((await file.read(AT_END, 1000)).equals(LARGE.subarray(AT_END))).toBe(true);
      await file.close();
    });

    it(`${title}: a writer of a large file that is not here yet goes on`, async () => {
      await using world = await VfsWorld.open();
      world.memory.seed("d/f", LARGE);
      const file = await world.user.open("d/f", O_RDWR);
      await world.user.rename(from, to);
      await file.write(5, "X");
      expect((await file.read(AT_END, 1000)).equals(LARGE.subarray(AT_END))).toBe(true);
      await file.close();
      const stored = world.memory.bytes(path);
      expect(stored?.length).toBe(LARGE.length);
      expect(
        Buffer.from(stored ?? [])
          .subarray(0, 8)
          .toString(),
      ).toBe("01234X67");
      expect(world.memory.keys.includes("d/f")).toBe(false);
    });

    for (const passthrough of [false, true]) {
      it(`${title}: a file sent in parts, whose copy has another ETag, can be written on${passthrough ? " in passthrough" : ""}`, async () => {
        await using world = await VfsWorld.open({ passthrough, upload: IN_PARTS });
        await world.user.mkdir("d");
        const file = await world.user.open("d/f", O_RDWR | O_CREAT);
        await file.write(0, LARGE.subarray(0, 500));
        await file.fsync();
        await world.user.rename(from, to);
        await file.write(500, "more");
        await file.close();
        expect(
          Buffer.from(world.memory.bytes(path) ?? [])
            .subarray(490)
            .toString(),
        ).toBe("abcdef0123more".slice(-14));
        expect(world.conflicts()).toEqual({});
        world.clock.advance(METADATA_TTL_MS * 10);
        expect((await world.user.readFile(path)).length).toBe(504);
      });
    }
  }

  it("chmod of a large file sent in parts: its reader goes on, though the ETag is another", async () => {
    await using here = await VfsWorld.open({ upload: { multipartFromBytes: 1 << 20 } });
    await here.user.writeFile("f", LARGE);
    await using there = await here.other();
    const file = await there.user.open("f");
    await file.read(0, 10);
    await there.user.setattr("f", { mode: 0o600 });
    expect((await file.read(AT_END, 1000)).equals(LARGE.subarray(AT_END))).toBe(true);
    await file.close();
  });
});

describe("Rename when the store fails", () => {
  it("of an unsent file over another: both stay what they were, and the writer's close sends it under the old name", async () => {
    const { memory, failing, world } = await failingWorld();
    await using _ = world;
    await world.user.writeFile("b", "old");
    const file = await world.user.open("a", O_WRONLY | O_CREAT);
    await file.write(0, "new");
    failing.fail("put", { fault: "unavailable" });
    expect(await faultOf(world.user.rename("a", "b"))).toBe("unavailable");
    expect(await world.user.text("b")).toBe("old");
    expect(await world.user.text("a")).toBe("new");
    expect((await world.user.readdir("")).sort()).toEqual(["a", "b"]);
    await file.close();
    expect([memory.text("a"), memory.text("b")]).toEqual(["new", "old"]);
    await world.user.rename("a", "b");
    expect(memory.keys).toEqual(["b"]);
    expect(memory.text("b")).toBe("new");
  });

  it("of a changed file: it stays under its old name with what was written", async () => {
    const { memory, failing, world } = await failingWorld();
    await using _ = world;
    await world.user.writeFile("a", "before");
    const file = await world.user.open("a", O_WRONLY);
    await file.write(0, "AFTER!");
    failing.fail("put", { fault: "unavailable" });
    expect(await faultOf(world.user.rename("a", "b"))).toBe("unavailable");
    expect(await world.user.readdir("")).toEqual(["a"]);
    await file.close();
    expect(memory.keys).toEqual(["a"]);
    expect(memory.text("a")).toBe("AFTER!");
    expect(world.conflicts()).toEqual({});
  });

  it("of a clean file: nothing is lost", async () => {
    for (const method of ["copy", "delete"] as const) {
      const { memory, failing, world } = await failingWorld();
      await using _ = world;
      await world.user.writeFile("a", "a");
      await world.user.writeFile("b", "b");
      failing.fail(method, { fault: "unavailable" });
      expect(await faultOf(world.user.rename("a", "b"))).toBe("unavailable");
      world.clock.advance(METADATA_TTL_MS * 10);
      expect(await world.user.text("a")).toBe("a");
      expect(await world.user.text("b")).toBe(method === "copy" ? "b" : "a");
      await world.user.rename("a", "b");
      expect(memory.keys).toEqual(["b"]);
    }
  });

  it("of a directory: the copies that were made are removed again", async () => {
    const { memory, failing, world } = await failingWorld();
    await using _ = world;
    await world.user.mkdir("d");
    for (let i = 0; i < 200; i++) await world.user.writeFile(`d/f${i}`, `${i}`);
    const before = [...memory.keys];
    const copies = failing.calls.copy ?? 0;
    failing.fail("copy", { fault: "unavailable", when: (key) => key === "e/f3" });
    expect(await faultOf(world.user.rename("d", "e"))).toBe("unavailable");
    expect(memory.keys).toEqual(before);
    // It does not copy the rest first.
    expect((failing.calls.copy ?? 0) - copies).toBeLessThan(200);
    expect(await world.user.readdir("")).toEqual(["d"]);
    await world.user.rename("d", "e");
    expect(await world.user.text("e/f3")).toBe("3");
  });
});

describe("Rename of what somebody else uploaded", () => {
  it("keeps the mtime that was shown, all headers and metadata, and gives no owner", async () => {
    for (const listMetadata of [false, true]) {
      const clock = new ManualClock(1_700_000_000_000);
      const store = new MemoryObjectStore({ clock, listMetadata });
      const headers = { contentType: "text/x", cacheControl: "no-store" };
      await store.put("f", Buffer.from("content"), { headers, metadata: { theirs: "kept" } });
      clock.advance(5_000);
      await using world = await VfsWorld.open({ store, clock });
      const { mtime } = await world.user.stat("f");
      clock.advance(5_000);
      await world.user.rename("f", "g");
      clock.advance(METADATA_TTL_MS * 10);
      expect(await world.user.stat("g")).toMatchObject({ mtime, uid: 500, mode: 0o100644 });
      const { headers: after, metadata } = await store.head("g");
      expect(after).toMatchObject(headers);
      expect(metadata).toEqual({ theirs: "kept", mtime: "1700000000", ctime: "1700000010" });
    }
  });
});

describe("Headers that a listing with metadata does not show", () => {
  it("stay through a change of attributes and an overwrite", async () => {
    const store = new MemoryObjectStore({ listMetadata: true });
    const headers = { contentType: "text/x", cacheControl: "no-store" };
    const tags = { team: "a" };
    for (const key of ["a", "b"]) store.seed(key, "content", { headers, tags });
    await using world = await VfsWorld.open({ store });
    await world.user.setattr("a", { mode: 0o600 });
    const file = await world.user.open("b", O_WRONLY);
    await file.write(0, "CON");
    await file.close();
    for (const key of ["a", "b"]) expect((await store.head(key)).headers).toMatchObject(headers);
    for (const key of ["a", "b"]) expect(store.tags(key)).toEqual(tags);
  });
});
