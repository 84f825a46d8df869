import { describe, expect, it } from "vitest";
import { RENAME_EXCHANGE } from "#fuse/vfs/filesystem.ts";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { faultOf } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { METADATA_TTL_MS, VfsWorld } from "../../../support/vfs-world.ts";

const textOf = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

describe("Exchange", () => {
  it("costs three copies and a delete, and leaves nothing beside", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("a", "of a");
    await world.user.writeFile("b", "of b");
    world.memory.resetRequests();
    await world.user.rename("a", "b", RENAME_EXCHANGE);
    expect(world.memory.requests).toMatchObject({ CopyObject: 3, DeleteObject: 1 });
    expect(world.memory.keys.toSorted()).toEqual(["a", "b"]);
    expect([textOf(world.memory.bytes("a")), textOf(world.memory.bytes("b"))]).toEqual(["of b", "of a"]);
  });

  for (const [title, target, after] of [
    ["the first copy over a name fails", "a", false],
    ["the second copy over a name fails", "b", false],
    ["the answer to the first copy over a name is lost", "a", true],
    ["the answer to the second copy over a name is lost", "b", true],
  ] as const) {
    it(`puts both back when ${title}`, async () => {
      const memory = new MemoryObjectStore();
      const failing = new FailingObjectStore(memory);
      await using world = await VfsWorld.open({ store: failing });
      await world.user.writeFile("a", "of a");
      await world.user.writeFile("b", "of b");
      failing.fail("copy", { fault: "unavailable", after, when: (key) => key === target });
      expect(await faultOf(world.user.rename("a", "b", RENAME_EXCHANGE))).toBe("unavailable");
      expect(memory.keys.toSorted()).toEqual(["a", "b"]);
      for (let round = 0; round < 2; round++) {
        expect([await world.user.text("a"), await world.user.text("b")]).toEqual(["of a", "of b"]);
        world.clock.advance(METADATA_TTL_MS * 20);
      }
    });
  }

  it("loses nothing when the removal of a directory's old keys fails at the end of a move", async () => {
    for (const prefix of ["a/", "b/", ".exchange-"]) {
      const memory = new MemoryObjectStore();
      const failing = new FailingObjectStore(memory);
      await using world = await VfsWorld.open({ store: failing });
      for (const dir of ["a", "b"]) {
        await world.user.mkdir(dir);
        await world.user.writeFile(`${dir}/f`, `of ${dir}`);
      }
      failing.fail("deleteMany", { fault: "unavailable", after: true, when: (key) => key.startsWith(prefix) });
      expect(await faultOf(world.user.rename("a", "b", RENAME_EXCHANGE))).toBe("unavailable");
      expect(memory.keys.toSorted()).toEqual(["a/", "a/f", "b/", "b/f"]);
      expect([await world.user.text("a/f"), await world.user.text("b/f")]).toEqual(["of a", "of b"]);
    }
  });

  for (const target of ["a/f", "b/f", "a/of-b", "b/of-a"]) {
    for (const after of [false, true]) {
      it(`puts both directories back when the ${after ? "answer to the " : ""}copy to ${target} ${after ? "is lost" : "fails"}`, async () => {
        const memory = new MemoryObjectStore();
        const failing = new FailingObjectStore(memory);
        await using world = await VfsWorld.open({ store: failing });
        for (const dir of ["a", "b"]) {
          await world.user.mkdir(dir);
          for (const name of ["f", `of-${dir}`]) await world.user.writeFile(`${dir}/${name}`, `of ${dir}`);
        }
        failing.fail("copy", { fault: "unavailable", after, when: (key) => key === target });
        expect(await faultOf(world.user.rename("a", "b", RENAME_EXCHANGE))).toBe("unavailable");
        expect(memory.keys.toSorted()).toEqual(["a/", "a/f", "a/of-a", "b/", "b/f", "b/of-b"]);
        for (let round = 0; round < 2; round++) {
          expect([await world.user.text("a/f"), await world.user.text("b/f")]).toEqual(["of a", "of b"]);
          world.clock.advance(METADATA_TTL_MS * 20);
        }
      });
    }
  }
});
