import { describe, expect, test, vi } from "vitest";
import { type HandleId, type NodeId, ROOT_NODE } from "../../../../src/core/brand.ts";
import { DriverError } from "../../../../src/core/errors.ts";
import { attrChanges, createBridge } from "../../../../src/fuse/engine/bridge.ts";
import { FATTR, FOPEN, FUSE_OPEN_KILL_SUIDGID, FUSE_SETXATTR_ACL_KILL_SGID, FUSE_WRITE } from "../../../../src/fuse/wire/flags.ts";
import type { OpRequest } from "../../../../src/fuse/wire/ops.ts";
import { MemoryFileSystem } from "../../../support/memory-filesystem.ts";

const O_RDWR = 2;
const O_EXCL = 0o200;

function request(changes: Partial<OpRequest> = {}): OpRequest {
  return { unique: 2, resent: false, nodeid: ROOT_NODE, uid: 1000, gid: 1000, pid: 7, signal: new AbortController().signal, ...changes };
}
const again = request({ resent: true });

async function faultOf(answer: unknown): Promise<string | undefined> {
  try {
    await answer;
    return undefined;
  } catch (error) {
    return error instanceof DriverError ? error.fault : String(error);
  }
}

const call = async <T>(answer: T | Promise<T>): Promise<T> => answer;

const NO_SETATTR = {
  valid: 0,
  fh: 0,
  size: 0,
  lock_owner: 0n,
  atime: 0,
  mtime: 0,
  ctime: 0,
  atimensec: 0,
  mtimensec: 0,
  ctimensec: 0,
  mode: 0,
  uid: 0,
  gid: 0,
};
const WRITE = { offset: 0, size: 1, lock_owner: 0n, flags: 0 };

describe("lookup", () => {
  test("an absence is ENOENT, or with a time to live an entry of node 0", async () => {
    expect(await faultOf(createBridge(new MemoryFileSystem()).lookup(request(), "no"))).toBe("not_found");
    const entry = await call(createBridge(new MemoryFileSystem({ negativeTtlMs: 1500 })).lookup(request(), "no"));
    expect([entry.nodeid, entry.entry_valid, entry.entry_valid_nsec]).toEqual([0, 1, 500_000_000]);
  });

  test("endless times to live are bounded", async () => {
    const bridge = createBridge(new MemoryFileSystem({ ttlMs: Number.POSITIVE_INFINITY }));
    const entry = await call(bridge.mkdir(request(), { mode: 0o755, umask: 0 }, "dir"));
    expect(entry.entry_valid).toBe(365 * 24 * 3600);
    expect(entry.attr.mode).toBe(0o040755);
  });
});

describe("attrChanges", () => {
  test("takes the valid fields only", () => {
    const input = { ...NO_SETATTR, size: 5, mode: 0o600, uid: 7, mtime: -3, mtimensec: 4, ctime: 9 };
    expect(attrChanges({ ...input, valid: FATTR.SIZE | FATTR.ATIME | FATTR.ATIME_NOW | FATTR.KILL_SUIDGID })).toEqual({
      size: 5,
      atime: "now",
      killSuidGid: true,
    });
    expect(attrChanges({ ...input, valid: FATTR.MODE | FATTR.UID | FATTR.GID | FATTR.MTIME | FATTR.CTIME })).toEqual({
      mode: 0o600,
      uid: 7,
      gid: 0,
      mtime: { sec: -3, nsec: 4 },
      ctime: { sec: 9, nsec: 0 },
    });
    expect(attrChanges(NO_SETATTR)).toEqual({});
  });
});

describe("open and create", () => {
  test("a backing id, kept pages and direct I/O become FOPEN flags", async () => {
    const fs = new MemoryFileSystem();
    const bridge = createBridge(fs);
    const open = vi.spyOn(fs, "open");
    open.mockResolvedValueOnce({ handle: 5 as HandleId, backingId: 3 });
    expect(await bridge.open(request(), { flags: O_RDWR, open_flags: 0 })).toEqual({ fh: 5, open_flags: FOPEN.PASSTHROUGH, backing_id: 3 });
    open.mockResolvedValueOnce({ handle: 6 as HandleId, keepCache: true, directIo: true, noFlush: true });
    const flags = FOPEN.KEEP_CACHE | FOPEN.DIRECT_IO | FOPEN.NOFLUSH;
    expect(await bridge.open(request(), { flags: O_RDWR, open_flags: 0 })).toEqual({ fh: 6, open_flags: flags, backing_id: 0 });
  });

  test("setuid and setgid are dropped by an unprivileged truncating open, and once per handle by writes until the next chmod", async () => {
    const fs = new MemoryFileSystem();
    const bridge = createBridge(fs);
    const [entry, opened] = await call(bridge.create(request(), { flags: O_RDWR, mode: 0o755, umask: 0, open_flags: 0 }, "f"));
    const file = request({ nodeid: entry.nodeid });
    const setattr = vi.spyOn(fs, "setattr");
    const write = (): unknown => bridge.write(file, { ...WRITE, fh: opened.fh, write_flags: FUSE_WRITE.KILL_SUIDGID }, Buffer.from("x"));
    const chmod = (mode: number): unknown => bridge.setattr(file, { ...NO_SETATTR, valid: FATTR.MODE, mode });
    await chmod(0o4755);
    await write();
    await write();
    expect(setattr).toHaveBeenCalledTimes(2); // the chmod, the first write
    expect((await fs.getattr(entry.nodeid as NodeId)).attr.mode & 0o7777).toBe(0o755);
    await chmod(0o6755);
    await write();
    expect((await fs.getattr(entry.nodeid as NodeId)).attr.mode & 0o7777).toBe(0o755);
    await chmod(0o4755);
    await bridge.open(file, { flags: O_RDWR | 0o1000, open_flags: FUSE_OPEN_KILL_SUIDGID });
    expect((await fs.getattr(entry.nodeid as NodeId)).attr.mode & 0o7777).toBe(0o755);
  });
});

