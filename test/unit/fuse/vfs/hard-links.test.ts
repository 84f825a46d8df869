import { describe, expect, it } from "vitest";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { faultOf, O_CREAT, O_WRONLY } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { METADATA_TTL_MS, VfsWorld } from "../../../support/vfs-world.ts";

const textOf = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

describe("hard links, as the bucket has them", () => {
  it("each name is an object of its own, whole", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("a", "one");
    await world.user.link("a", "b");
    await world.user.writeFile("b", "two");
    expect(world.memory.keys.toSorted()).toEqual(["a", "b"]);
    for (const key of ["a", "b"]) expect(textOf(world.memory.bytes(key))).toBe("two");
    const [a, b] = await Promise.all(["a", "b"].map((key) => world.memory.head(key)));
    expect(a?.metadata["mtime"]).toBe(b?.metadata["mtime"]);
  });

  it("link and unlink of the old name cost what a rename costs: a copy and a delete", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("tmp", "object");
    world.memory.resetRequests();
    await world.user.link("tmp", "final");
    await world.user.unlink("tmp");
    expect(world.memory.requests).toMatchObject({ CopyObject: 1, DeleteObject: 1 });
    expect(world.memory.requests).not.toHaveProperty("PutObject");
  });

  it("a name that was replaced elsewhere is not the file's any more", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("a", "one");
    await world.user.link("a", "b");
    await world.memory.put("b", Buffer.from("theirs"));
    await world.user.writeFile("a", "two");
    expect(textOf(world.memory.bytes("b"))).toBe("theirs");
    world.clock.advance(METADATA_TTL_MS * 20);
    expect([await world.user.text("a"), await world.user.text("b")]).toEqual(["two", "theirs"]);
    expect((await world.user.stat("a")).nlink).toBe(1);
    expect((await world.user.stat("b")).ino).not.toBe((await world.user.stat("a")).ino);
  });

  it("a name that was removed elsewhere does not come back", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("a", "one");
    await world.user.link("a", "b");
    await world.memory.delete("b");
    await world.user.writeFile("a", "two");
    expect(world.memory.keys).toEqual(["a"]);
  });

  it("the main name replaced elsewhere: the other one goes on being the file", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("a", "one");
    await world.user.link("a", "b");
    await world.memory.delete("a");
    world.clock.advance(METADATA_TTL_MS * 20);
    expect(await world.user.readdir("")).toEqual(["b"]);
    expect(await world.user.text("b")).toBe("one");
    await world.user.writeFile("b", "two");
    expect(world.memory.keys).toEqual(["b"]);
  });

  it("files whose copies have other ETags stay one file", async () => {
    await using world = await VfsWorld.open({ upload: { partSizeBytes: 100, multipartFromBytes: 100 } });
    await world.user.writeFile("a", Buffer.alloc(1000, "x"));
    await world.user.link("a", "b");
    world.clock.advance(METADATA_TTL_MS * 20);
    expect((await world.user.stat("b")).ino).toBe((await world.user.stat("a")).ino);
    world.clock.advance(METADATA_TTL_MS * 20);
    expect((await world.user.readFile("b")).length).toBe(1000);
  });

  it("they stay one file when the kernel forgets it, and are two after the mount", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("a", "one");
    await world.user.link("a", "b");
    world.user.forgetAll();
    await world.user.writeFile("a", "two");
    expect(await world.user.text("b")).toBe("two");
    await using next = await world.successor(false);
    expect((await next.user.stat("b")).ino).not.toBe((await next.user.stat("a")).ino);
    expect([await next.user.text("a"), await next.user.text("b")]).toEqual(["two", "two"]);
  });

  it("they stay one file when an engine is killed, and what its successor writes reaches every name", async () => {
    await using world = await VfsWorld.open({ journal: true });
    await world.user.mkdir("d");
    await world.user.writeFile("a", "one");
    await world.user.link("a", "d/b");
    await world.user.link("a", "c");
    await world.user.unlink("c");
    const file = await world.user.open("a", O_WRONLY);
    await using next = await world.successor(true);
    await next.fs.write(file.handle, 0, Buffer.from("two"));
    await next.fs.flush(file.handle);
    for (const key of ["a", "d/b"]) expect(textOf(next.memory.bytes(key))).toBe("two");
    expect((await next.user.stat("d/b")).ino).toBe((await next.user.stat("a")).ino);
    await using third = await next.successor(true);
    expect(await third.user.stat("d/b")).toMatchObject({ ino: (await third.user.stat("a")).ino, nlink: 2 });
    third.clock.advance(METADATA_TTL_MS * 20);
    await third.user.writeFile("d/b", "three");
    expect(textOf(third.memory.bytes("a"))).toBe("three");
  });

  it("an update of another name that fails is made good by the next close", async () => {
    const memory = new MemoryObjectStore();
    const failing = new FailingObjectStore(memory);
    await using world = await VfsWorld.open({ store: failing });
    await world.user.writeFile("a", "one");
    await world.user.link("a", "b");
    const file = await world.user.open("a", O_WRONLY | O_CREAT);
    await file.write(0, "two");
    failing.fail("copy", { fault: "unavailable" });
    expect(await faultOf(file.flush())).toBe("unavailable");
    expect(textOf(memory.bytes("b"))).toBe("one");
    await file.flush();
    await file.release();
    expect([textOf(memory.bytes("a")), textOf(memory.bytes("b"))]).toEqual(["two", "two"]);
  });
});
