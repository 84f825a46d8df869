import { randomBytes } from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import type { Timespec } from "#core/clock.ts";
import { onlyTimesAdvanced } from "#fuse/vfs/metadata-ahead.ts";
import { type Attributes, decodeAttributes, encodeAttributes } from "#fuse/vfs/object-metadata.ts";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { faultOf, O_CREAT, O_TRUNC, O_WRONLY, type OpenFile } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { VfsWorld, type WorldOptions } from "../../../support/vfs-world.ts";

const PART = 64 << 10;
const WAIT_MS = 30_000;
const upload = { partSizeBytes: PART, multipartFromBytes: 2 * PART, earlyParts: { fromBytes: 2 * PART, lookEveryMs: 1 } };

const attributes: Attributes = {
  ...{ mode: 0o100644, uid: 1, gid: 2, rdev: 0 },
  ...{ atime: { sec: 1, nsec: 0 }, mtime: { sec: 2, nsec: 0 }, ctime: { sec: 3, nsec: 0 } },
};

describe("onlyTimesAdvanced", () => {
  const ahead = { metadata: encodeAttributes(attributes), attributes, mtime: attributes.mtime, ctime: attributes.ctime };

  it("is true for later times of the content, false for whatever else differs or was set", () => {
    const later = { ...attributes, mtime: { sec: 9, nsec: 1 }, ctime: { sec: 9, nsec: 1 } };
    expect(onlyTimesAdvanced(ahead, attributes, encodeAttributes(later))).toBe(true);
    expect(onlyTimesAdvanced(ahead, later, encodeAttributes(later))).toBe(false);
    expect(onlyTimesAdvanced(ahead, attributes, encodeAttributes({ ...later, mode: 0o100600 }))).toBe(false);
    const xattrs = new Map([["user.x", Buffer.from("1")]]);
    expect(onlyTimesAdvanced(ahead, attributes, encodeAttributes(later, { xattrs }))).toBe(false);
  });
});

interface Scene extends AsyncDisposable {
  readonly world: VfsWorld;
  readonly memory: MemoryObjectStore;
  readonly store: FailingObjectStore;
  readonly file: OpenFile;
  content: Buffer;
}

/** A file `f` open for writing of which parts went ahead. */
async function growing(given: WorldOptions = {}): Promise<Scene> {
  const memory = new MemoryObjectStore();
  const store = new FailingObjectStore(memory);
  if (given.options?.prefix === undefined) memory.seed("other", "x");
  const world = await VfsWorld.open({ upload, store, ...given });
  const file = await world.user.open("f", O_WRONLY | O_CREAT | O_TRUNC);
  const scene = { world, memory, store, file, content: Buffer.of(), [Symbol.asyncDispose]: () => world.remove() };
  await grow(scene, 4);
  return scene;
}

/** Appends until so many parts in all were sent. */
async function grow(scene: Scene, parts: number): Promise<void> {
  await vi.waitFor(
    async () => {
      await append(scene);
      expect(scene.memory.requests["UploadPart"] ?? 0).toBeGreaterThanOrEqual(parts);
    },
    { timeout: WAIT_MS, interval: 5 },
  );
}

async function append(scene: Scene): Promise<void> {
  const more = randomBytes(PART);
  await scene.file.write(scene.content.byteLength, more);
  scene.content = Buffer.concat([scene.content, more]);
}

function stored({ memory }: Scene, key = "f"): Attributes & { readonly bytes: Buffer } {
  const metadata = memory.metadata(key) ?? {};
  const defaults = { uid: 0, gid: 0, fileMode: 0, dirMode: 0 };
  return {
    ...decodeAttributes({ key, size: 0, lastModified: 0, headers: {}, metadata }, defaults),
    bytes: Buffer.from(memory.bytes(key) ?? []),
  };
}

const compare = (a: Timespec, b: Timespec) => a.sec - b.sec || a.nsec - b.nsec;

