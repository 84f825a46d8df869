import { describe, expect, it } from "vitest";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { faultOf, O_CREAT, O_RDWR, O_WRONLY } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { VfsWorld, type WorldOptions } from "../../../support/vfs-world.ts";

const WORLD: WorldOptions = {
  upload: { copiesParts: true, partSizeBytes: 1000, multipartFromBytes: 2000 },
  options: { fillAtOpenBytes: 10_000 },
};
const CONTENT = Buffer.from(Array.from({ length: 9_500 }, (_, i) => (i * 31) & 255));
/** As cp(1) asks. */
const ALL = Number.MAX_SAFE_INTEGER;

async function copy(world: VfsWorld, from: string, to: string, { flags = O_WRONLY | O_CREAT, length = ALL, offset = 0 } = {}) {
  const [source, target] = [await world.user.open(from), await world.user.open(to, flags)];
  const places = [
    { handle: source.handle, offset },
    { handle: target.handle, offset: 0 },
  ] as const;
  const count = world.fs.copyFileRange(...places, length);
  return { source, target, count };
}

const isSame = (a: Uint8Array | undefined, b: Uint8Array) => Buffer.compare(a ?? Buffer.alloc(0), b) === 0;

for (const passthrough of [false, true]) {
  describe(`copyWhole${passthrough ? ", passthrough" : ""}`, () => {
    it("is a copy inside the store, with attributes of its own, and is read from the local disk", async () => {
      await using world = await VfsWorld.open({ ...WORLD, passthrough });
      await world.user.writeFile("a", CONTENT);
      await world.user.setattr("a", { mode: 0o600 });
      const { source, target, count } = await copy(world, "a", "b");
      expect(await count).toBe(CONTENT.length);
      expect((await target.stat()).size).toBe(CONTENT.length);
      world.memory.resetRequests();
      await target.close();
      await source.close();
      expect(world.memory.requests).toMatchObject({ UploadPartCopy: 2, CompleteMultipartUpload: 1 });
      expect([world.memory.requests["PutObject"], world.memory.requests["UploadPart"]]).toEqual([undefined, undefined]);
      expect(isSame(world.memory.bytes("b"), CONTENT)).toBe(true);
      expect(world.memory.metadata("b")).toMatchObject({ mode: String(0o100644) });
      world.memory.resetRequests();
      expect(isSame(await world.user.readFile("b"), CONTENT)).toBe(true);
      expect(world.memory.requests).toEqual({});
      expect([world.spooled(), world.conflicts()]).toEqual([[], {}]);
    });

    it("holds what is written to either file after it", async () => {
      await using world = await VfsWorld.open({ ...WORLD, passthrough });
      await world.user.writeFile("a", CONTENT);
      const { source, target, count } = await copy(world, "a", "b");
      await count;
      await target.write(5_000, "changed");
      await target.close();
      await source.close();
      const again = await copy(world, "a", "c");
      await again.count;
      await again.source.close();
      await world.user.writeFile("a", "something else");
      await again.target.close();
      const expected = Buffer.from(CONTENT);
      expect(isSame(world.memory.bytes("c"), expected)).toBe(true);
      expected.write("changed", 5_000);
      expect(isSame(world.memory.bytes("b"), expected)).toBe(true);
    });

    it("sends what is here when the source is removed before the upload, or the store copies nothing", async () => {
      for (const trouble of ["removed", "refused"] as const) {
        const failing = new FailingObjectStore(new MemoryObjectStore());
        const memory = failing.inner as MemoryObjectStore;
        await using world = await VfsWorld.open({
          ...WORLD,
          store: failing,
          passthrough,
          options: { ...WORLD.options, durability: "local" },
        });
        await world.user.writeFile("a", CONTENT);
        await world.fs.syncAll();
        const { source, target, count } = await copy(world, "a", "b");
        await count;
        await source.close();
        if (trouble === "removed") await world.user.unlink("a");
        else failing.fail("copyPart", { fault: "denied", times: 99 });
        await target.close();
        await world.fs.syncAll();
        expect(isSame(memory.bytes("b"), CONTENT)).toBe(true);
        expect([memory.openUploads, world.conflicts()]).toEqual([0, {}]);
      }
    });

    it("is a copy inside the store under the name that it got before the upload, and after a try that failed", async () => {
      const failing = new FailingObjectStore(new MemoryObjectStore());
      const memory = failing.inner as MemoryObjectStore;
      const uploadDelays = { quietMs: 600_000, latestMs: 600_000, retryMs: 600_000 };
      const options = { ...WORLD.options, durability: "local", uploadDelays } as const;
      await using world = await VfsWorld.open({ ...WORLD, store: failing, passthrough, options });
      await world.user.writeFile("a", CONTENT);
      await world.fs.syncAll();
      const { source, target, count } = await copy(world, "a", "b");
      await count;
      await source.close();
      await target.close();
      failing.fail("copyPart", { fault: "unavailable" });
      expect(await faultOf(world.fs.syncAll())).toBe("unavailable");
      await world.user.rename("b", "c");
      memory.resetRequests();
      await world.fs.syncAll();
      expect([memory.requests["UploadPart"], isSame(memory.bytes("c"), CONTENT)]).toEqual([undefined, true]);
      expect(memory.keys).toEqual(["a", "c"]);
    });

    it("leaves to the kernel what is not a whole clean file into an empty one, and changes nothing then", async () => {
      await using world = await VfsWorld.open({ ...WORLD, passthrough });
      await world.user.writeFile("a", CONTENT);
      await world.user.writeFile("small", CONTENT.subarray(0, 1500));
      await world.user.writeFile("full", "x");
      const refused = async (from: string, to: string, options: Parameters<typeof copy>[3] = {}) => {
        const { source, target, count } = await copy(world, from, to, options);
        expect(await faultOf(count)).toBe("unsupported");
        await target.close();
        await source.close();
      };
      await refused("a", "b", { length: 9_000 });
      await refused("a", "b", { offset: 1 });
      await refused("a", "a", { flags: O_RDWR });
      await refused("a", "full", { flags: O_RDWR });
      await refused("small", "b");
      const writer = await world.user.open("a", O_RDWR);
      await refused("a", "b");
      await writer.close();
      expect([world.memory.text("full"), world.memory.bytes("b")?.length, isSame(world.memory.bytes("a"), CONTENT)]).toEqual([
        "x",
        0,
        true,
      ]);
      const { source, target } = await copy(world, "a", "c");
      const back = [
        { handle: target.handle, offset: 0 },
        { handle: source.handle, offset: 0 },
      ] as const;
      expect(await faultOf(world.fs.copyFileRange(...back, ALL))).toBe("bad_handle");
    });
  });
}
