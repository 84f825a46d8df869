import { describe, expect, it, vi } from "vitest";
import { DriverError } from "#core/errors.ts";
import type { DirectoryEntry } from "#fuse/vfs/filesystem.ts";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { ALICE, faultOf, O_CREAT, O_RDWR, O_WRONLY, OpenFile } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { METADATA_TTL_MS, VfsWorld } from "../../../support/vfs-world.ts";

/** As AWS has it: what is not there does not match. */
class StrictDeletes extends MemoryObjectStore {
  override async delete(...[key, options]: Parameters<MemoryObjectStore["delete"]>): Promise<void> {
    if (options?.ifMatch !== undefined && !this.keys.includes(key)) throw new DriverError("stale", key);
    return super.delete(key, options);
  }
}

/** The same open file of the same process, on the engine that took over. */
function carried(file: OpenFile, world: VfsWorld): OpenFile {
  const { backingId } = file.opened;
  const fd = backingId === undefined ? undefined : world.kernel.fd(backingId);
  return new OpenFile(world.user, { node: file.node, opened: file.opened, flags: 0, fd, released: () => undefined });
}

for (const passthrough of [false, true]) {
  for (const journal of [false, true]) {
    describe(`recover(takeover) ${passthrough ? "in passthrough" : "without passthrough"}, ${journal ? "journal" : "memory"}`, () => {
      const open = () => VfsWorld.open({ passthrough, journal });

      it("nodes and handles keep working", async () => {
        const first = await open();
        await first.user.mkdir("d");
        await first.user.writeFile("d/f", "content");
        const node = await first.user.node("d/f");
        const reader = await first.user.open("d/f");
        const stream = await first.fs.opendir(await first.user.node("d"));
        await using next = await first.successor(true);
        expect((await next.fs.getattr(node)).attr).toMatchObject({ ino: node, size: 7, mode: 0o100644 });
        const same = carried(reader, next);
        expect((await same.readAll()).toString()).toBe("content");
        await same.close();
        expect((await next.user.stream(stream)).map(({ name }: DirectoryEntry) => name)).toEqual(["f"]);
        await next.fs.releasedir(stream);
        expect((await next.user.entry("d/f")).node).toBe(node);
        expect(next.kernel.registered).toBe(0);
      });

      it("what a writer had not sent is sent at its close", async () => {
        const first = await open();
        await first.user.writeFile("old", "0123456789");
        const fresh = await first.user.open("new", O_RDWR | O_CREAT);
        await fresh.write(0, "one");
        const changed = await first.user.open("old", O_WRONLY);
        await changed.write(2, "xx");
        await using next = await first.successor(true);
        expect((await next.user.readdir("")).sort()).toEqual(["new", "old"]);
        expect((await next.user.stat("new")).size).toBe(3);
        const [freshToo, changedToo] = [carried(fresh, next), carried(changed, next)];
        await freshToo.write(3, "two");
        expect((await freshToo.readAll()).toString()).toBe("onetwo");
        await freshToo.close();
        await changedToo.close();
        expect([next.memory.text("new"), next.memory.text("old")]).toEqual(["onetwo", "01xx456789"]);
        expect(next.memory.metadata("new")).toMatchObject({ uid: "1000", mode: String(0o100644) });
        expect(next.spooled()).toEqual([]);
      });

      it("a large file changed in places is whole again", async () => {
        const first = await open();
        const bytes = Buffer.alloc(300_000, "0123456789");
        first.memory.seed("f", bytes);
        const file = await first.user.open("f", O_RDWR);
        await file.write(100_000, "changed");
        bytes.write("changed", 100_000);
        await using next = await first.successor(true);
        const same = carried(file, next);
        expect((await same.readAll()).equals(bytes)).toBe(true);
        await same.close();
        expect(Buffer.compare(next.memory.bytes("f") ?? Buffer.alloc(0), bytes)).toBe(0);
      });

      it("a file can be made in a directory that was known before", async () => {
        const first = await open();
        await first.user.mkdir("d");
        const parent = await first.user.node("d");
        await using next = await first.successor(true);
        const { opened } = await next.fs.create(parent, "f", 0o100644, O_WRONLY | O_CREAT, ALICE);
        await next.fs.flush(opened.handle);
        await next.fs.release(opened.handle);
        expect(next.memory.keys).toEqual(["d/", "d/f"]);
      });

      it("the last entry of a directory without a marker can be removed", async () => {
        const first = await open();
        first.memory.seed("d/f", "x");
        const parent = await first.user.node("d");
        await first.user.node("d/f");
        await using next = await first.successor(true);
        await next.fs.unlink(parent, "f");
        expect(next.memory.keys).toEqual(["d/"]);
      });

      it("a removed file stays removed", async () => {
        const first = await open();
        await first.user.writeFile("f", "x");
        const file = await first.user.open("f", O_RDWR);
        await file.write(0, "y");
        await first.user.unlink("f");
        await using next = await first.successor(true);
        await faultOf(carried(file, next).close());
        expect(next.memory.keys).toEqual([]);
        expect(await next.user.readdir("")).toEqual([]);
      });

      it("the second of two take-overs finds the same", async () => {
        const first = await open();
        const file = await first.user.open("f", O_WRONLY | O_CREAT);
        await file.write(0, "one");
        const second = await first.successor(true);
        await carried(file, second).write(3, "two");
        await using third = await second.successor(true);
        await carried(file, third).close();
        expect(third.memory.text("f")).toBe("onetwo");
      });
    });

    describe(`recover(new connection) ${passthrough ? "in passthrough" : "without passthrough"}, ${journal ? "journal" : "memory"}`, () => {
      const open = () => VfsWorld.open({ passthrough, journal });

      it("unsent files are uploaded with their attributes", async () => {
        const first = await open();
        await first.user.writeFile("old", "0123456789");
        const fresh = await first.user.open("new", O_WRONLY | O_CREAT, 0o600);
        await fresh.write(0, "fresh");
        const changed = await first.user.open("old", O_WRONLY);
        await changed.write(2, "xx");
        const written = (await fresh.stat()).mtime;
        await using next = await first.successor(false);
        expect([next.memory.text("new"), next.memory.text("old")]).toEqual(["fresh", "01xx456789"]);
        expect(await next.user.stat("new")).toMatchObject({ uid: 1000, mode: 0o100600, mtime: written });
        expect(next.spooled()).toEqual([]);
        expect(next.context.state.recovered.dirty.size).toBe(2);
        await using third = await next.successor(false);
        expect(third.context.state.recovered.dirty.size).toBe(0);
      });

      it("a conflict is put aside and nothing is dropped", async () => {
        const first = await open();
        await first.user.writeFile("changed", "base");
        await first.user.writeFile("removed", "base");
        for (const name of ["changed", "removed", "created"]) {
          await (await first.user.open(name, O_WRONLY | O_CREAT)).write(0, `my ${name}`);
        }
        first.memory.seed("changed", "theirs");
        first.memory.seed("created", "theirs");
        await first.memory.delete("removed");
        await using next = await first.successor(false);
        expect(next.memory.text("changed")).toBe("theirs");
        expect(next.memory.text("created")).toBe("theirs");
        expect(Object.values(next.conflicts()).sort()).toEqual(["my changed", "my created", "my removed"]);
        expect(next.spooled()).toEqual([]);
      });

      it("a file that was sent right before the end is no conflict with itself", async () => {
        const first = await open();
        const file = await first.user.open("f", O_WRONLY | O_CREAT);
        await file.write(0, "data");
        await file.fsync();
        await using next = await first.successor(false);
        expect(next.memory.text("f")).toBe("data");
        expect(next.conflicts()).toEqual({});
      });
    });
  }
}

