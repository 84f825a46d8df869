import { beforeEach, describe, expect, it } from "vitest";
import { PathOperations } from "#fuse/channel/path-operations.ts";
import { createBridge } from "#fuse/engine/bridge.ts";
import type { OpHandlers } from "#fuse/wire/ops.ts";
import { MemoryFileSystem } from "../../../support/memory-filesystem.ts";

/** Lookups less forgets, by node. */
let held: Map<number, number>;
let paths: PathOperations;
beforeEach(() => {
  held = new Map();
  paths = new PathOperations(counting(createBridge(new MemoryFileSystem({ ttlMs: 0, negativeTtlMs: 0 }))), { uid: 7, gid: 8 }, 0);
});

function counting(handlers: OpHandlers): OpHandlers {
  const add = (node: number, count: number) => {
    const now = (held.get(node) ?? 0) + count;
    if (now === 0) held.delete(node);
    else held.set(node, now);
  };
  const counted = <A extends unknown[], R extends { readonly nodeid: number }>(make: (...args: A) => R | Promise<R>) => {
    return async (...args: A): Promise<R> => {
      const entry = await make(...args);
      if (entry.nodeid !== 0) add(entry.nodeid, 1);
      return entry;
    };
  };
  return {
    ...handlers,
    lookup: counted(handlers.lookup),
    mkdir: counted(handlers.mkdir),
    symlink: counted(handlers.symlink),
    link: counted(handlers.link),
    create: async (...args) => {
      const made = await handlers.create(...args);
      add(made[0].nodeid, 1);
      return made;
    },
    forget: (request, input) => {
      add(request.nodeid, -input.nlookup);
      return handlers.forget(request, input);
    },
  };
}
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

async function write(path: string, content: string): Promise<void> {
  const fh = await paths.create(path, 0o100644);
  await paths.write(fh, Buffer.from(content), 0);
  await paths.flush(fh);
  await paths.release(fh);
}

describe("PathOperations", () => {
  it("creates, writes and reads by path, as the owner it was given", async () => {
    await paths.mkdir("/a", 0o755);
    await write("/a/file", "hello");
    const fh = await paths.open("/a/file", 0);
    expect(text(await paths.read(fh, 100, 1))).toBe("ello");
    await paths.ftruncate(fh, 2);
    await paths.fsync(fh, true);
    await paths.release(fh);
    expect(await paths.getattr("/a/file")).toMatchObject({ mode: 0o100644, size: 2, uid: 7, gid: 8, nlink: 1 });
    await expect(paths.read(fh, 1, 0)).rejects.toMatchObject({ fault: "bad_handle" });
  });

  it("changes attributes, and leaves what chown(2) leaves", async () => {
    await write("/file", "hello");
    await paths.chmod("/file", 0o100600);
    await paths.chown("/file", 1, 0xffff_ffff);
    await paths.chown("/file", 0xffff_ffff, 2);
    await paths.utimens("/file", 1_500, 2_750);
    await paths.truncate("/file", 1);
    expect(await paths.getattr("/file")).toMatchObject({ mode: 0o100600, uid: 1, gid: 2, size: 1, atime: 1_500 });
  });

  it("makes, renames and removes names, and lists more than one reply holds", async () => {
    await paths.mkdir("/d", 0o755);
    for (let i = 0; i < 30; i++) await paths.symlink("../target", `/d/${"x".repeat(200)}${i}`);
    await paths.rename(`/d/${"x".repeat(200)}0`, "/link");
    await paths.link("/link", "/hard").catch(() => undefined);
    const names = (await paths.readdir("/d")).map(({ name }) => name).filter((name) => !name.startsWith("."));
    expect([names.length, await paths.readlink("/link")]).toEqual([29, "../target"]);
    await expect(paths.rmdir("/d")).rejects.toMatchObject({ fault: "not_empty" });
    await paths.unlink("/link");
    await expect(paths.getattr("/link")).rejects.toMatchObject({ fault: "not_found" });
  });

  it("gives every lookup back, also of a walk that fails", async () => {
    await paths.mkdir("/a", 0o755);
    await write("/a/file", "hello");
    await paths.setxattr("/a/file", "user.x", Buffer.from("1"), 0);
    expect([await paths.listxattr("/a/file"), text(await paths.getxattr("/a/file", "user.x"))]).toEqual([["user.x"], "1"]);
    await paths.removexattr("/a/file", "user.x");
    await expect(paths.getattr("/a/none/file")).rejects.toMatchObject({ fault: "not_found" });
    await expect(paths.open("/a/none", 0)).rejects.toMatchObject({ fault: "not_found" });
    expect([...held]).toEqual([]);
  });
});
