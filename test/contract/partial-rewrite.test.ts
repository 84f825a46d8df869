/**
 * Files in the bucket of which a part is changed: what moves between here and the bucket, and that the content is right whatever
 * happens meanwhile. The file system as a whole, without a kernel.
 */
import { describe, expect, it } from "vitest";
import { FailingObjectStore } from "../support/failing-object-store.ts";
import { faultOf, O_RDWR, O_WRONLY } from "../support/kernel-user.ts";
import { MemoryObjectStore } from "../support/memory-object-store.ts";
import { METADATA_TTL_MS, VfsWorld, type WorldOptions } from "../support/vfs-world.ts";

const MIB = 1 << 20;
const SIZE = 64 * MIB;
/** Less than the cache holds. */
const CACHED = 40 * MIB;
const DEFAULTS: WorldOptions = { upload: { copiesParts: true }, options: { trackFromBytes: CACHED } };
/** Parts of 1,000 bytes. */
const SMALL: WorldOptions = {
  upload: { copiesParts: true, partSizeBytes: 1000, multipartFromBytes: 2000 },
  options: { fillAtOpenBytes: 100, trackFromBytes: 2000 },
};
const CONTENT = Buffer.from(Array.from({ length: 400_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));

/** Counts the bytes of bodies. */
class CountingStore extends MemoryObjectStore {
  sent = 0;
  received = 0;

  override async get(...args: Parameters<MemoryObjectStore["get"]>) {
    const body = await super.get(...args);
    this.received += body.length;
    return body;
  }

  override async put(...args: Parameters<MemoryObjectStore["put"]>) {
    this.sent += lengthOf(args[1]);
    return super.put(...args);
  }

  override async uploadPart(...args: Parameters<MemoryObjectStore["uploadPart"]>) {
    this.sent += lengthOf(args[2]);
    return super.uploadPart(...args);
  }

  reset(): void {
    this.resetRequests();
    this.sent = 0;
    this.received = 0;
  }
}

function lengthOf(body: Parameters<MemoryObjectStore["put"]>[1]): number {
  return body instanceof Uint8Array ? body.byteLength : body.end - body.start;
}

function changed(at: number, text: string, content: Uint8Array = CONTENT): Buffer {
  const bytes = Buffer.from(content);
  bytes.write(text, at);
  return bytes;
}

async function change(world: VfsWorld, at: number, text: string): Promise<void> {
  const file = await world.user.open("f", O_RDWR);
  await file.write(at, text);
  await file.close();
  await world.fs.syncAll();
}

const isSame = (a: Uint8Array | undefined, b: Uint8Array) => Buffer.compare(a ?? Buffer.alloc(0), b) === 0;

for (const durability of ["remote", "local"] as const) {
  describe(`One byte of 64 MiB with durability=${durability}`, () => {
    for (const [title, passthrough] of [
      ["", false],
      [", passthrough", true],
    ] as const) {
      it(`downloads one part, sends one part, and the store copies the rest${title}`, async () => {
        const store = new CountingStore();
        const content = Buffer.alloc(SIZE, "0123456789abcdef");
        store.seed("f", content);
        await using world = await VfsWorld.open({ ...DEFAULTS, store, passthrough, options: { ...DEFAULTS.options, durability } });
        await world.user.stat("f");
        store.reset();
        await change(world, 20 * MIB + 5, "X");
        const { HeadObject: _, ...requests } = store.requests;
        expect(requests).toEqual({ GetObject: 1, CreateMultipartUpload: 1, UploadPart: 1, UploadPartCopy: 2, CompleteMultipartUpload: 1 });
        expect([store.sent, store.received]).toEqual([8 * MIB, 8 * MIB]);
        expect(isSame(store.bytes("f"), changed(20 * MIB + 5, "X", content))).toBe(true);
        // What was sent is here, and what was not is fetched when it is read.
        store.reset();
        const file = await world.user.open("f");
        expect((await file.read(20 * MIB, 8)).toString()).toBe("01234X67");
        expect(store.received).toBe(0);
        expect((await file.read(40 * MIB, 4)).toString()).toBe("0123");
        await file.close();
      });

      it(`downloads nothing when the file is in the cache, and leaves it there${title}`, async () => {
        const store = new CountingStore();
        await using world = await VfsWorld.open({ ...DEFAULTS, store, passthrough, options: { ...DEFAULTS.options, durability } });
        await world.user.writeFile("f", Buffer.alloc(CACHED, "0123456789abcdef"));
        await world.fs.syncAll();
        store.reset();
        await change(world, 20 * MIB + 5, "X");
        await change(world, CACHED, "appended");
        expect(store.requests).toMatchObject({ UploadPart: 2, UploadPartCopy: 3 });
        expect([store.sent, store.received]).toEqual([8 * MIB + 8, 0]);
        const read = await world.user.readFile("f");
        expect(isSame(store.bytes("f"), read)).toBe(true);
        expect([read.length, read.subarray(20 * MIB, 20 * MIB + 8).toString(), store.received]).toEqual([CACHED + 8, "01234X67", 0]);
      });
    }
  });
}

describe("A file that is changed in places", () => {
  it("can be changed, synced, cut, read and attributed again and again while it is open", async () => {
    await using world = await VfsWorld.open(SMALL);
    world.memory.seed("f", CONTENT);
    const file = await world.user.open("f", O_RDWR);
    let expected = Buffer.from(CONTENT);
    for (let i = 0; i < 5; i++) {
      await file.write(70_000 * i + 3, `change ${i}`);
      expected.write(`change ${i}`, 70_000 * i + 3);
      if (i === 2) {
        await file.truncate(350_500);
        await file.truncate(360_000);
        expected = Buffer.concat([expected.subarray(0, 350_500), Buffer.alloc(9_500)]);
      }
      if (i === 3) await world.user.setattr("f", { mode: 0o600 });
      if (i === 4) await world.user.rename("f", "g");
      await file.fsync();
      expect(isSame(world.memory.bytes(i === 4 ? "g" : "f"), expected)).toBe(true);
      expect(isSame(await file.readAll(), expected)).toBe(true);
    }
    await file.close();
    expect(isSame(await world.user.readFile("g"), expected)).toBe(true);
    expect(world.memory.requests["UploadPartCopy"]).toBeGreaterThan(0);
    expect(world.memory.requests["PutObject"]).toBeUndefined();
    expect([world.spooled(), world.conflicts(), world.memory.openUploads]).toEqual([[], {}, 0]);
  });

  it("is renamed, alone and with its directory, without being downloaded", async () => {
    const store = new CountingStore();
    await using world = await VfsWorld.open({ ...SMALL, store });
    const content = Buffer.alloc(4 * MIB, CONTENT);
    store.seed("d/f", content);
    const file = await world.user.open("d/f", O_RDWR);
    await file.write(10, "first");
    store.reset();
    await world.user.rename("d/f", "d/g");
    await file.write(200_000, "second");
    await world.user.rename("d", "e");
    await file.write(300_000, "third");
    await file.close();
    expect(store.received).toBeLessThan(content.length / 2);
    expect(isSame(store.bytes("e/g"), changed(300_000, "third", changed(200_000, "second", changed(10, "first", content))))).toBe(true);
  });

  it("that was cut below the size of a part is one PUT", async () => {
    const store = new CountingStore();
    await using world = await VfsWorld.open({ ...SMALL, store });
    store.seed("f", CONTENT);
    await world.user.setattr("f", { size: 1500 });
    expect(store.requests).toMatchObject({ PutObject: 1 });
    expect(isSame(store.bytes("f"), CONTENT.subarray(0, 1500))).toBe(true);
  });

  it("is read by others of this host while its upload replaces the version that they read from", async () => {
    const failing = new FailingObjectStore(new MemoryObjectStore());
    const memory = failing.inner as MemoryObjectStore;
    await using world = await VfsWorld.open({ ...SMALL, store: failing });
    memory.seed("f", CONTENT);
    const [file, reader] = [await world.user.open("f", O_RDWR), await world.user.open("f")];
    await file.write(10, "mine");
    const release = failing.hold("head");
    const synced = file.fsync();
    for (let at = 0; at < CONTENT.length; at += 50_000) {
      const read = await reader.read(at, 1000);
      expect(isSame(read, changed(10, "mine").subarray(at, at + 1000))).toBe(true);
    }
    release();
    await synced;
    expect(isSame(memory.bytes("f"), await reader.readAll())).toBe(true);
    await file.close();
    await reader.close();
  });

  it("and was replaced elsewhere: ESTALE, and what was written here is put aside, with a note of where it belongs", async () => {
    await using here = await VfsWorld.open(SMALL);
    here.memory.seed("f", CONTENT);
    const file = await here.user.open("f", O_RDWR);
    await file.write(200_000, "mine");
    here.memory.seed("f", Buffer.alloc(CONTENT.length, "theirs"));
    expect(await faultOf(file.close())).toBe("stale");
    expect(isSame(here.memory.bytes("f"), Buffer.alloc(CONTENT.length, "theirs"))).toBe(true);
    const conflicts = Object.entries(here.conflicts());
    const data = conflicts.find(([name]) => !name.endsWith(".ranges"))?.[1] ?? "";
    const ranges = JSON.parse(conflicts.find(([name]) => name.endsWith(".ranges"))?.[1] ?? "[]") as [number, number][];
    expect([data.length, data.slice(200_000, 200_004)]).toEqual([CONTENT.length, "mine"]);
    expect(ranges).toEqual([[200_000, 200_004]]);
    expect(here.memory.openUploads).toBe(0);
    expect(here.spooled()).toEqual([]);
  });

  for (const takeover of [false, true]) {
    it(`is sent whole when the kernel had its file before the writer came${takeover ? ", from a dead engine" : ""}`, async () => {
      const first = await VfsWorld.open({ ...SMALL, passthrough: true, journal: true });
      await first.user.writeFile("f", CONTENT);
      const reader = await first.user.open("f");
      await using world = takeover ? await first.successor(true) : first;
      const file = await world.user.open("f", O_RDWR);
      expect(world.kernel.registered).toBe(1);
      await file.write(200_000, "past the engine");
      await file.close();
      expect(isSame(world.memory.bytes("f"), changed(200_000, "past the engine"))).toBe(true);
      if (!takeover) await reader.close();
    });
  }

  it("is sent whole to a store that refuses to copy parts", async () => {
    const failing = new FailingObjectStore(new MemoryObjectStore());
    const memory = failing.inner as MemoryObjectStore;
    await using world = await VfsWorld.open({ ...SMALL, store: failing });
    memory.seed("f", CONTENT);
    failing.fail("copyPart", { fault: "denied", times: 1000 });
    await change(world, 5, "X");
    expect(isSame(memory.bytes("f"), changed(5, "X"))).toBe(true);
    expect([world.conflicts(), memory.openUploads]).toEqual([{}, 0]);
  });

  it("is no conflict with itself when the store's answer was lost", async () => {
    const failing = new FailingObjectStore(new MemoryObjectStore());
    const memory = failing.inner as MemoryObjectStore;
    await using world = await VfsWorld.open({ ...SMALL, store: failing });
    memory.seed("f", CONTENT);
    const file = await world.user.open("f", O_RDWR);
    await file.write(5, "X");
    failing.fail("completeUpload", { fault: "timed_out", after: true });
    expect(await faultOf(file.fsync())).toBe("timed_out");
    await file.write(300_000, "Y");
    await file.close();
    expect(isSame(memory.bytes("f"), changed(300_000, "Y", changed(5, "X")))).toBe(true);
    expect(world.conflicts()).toEqual({});
  });

  for (const takeover of [false, true]) {
    for (const reached of [false, true]) {
      const title = `${takeover ? "a successor" : "the next mount"} sends it when the engine died ${reached ? "after" : "before"} the upload`;
      it(title, async () => {
        const failing = new FailingObjectStore(new MemoryObjectStore());
        const memory = failing.inner as MemoryObjectStore;
        const options = { ...SMALL.options, durability: "local" as const, uploadDelays: { quietMs: 1, latestMs: 1, retryMs: 600_000 } };
        const first = await VfsWorld.open({ ...SMALL, options, store: failing, journal: true });
        memory.seed("f", CONTENT);
        const file = await first.user.open("f", O_WRONLY);
        await file.write(123_456, "changed");
        failing.fail("completeUpload", { fault: "interrupted", after: reached });
        expect(await faultOf(file.fsync())).toBe("interrupted");
        await file.close();
        memory.resetRequests();
        await using next = await first.successor(takeover);
        await next.fs.syncAll();
        expect(isSame(memory.bytes("f"), changed(123_456, "changed"))).toBe(true);
        expect(memory.requests["UploadPartCopy"]).toBeGreaterThan(0);
        expect(next.conflicts()).toEqual({});
        next.clock.advance(2 * METADATA_TTL_MS);
        expect(isSame(await next.user.readFile("f"), changed(123_456, "changed"))).toBe(true);
      });
    }
  }
});