describe("recover", () => {
  it("a row whose spool file is gone does not keep the mount from starting", async () => {
    for (const takeover of [false, true]) {
      const first = await VfsWorld.open({ journal: true });
      await first.user.writeFile("f", "sent");
      const file = await first.user.open("f", O_WRONLY);
      // What a death between the end of a spool file and the end of its row leaves.
      first.context.inodes.get(file.node).content?.dirty?.discard();
      await using next = await first.successor(takeover);
      expect(await next.user.text("f")).toBe("sent");
      expect(next.log.lines.some(({ level }) => level === "warn")).toBe(true);
    }
  });

  it("`recover` fails and keeps everything when the store cannot be reached", async () => {
    const memory = new MemoryObjectStore();
    const failing = new FailingObjectStore(memory);
    const first = await VfsWorld.open({ store: failing, journal: true });
    await (await first.user.open("f", O_WRONLY | O_CREAT)).write(0, "data");
    failing.fail("put", { fault: "unavailable" });
    expect(await faultOf(first.successor(false))).toBe("unavailable");
    await using next = await first.successor(false);
    expect(memory.text("f")).toBe("data");
    expect(next.conflicts()).toEqual({});
  });

  it("an upload that reached the bucket right before the death is no conflict with oneself", async () => {
    for (const takeover of [false, true]) {
      const memory = new MemoryObjectStore();
      const failing = new FailingObjectStore(memory);
      const first = await VfsWorld.open({ store: failing, journal: true });
      await first.user.writeFile("changed", "before");
      const files = [await first.user.open("changed", O_WRONLY), await first.user.open("new", O_WRONLY | O_CREAT)];
      failing.fail("put", { fault: "interrupted", after: true, times: 2 });
      for (const file of files) {
        await file.write(0, "data");
        expect(await faultOf(file.flush())).toBe("interrupted");
      }
      await using next = await first.successor(takeover);
      if (takeover) for (const file of files) await carried(file, next).close();
      expect([memory.text("changed"), memory.text("new")]).toEqual(["datare", "data"]);
      expect(next.conflicts()).toEqual({});
    }
  });

  it("a closed file that was waiting to be sent again is sent after a take-over", async () => {
    const memory = new MemoryObjectStore();
    const failing = new FailingObjectStore(memory);
    const first = await VfsWorld.open({ store: failing, journal: true });
    failing.fail("put", { fault: "unavailable" });
    await faultOf(first.user.writeFile("f", "data"));
    await using next = await first.successor(true);
    next.clock.advance(METADATA_TTL_MS * 100);
    expect(await next.user.text("f")).toBe("data");
    await next.fs.syncAll();
    expect(memory.text("f")).toBe("data");
    expect(next.spooled()).toEqual([]);
  });
});

