import { describe, expect, it } from "vitest";
import { O_CREAT, O_WRONLY } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { ManualClock, METADATA_TTL_MS, seededWorld, VfsWorld } from "../../../support/vfs-world.ts";

describe("request budget", () => {
  it("a new file of one byte: 1 PUT, and 1 LIST that proves the name free", async () => {
    await using world = await VfsWorld.open();
    expect(await world.memory.requestsDuring(() => world.user.writeFile("f", "x"))).toEqual({ ListObjectsV2: 1, PutObject: 1 });
    expect(await world.memory.requestsDuring(() => world.user.writeFile("g", "x"))).toEqual({ PutObject: 1 });
    expect(await world.memory.requestsDuring(() => world.user.mkdir("d"))).toEqual({ PutObject: 1 });
    expect(await world.memory.requestsDuring(() => world.user.writeFile("d/f", "x"))).toEqual({ PutObject: 1 });
  });

  it("a missing name in a directory that was just listed: nothing", async () => {
    await using world = await seededWorld(10);
    expect(await world.memory.requestsDuring(() => world.user.exists("d/missing"))).toEqual({ HeadObject: 1, ListObjectsV2: 2 });
    expect(await world.memory.requestsDuring(() => world.user.exists("d/missing"))).toEqual({});
    expect(await world.memory.requestsDuring(() => world.user.exists("d/other"))).toEqual({});
  });

  it("readdir of n entries: ceil(n / 1000) LISTs, and no HEAD", async () => {
    await using world = await seededWorld(2500);
    await world.user.stat("d");
    expect(await world.memory.requestsDuring(() => world.user.readdir("d", { plus: true }))).toEqual({ ListObjectsV2: 3 });
  });

  it("ls -l of n entries: once a HEAD each, later the LISTs alone, also after a restart", async () => {
    await using world = await seededWorld(100);
    const list = async (at: VfsWorld) => {
      for (const { name } of await at.user.entries("d", { plus: true })) await at.user.stat(`d/${name}`);
    };
    expect(await world.memory.requestsDuring(() => list(world))).toEqual({ ListObjectsV2: 2, HeadObject: 101 });
    world.clock.advance(METADATA_TTL_MS * 10);
    expect(await world.memory.requestsDuring(() => list(world))).toEqual({ ListObjectsV2: 2 });
    await using next = await world.successor(false);
    expect(await next.memory.requestsDuring(() => list(next))).toEqual({ ListObjectsV2: 2, HeadObject: 1 });
  });

  it("ls -l on a store whose LIST has the metadata: no HEAD but the directory's", async () => {
    await using world = await seededWorld(100, {}, true);
    const list = async () => {
      for (const { name } of await world.user.entries("d", { plus: true })) await world.user.stat(`d/${name}`);
    };
    expect(await world.memory.requestsDuring(list)).toEqual({ ListObjectsV2: 2, HeadObject: 1 });
  });

  it("reading a small file cold: 1 GET; again: nothing, and after the TTL the LIST", async () => {
    const clock = new ManualClock();
    await using world = await VfsWorld.open({ clock, store: new MemoryObjectStore({ clock, listMetadata: true }) });
    world.memory.seed("f", "small");
    expect(await world.memory.requestsDuring(() => world.user.text("f"))).toEqual({ ListObjectsV2: 1, GetObject: 1 });
    expect(await world.memory.requestsDuring(() => world.user.text("f"))).toEqual({});
    clock.advance(METADATA_TTL_MS);
    expect(await world.memory.requestsDuring(() => world.user.text("f"))).toEqual({ ListObjectsV2: 1 });
  });

  it("reading back what was written here: nothing", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("f", "x");
    expect(await world.memory.requestsDuring(() => world.user.text("f"))).toEqual({});
  });

  it("an open for writing that writes nothing: nothing; a change in place: 1 PUT", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("f", "0123456789");
    expect(await world.memory.requestsDuring(async () => (await world.user.open("f", O_WRONLY)).close())).toEqual({});
    expect(await world.memory.requestsDuring(() => world.user.writeFile("f", "x", O_WRONLY))).toEqual({ PutObject: 1 });
    expect(world.memory.text("f")).toBe("x123456789");
  });

  it("chmod: 1 COPY; of a file that is being written: nothing", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("f", "x");
    expect(await world.memory.requestsDuring(() => world.user.setattr("f", { mode: 0o600 }))).toEqual({ CopyObject: 1 });
    const file = await world.user.open("g", O_WRONLY | O_CREAT);
    expect(await world.memory.requestsDuring(() => world.user.setattr("g", { mode: 0o600 }))).toEqual({});
    await file.close();
  });

  it("rename of a file that was never uploaded: nothing; of a clean one: 1 COPY and 1 DELETE", async () => {
    await using world = await VfsWorld.open();
    const file = await world.user.open("a", O_WRONLY | O_CREAT);
    await file.write(0, "x");
    expect(await world.memory.requestsDuring(() => world.user.rename("a", "b"))).toEqual({});
    expect(await world.memory.requestsDuring(() => file.close())).toEqual({ PutObject: 1 });
    expect(await world.memory.requestsDuring(() => world.user.rename("b", "c"))).toEqual({ CopyObject: 1, DeleteObject: 1 });
    expect(await world.memory.requestsDuring(() => world.user.text("c"))).toEqual({});
  });

  it("rename of a directory of n keys: a LIST per 1000, a COPY each, a DELETE per 1000; ls -l after it needs no HEAD per file", async () => {
    await using world = await VfsWorld.open();
    await world.user.mkdir("d");
    for (let i = 0; i < 20; i++) await world.user.writeFile(`d/f${i}`, "x");
    // The marker is put anew, since not every server copies it.
    const budget = { ListObjectsV2: 1, HeadObject: 1, PutObject: 1, CopyObject: 20, DeleteObjects: 1 };
    expect(await world.memory.requestsDuring(() => world.user.rename("d", "e"))).toEqual(budget);
    const list = async () => {
      for (const { name } of await world.user.entries("e", { plus: true })) await world.user.stat(`e/${name}`);
    };
    expect((await world.memory.requestsDuring(list))["HeadObject"] ?? 0).toBeLessThanOrEqual(1);
  });

  it("rm -r of n files in a directory known whole: a DELETE each, and one for the directory", async () => {
    await using world = await VfsWorld.open();
    await world.user.mkdir("d");
    for (let i = 0; i < 20; i++) await world.user.writeFile(`d/f${i}`, "x");
    const removeAll = async () => {
      for (const name of await world.user.readdir("d")) await world.user.unlink(`d/${name}`);
      await world.user.rmdir("d");
    };
    expect(await world.memory.requestsDuring(removeAll)).toEqual({ DeleteObject: 21 });
    expect(world.memory.keys).toEqual([]);
  });

  it("rmdir of a directory that was seen too long ago asks whether it is empty, and removes nothing when it is not", async () => {
    await using world = await VfsWorld.open();
    await world.user.mkdir("d");
    world.clock.advance(METADATA_TTL_MS + 1);
    await world.memory.put("d/elsewhere", Buffer.from("x"));
    await expect(world.user.rmdir("d")).rejects.toMatchObject({ fault: "not_empty" });
    expect(world.memory.keys).toContain("d/");
  });
});