for (const passthrough of [false, true]) {
  describe(`an upload whose parts went ahead${passthrough ? ", in passthrough" : ""}`, () => {
    it("gives the file the times that its object has, which lie within its writing", async () => {
      await using scene = await growing({ passthrough });
      const { file, world, memory } = scene;
      const before = await file.stat();
      await file.fsync();
      const after = await file.stat();
      const { mtime, ctime, bytes } = stored(scene);
      expect(bytes.equals(scene.content)).toBe(true);
      expect([after.mtime, after.ctime]).toEqual([mtime, ctime]);
      expect(compare(mtime, before.mtime)).toBeLessThanOrEqual(0);
      expect([memory.requests["CopyObject"], memory.requests["CreateMultipartUpload"]]).toEqual([undefined, 1]);
      await file.close();
      expect((await world.user.stat("f")).mtime).toEqual(mtime);
      const other = await world.other();
      expect((await other.user.stat("f")).mtime).toEqual(mtime);
      await other.close();
    });

    it("goes on with the true times when the file is written again", async () => {
      await using scene = await growing({ passthrough });
      const { file } = scene;
      await file.fsync();
      const { mtime } = stored(scene);
      await append(scene);
      expect(compare((await file.stat()).mtime, mtime)).toBeGreaterThan(0);
      await file.close();
      expect(stored(scene).bytes.equals(scene.content)).toBe(true);
      expect((await scene.world.user.stat("f")).mtime).toEqual(stored(scene).mtime);
    });

    it("stores what was set meanwhile: mode, times and extended attributes, with one copy", async () => {
      const times = { atime: { sec: 1, nsec: 5 }, mtime: { sec: 1_000_000_000, nsec: 123_456_789 } };
      const changes: ((scene: Scene) => Promise<unknown>)[] = [
        ({ world }) => world.user.setattr("f", { mode: 0o600 }),
        ({ world }) => world.user.setattr("f", times),
        ({ world }) => world.user.setxattr("f", "user.x", "value"),
      ];
      for (const change of changes) {
        await using scene = await growing({ passthrough });
        const { world, file, memory } = scene;
        await change(scene);
        const wanted = await file.stat();
        await file.close();
        const { bytes, mode, mtime, atime } = stored(scene);
        expect(bytes.equals(scene.content)).toBe(true);
        expect({ mode, mtime, atime }).toEqual({ mode: wanted.mode, mtime: wanted.mtime, atime: wanted.atime });
        expect([memory.requests["CopyObject"], memory.openUploads]).toEqual([1, 0]);
        const other = await world.other();
        if (change === changes[2]) expect(await other.user.getxattr("f", "user.x")).toBe("value");
        expect((await other.user.stat("f")).mtime).toEqual(wanted.mtime);
        await other.close();
      }
    });

    it("that copy's failure is the closer's error, and a later upload stores all", async () => {
      await using scene = await growing({ passthrough });
      const { world, file, store } = scene;
      await world.user.setattr("f", { mode: 0o600 });
      store.fail("copy", { fault: "unavailable" });
      expect(await faultOf(file.fsync())).toBe("unavailable");
      await file.close();
      expect([stored(scene).mode, stored(scene).bytes.equals(scene.content)]).toEqual([0o100600, true]);
    });

    it("follows a rename of the open file", async () => {
      await using scene = await growing({ passthrough });
      const { world, file, memory } = scene;
      await world.user.rename("f", "g");
      await grow(scene, 8);
      await file.close();
      expect(stored(scene, "g").bytes.equals(scene.content)).toBe(true);
      expect(memory.keys).toEqual(["g", "other"]);
      await vi.waitFor(() => expect(memory.openUploads).toBe(0), { timeout: WAIT_MS });
    });

    it("is abandoned with a file that is removed", async () => {
      await using scene = await growing({ passthrough });
      const { world, file, memory } = scene;
      await world.user.unlink("f");
      await vi.waitFor(() => expect(memory.openUploads).toBe(0), { timeout: WAIT_MS });
      await file.close();
      expect(memory.keys).toEqual(["other"]);
    });

    it("whose answer is lost is no conflict at the next try", async () => {
      await using scene = await growing({ passthrough });
      const { file, store, world } = scene;
      await file.fsync();
      await append(scene);
      await grow(scene, (scene.memory.requests["UploadPart"] ?? 0) + 4);
      store.fail("completeUpload", { fault: "unavailable", after: true });
      expect(await faultOf(file.fsync())).toBe("unavailable");
      await file.close();
      expect(stored(scene).bytes.equals(scene.content)).toBe(true);
      expect(world.conflicts()).toEqual({});
    });

    it("of an engine that died is aborted by its successor, also when its last act had made the object", async () => {
      for (const completed of [false, true]) {
        await using scene = await growing({ passthrough });
        const { store, memory } = scene;
        const parts = (memory.requests["UploadPart"] ?? 0) + 3;
        await scene.file.fsync();
        await grow(scene, parts);
        if (completed) {
          // The answer never comes: the engine dies before it knows that its object is there.
          const complete = memory.completeUpload.bind(memory);
          const done = Promise.withResolvers<void>();
          memory.completeUpload = async (...args) => {
            await complete(...args);
            done.resolve();
            return new Promise<never>(() => undefined);
          };
          void scene.file.fsync().catch(() => undefined);
          await done.promise;
          memory.completeUpload = complete;
        }
        const next = await scene.world.successor(false, { store });
        await vi.waitFor(() => expect(memory.openUploads).toBe(0), { timeout: WAIT_MS });
        expect(stored(scene).bytes.equals(scene.content)).toBe(true);
        expect(next.conflicts()).toEqual({});
        await next.close();
      }
    });
  });
}
