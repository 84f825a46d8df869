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

  /** Two files, and a store of which copies can be made to fail. */
  async function twoFiles() {
    const memory = new MemoryObjectStore();
    const failing = new FailingObjectStore(memory);
    const world = await VfsWorld.open({ store: failing });
    for (const name of ["a", "b"]) await world.user.writeFile(name, `of ${name}`);
    const expectContents = async (...contents: string[]) => {
      expect(memory.keys.toSorted()).toEqual(["a", "b"]);
      for (let round = 0; round < 2; round++) {
        expect([await world.user.text("a"), await world.user.text("b")]).toEqual(contents);
        world.clock.advance(METADATA_TTL_MS * 20);
      }
    };
    return { failing, world, expectContents };
  }

  for (const [title, target] of [
    ["the first copy over a name", "a"],
    ["the second copy over a name", "b"],
  ] as const) {
    it(`puts both back when ${title} fails`, async () => {
      const { failing, world, expectContents } = await twoFiles();
      await using _ = world;
      failing.fail("copy", { fault: "unavailable", when: (key) => key === target });
      expect(await faultOf(world.user.rename("a", "b", RENAME_EXCHANGE))).toBe("unavailable");
      await expectContents("of a", "of b");
    });

    it(`goes on when the answer to ${title} is lost`, async () => {
      const { failing, world, expectContents } = await twoFiles();
      await using _ = world;
      failing.fail("copy", { fault: "unavailable", after: true, when: (key) => key === target });
      await world.user.rename("a", "b", RENAME_EXCHANGE);
      await expectContents("of b", "of a");
    });

    it(`puts both back when the answer to ${title} is lost, and that it was made cannot be seen`, async () => {
      const { failing, world, expectContents } = await twoFiles();
      await using _ = world;
      failing.fail("copy", { fault: "unavailable", after: true, when: (key) => key === target });
      failing.fail("head", { fault: "unavailable", when: (key) => key === target });
      expect(await faultOf(world.user.rename("a", "b", RENAME_EXCHANGE))).toBe("unavailable");
      await expectContents("of a", "of b");
    });
  }

  it("keeps what another host put under the second name, when the second copy fails", async () => {
    const { failing, world } = await twoFiles();
    await using _ = world;
    const fail = (key: string) => {
      if (key === "b") void failing.inner.put("b", Buffer.from("theirs"));
      return key === "b";
    };
    failing.fail("copy", { fault: "denied", when: fail });
    expect(await faultOf(world.user.rename("a", "b", RENAME_EXCHANGE))).toBe("denied");
    world.clock.advance(METADATA_TTL_MS * 20);
    expect([await world.user.text("a"), await world.user.text("b")]).toEqual(["of a", "theirs"]);
  });

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
    for (const [what, after] of [
      ["puts both directories back when the copy to", false],
      ["goes on when the answer is lost to the copy to", true],
    ] as const) {
      it(`${what} ${target}`, async () => {
        const memory = new MemoryObjectStore();
        const failing = new FailingObjectStore(memory);
        await using world = await VfsWorld.open({ store: failing });
        for (const dir of ["a", "b"]) {
          await world.user.mkdir(dir);
          for (const name of ["f", `of-${dir}`]) await world.user.writeFile(`${dir}/${name}`, `of ${dir}`);
        }
        failing.fail("copy", { fault: "unavailable", after, when: (key) => key === target });
        expect(await faultOf(world.user.rename("a", "b", RENAME_EXCHANGE))).toBe(after ? "done" : "unavailable");
        const [a, b] = after ? ["b", "a"] : ["a", "b"];
        expect(memory.keys.toSorted()).toEqual(["a/", "a/f", `a/of-${a}`, "b/", "b/f", `b/of-${b}`]);
        for (let round = 0; round < 2; round++) {
          expect([await world.user.text("a/f"), await world.user.text("b/f")]).toEqual([`of ${a}`, `of ${b}`]);
          world.clock.advance(METADATA_TTL_MS * 20);
        }
      });
    }
  }
});