describe("recover with durability=local", () => {
  /** Nothing is sent before somebody asks for it. */
  const later = { durability: "local", uploadDelays: { quietMs: 600_000, latestMs: 600_000, retryMs: 600_000 } } as const;
  const atOnce = { durability: "local", uploadDelays: { quietMs: 0, latestMs: 0, retryMs: 10 } } as const;

  for (const takeover of [false, true]) {
    describe(takeover ? "on the same connection" : "on a new connection", () => {
      it("what was closed, renamed, changed and removed before its upload is so in the bucket", async () => {
        const first = await VfsWorld.open({ journal: true, options: later });
        first.memory.seed("over", "old");
        first.memory.seed("attributes", "x");
        await first.user.writeFile("new", "new");
        await first.user.setattr("new", { mode: 0o600 });
        await first.user.writeFile("tmp", "saved");
        await first.user.rename("tmp", "over");
        await first.user.writeFile("gone", "x");
        await first.user.unlink("gone");
        await first.user.setattr("attributes", { mode: 0o640 });
        expect(first.memory.requests).toMatchObject({ ListObjectsV2: 1 });
        expect(first.memory.requests).not.toHaveProperty("PutObject");
        await using next = await first.successor(takeover);
        await next.fs.syncAll();
        expect(next.memory.keys).toEqual(["attributes", "new", "over"]);
        expect([next.memory.text("new"), next.memory.text("over")]).toEqual(["new", "saved"]);
        expect(next.memory.metadata("new")?.["mode"]).toBe(String(0o100600));
        expect(next.memory.metadata("attributes")?.["mode"]).toBe(String(0o100640));
        expect(next.conflicts()).toEqual({});
        expect(next.spooled()).toEqual([]);
        await using third = await next.successor(false);
        expect(third.context.state.recovered.dirty.size).toBe(0);
      });

      it("a file that was changed while its upload was on its way is no conflict with itself", async () => {
        const memory = new MemoryObjectStore();
        const store = new FailingObjectStore(memory);
        const first = await VfsWorld.open({ store, journal: true, options: atOnce });
        await first.user.writeFile("f", "zero");
        await first.fs.syncAll();
        const goOn = store.hold("put");
        await first.user.writeFile("f", "one");
        await vi.waitUntil(() => store.calls.put === 2, 30_000);
        await first.user.writeFile("f", "two and more");
        const succeeded = first.successor(takeover);
        // The dead engine's request is carried out.
        goOn();
        await using next = await succeeded;
        await next.fs.syncAll();
        expect(memory.text("f")).toBe("two and more");
        expect(next.conflicts()).toEqual({});
      });

      it("attributes of an object that was replaced elsewhere are given up, and the object stays", async () => {
        const first = await VfsWorld.open({ journal: true, options: later });
        first.memory.seed("f", "x");
        await first.user.setattr("f", { mode: 0o600 });
        first.memory.seed("f", "theirs");
        await using next = await first.successor(takeover);
        await faultOf(next.fs.syncAll());
        expect(next.memory.text("f")).toBe("theirs");
        expect(next.memory.metadata("f")).toEqual({});
        expect(next.log.lines.some(({ level }) => level === "warn")).toBe(true);
        await next.fs.syncAll();
      });
    });
  }

  it("takes over what was closed and is open still, and sends it; what was not closed waits for that", async () => {
    const first = await VfsWorld.open({ journal: true, options: later });
    await first.user.writeFile("closed", "data");
    await first.user.open("closed");
    await (await first.user.open("open", O_WRONLY | O_CREAT)).write(0, "half");
    await using next = await first.successor(true, { options: atOnce });
    await vi.waitUntil(() => next.memory.text("closed") === "data", 30_000);
    expect(next.memory.keys).toEqual(["closed"]);
  });

  it("the removal that the kernel repeats, since the dead engine had carried it out and not answered, is no failure", async () => {
    const memory = new StrictDeletes();
    const store = new FailingObjectStore(memory);
    const first = await VfsWorld.open({ store, journal: true, options: later });
    await first.user.writeFile("f", "old");
    await first.fs.syncAll();
    await first.user.writeFile("f", "new");
    store.fail("delete", { fault: "interrupted", after: true });
    expect(await faultOf(first.user.unlink("f"))).toBe("interrupted");
    await using next = await first.successor(true);
    await next.user.unlink("f");
    await next.fs.syncAll();
    expect(memory.keys).toEqual([]);
    expect(next.conflicts()).toEqual({});
  });
});