describe("a repeated request that was carried out before", () => {
  test("MKDIR, SYMLINK, MKNOD and LINK answer the existing name", async () => {
    const bridge = createBridge(new MemoryFileSystem());
    const dir = await call(bridge.mkdir(request(), { mode: 0o755, umask: 0 }, "dir"));
    expect((await call(bridge.mkdir(again, { mode: 0o755, umask: 0 }, "dir"))).nodeid).toBe(dir.nodeid);
    const link = await call(bridge.symlink(request(), "link", "dir"));
    expect((await call(bridge.symlink(again, "link", "dir"))).nodeid).toBe(link.nodeid);
    const fifo = await call(bridge.mknod(request(), { mode: 0o010600, rdev: 0, umask: 0 }, "fifo"));
    expect((await call(bridge.mknod(again, { mode: 0o010600, rdev: 0, umask: 0 }, "fifo"))).nodeid).toBe(fifo.nodeid);
    await bridge.link(request(), { oldnodeid: fifo.nodeid }, "second");
    expect((await call(bridge.link(again, { oldnodeid: fifo.nodeid }, "second"))).nodeid).toBe(fifo.nodeid);
  });

  test("an exclusive CREATE opens the file it made", async () => {
    const bridge = createBridge(new MemoryFileSystem());
    const create = { flags: O_RDWR | O_EXCL, mode: 0o644, umask: 0, open_flags: 0 };
    const [made] = await call(bridge.create(request(), create, "f"));
    const [found, opened] = await call(bridge.create(again, create, "f"));
    expect(found.nodeid).toBe(made.nodeid);
    expect(await bridge.write(again, { ...WRITE, fh: opened.fh, write_flags: 0 }, Buffer.from("x"))).toEqual({ size: 1 });
  });

  test("UNLINK, RMDIR, RENAME, REMOVEXATTR and SETXATTR with XATTR_CREATE succeed", async () => {
    const bridge = createBridge(new MemoryFileSystem());
    await bridge.setxattr(request(), { size: 1, flags: 1, setxattr_flags: 0 }, "user.x", Buffer.from("v"));
    const repeated = [
      bridge.unlink(again, "gone"),
      bridge.rmdir(again, "gone"),
      bridge.rename(again, { newdir: ROOT_NODE }, "gone", "there"),
      bridge.removexattr(again, "user.gone"),
      bridge.setxattr(again, { size: 1, flags: 1, setxattr_flags: 0 }, "user.x", Buffer.from("v")),
    ];
    for (const answer of repeated) expect(await faultOf(answer)).toBeUndefined();
  });

  test("the same requests fail when they are not repeated, and a repeated one with another error fails too", async () => {
    const bridge = createBridge(new MemoryFileSystem());
    const dir = await call(bridge.mkdir(request(), { mode: 0o755, umask: 0 }, "dir"));
    await bridge.mkdir(request({ nodeid: dir.nodeid }), { mode: 0o755, umask: 0 }, "inner");
    expect(await faultOf(bridge.mkdir(request(), { mode: 0o755, umask: 0 }, "dir"))).toBe("exists");
    expect(await faultOf(bridge.create(request(), { flags: O_EXCL, mode: 0o644, umask: 0, open_flags: 0 }, "dir"))).toBe("exists");
    for (const answer of [bridge.unlink(request(), "gone"), bridge.rename(request(), { newdir: ROOT_NODE }, "gone", "x")]) {
      expect(await faultOf(answer)).toBe("not_found");
    }
    expect(await faultOf(bridge.rmdir(again, "dir"))).toBe("not_empty");
  });
});

describe("extended attributes", () => {
  test("size 0 asks for the size, too small a size is ERANGE, and the list is NUL-terminated", async () => {
    const bridge = createBridge(new MemoryFileSystem());
    for (const name of ["user.a", "user.é"])
      await bridge.setxattr(request(), { size: 3, flags: 0, setxattr_flags: 0 }, name, Buffer.from("abc"));
    expect(await bridge.getxattr(request(), { size: 0 }, "user.a")).toEqual({ size: 3 });
    expect(await faultOf(bridge.getxattr(request(), { size: 2 }, "user.a"))).toBe("range");
    expect(Buffer.from((await bridge.getxattr(request(), { size: 3 }, "user.a")) as Uint8Array).toString()).toBe("abc");
    expect(Buffer.from((await bridge.listxattr(request(), { size: 100 })) as Uint8Array).toString()).toBe("user.a\0user.é\0");
    expect(await bridge.listxattr(request(), { size: 0 })).toEqual({ size: 15 });
  });
});

describe("what the kernel leaves to us with ACLs", () => {
  test("the maker's umask goes along with what is made, and so does the interrupt", async () => {
    const fs = new MemoryFileSystem();
    const made = [vi.spyOn(fs, "mkdir"), vi.spyOn(fs, "mknod"), vi.spyOn(fs, "create"), vi.spyOn(fs, "tmpfile")];
    const bridge = createBridge(fs);
    const asked = request();
    await bridge.mkdir(asked, { mode: 0o777, umask: 0o27 }, "dir");
    await bridge.mknod(asked, { mode: 0o010666, rdev: 0, umask: 0o27 }, "fifo");
    await bridge.create(asked, { flags: O_RDWR, mode: 0o666, umask: 0o27, open_flags: 0 }, "file");
    expect(await faultOf(bridge.tmpfile(asked, { flags: O_RDWR, mode: 0o666, umask: 0o27, open_flags: 0 }, ""))).toBe("unsupported");
    for (const { mock } of made) {
      const caller = mock.calls[0]?.at(-1) as { signal: AbortSignal };
      expect(caller).toMatchObject({ umask: 0o27, uid: 1000, gid: 1000, pid: 7 });
      expect(caller.signal).toBe(asked.signal);
    }
  });

  test("an ACL of somebody who is not in the group takes set-group-id away", async () => {
    const fs = new MemoryFileSystem();
    const set = vi.spyOn(fs, "setxattr");
    const bridge = createBridge(fs);
    for (const setxattr_flags of [0, FUSE_SETXATTR_ACL_KILL_SGID]) {
      await bridge.setxattr(request(), { size: 1, flags: 0, setxattr_flags }, "user.x", Buffer.from("v"));
    }
    expect(set.mock.calls.map((call) => call.at(-1))).toEqual([false, true]);
  });
});

describe("directories", () => {
  test("a listing in small pieces gives every entry once, also READDIRPLUS without attributes", async () => {
    for (const plainEntries of [false, true]) {
      const bridge = createBridge(new MemoryFileSystem({ plainEntries }));
      for (let i = 0; i < 20; i++) await bridge.mkdir(request(), { mode: 0o755, umask: 0 }, `d${i}`);
      const { fh } = await call(bridge.opendir(request(), { flags: 0, open_flags: 0 }));
      const names: string[] = [];
      for (let offset = 0; ; ) {
        const bytes = Buffer.from(
          (await bridge.readdirplus(request(), { fh, offset, size: 700, read_flags: 0, lock_owner: 0n, flags: 0 })) as Uint8Array,
        );
        if (bytes.length === 0) break;
        for (let at = 0; at < bytes.length; ) {
          const namelen = bytes.readUInt32LE(at + 144);
          names.push(bytes.toString("utf8", at + 152, at + 152 + namelen));
          expect(bytes.readBigUInt64LE(at) === 0n).toBe(plainEntries || names.length <= 2); // "." and ".." never carry attributes
          offset = Number(bytes.readBigUInt64LE(at + 136));
          at += Math.ceil((152 + namelen) / 8) * 8;
        }
      }
      expect(names.toSorted()).toEqual([".", "..", ...Array.from({ length: 20 }, (_, i) => `d${i}`)].toSorted());
    }
  });
});

test("BATCH_FORGET forgets each node", () => {
  const fs = new MemoryFileSystem();
  const forget = vi.spyOn(fs, "forget");
  const payload = Buffer.alloc(32);
  payload.writeBigUInt64LE(5n, 0);
  payload.writeBigUInt64LE(2n, 8);
  payload.writeBigUInt64LE(6n, 16);
  payload.writeBigUInt64LE(1n, 24);
  void createBridge(fs).batchForget(request(), { count: 2 }, payload);
  expect(forget.mock.calls).toEqual([
    [5, 2],
    [6, 1],
  ]);
});
