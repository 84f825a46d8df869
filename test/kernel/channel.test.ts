/** The channel and the bridge on a real mount, served by a child process. Only asynchronous calls touch the mount. */
import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, promises as fs } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bindMount, mountEntries, mountFuse, openFuseDevice, unmount } from "../../src/fuse/channel/mount.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { patternBytes } from "../support/memory-inode.ts";
import { type MemoryMount, mountMemory } from "../support/memory-mount.ts";
import { MountUser } from "../support/mount-user.ts";

const run = promisify(execFile);
const CRASHER = new URL("../support/crash-while-serving.ts", import.meta.url).pathname;
const MIB = 1 << 20;
const SLOW_SIZE = 4 * MIB;

const skip = skipMounts("the kernel channel on real mounts");

async function errnoOf(promise: Promise<unknown>): Promise<string | undefined> {
  return promise.then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code,
  );
}

describe.skipIf(skip)("a mounted file system", () => {
  let mount: MemoryMount;
  const at = (...path: string[]): string => join(mount.dir, ...path);

  beforeAll(async () => {
    mount = await mountMemory({ patterns: [["pattern", 64 * MIB, 0]], negativeTtlMs: 0 });
  });
  afterAll(async () => {
    expect(await mount.unmount()).toBe(0); // unmounting resolves serve()
  });

  test("`mountFuse` shows the type, the source and the options in mountinfo", () => {
    const entry = mountEntries().find((line) => line.mountPoint === mount.dir);
    expect(entry).toMatchObject({ type: "fuse.bucketmount", source: "memory" });
  });

  test("a file is created, read, overwritten in the middle, appended to and truncated", async () => {
    await fs.writeFile(at("file"), "hello world", { mode: 0o640 });
    const file = await fs.open(at("file"), "r+");
    await file.write("WORLD", 6);
    await file.close();
    await fs.appendFile(at("file"), "!");
    expect(await fs.readFile(at("file"), "utf8")).toBe("hello WORLD!");
    await fs.truncate(at("file"), 5);
    expect(await fs.readFile(at("file"), "utf8")).toBe("hello");
    expect((await fs.stat(at("file"))).mode).toBe(0o100640);
    await fs.writeFile(at("file"), "x"); // O_TRUNC
    expect(await fs.readFile(at("file"), "utf8")).toBe("x");
    expect(await errnoOf(fs.open(at("file"), "wx"))).toBe("EEXIST");
  });

  test("writes and reads of 8 MiB arrive byte by byte, in requests of 1 MiB", async () => {
    const before = (await mount.calls()).calls["write"] ?? 0;
    const content = randomBytes(8 * MIB);
    await fs.writeFile(at("large"), content);
    const read = await fs.readFile(at("large"));
    expect(createHash("sha256").update(read).digest("hex")).toBe(createHash("sha256").update(content).digest("hex"));
    const writes = ((await mount.calls()).calls["write"] ?? 0) - before;
    expect(writes).toBeLessThanOrEqual(16); // 512 KiB by Node's own chunking of writeFile
  });

  test("syncfs(2) does not arrive, fsync of a directory does", async () => {
    const before = (await mount.calls()).calls;
    await fs.writeFile(at("synced"), "x");
    await run("sync", ["-f", at("synced")]);
    await run("sync", [mount.dir]);
    const after = (await mount.calls()).calls;
    const made = (name: string) => (after[name] ?? 0) - (before[name] ?? 0);
    expect([made("syncAll"), made("fsyncdir")]).toEqual([0, 1]);
  });

  test("writers at once do not disturb each other's bytes", async () => {
    const content = Array.from({ length: 12 }, (_, i) => Buffer.alloc(3 * MIB + i, i + 1));
    await Promise.all(content.map((bytes, i) => fs.writeFile(at(`writer-${i}`), bytes)));
    for (const [i, bytes] of content.entries()) expect((await fs.readFile(at(`writer-${i}`))).equals(bytes)).toBe(true);
  });

  test("directories are made, listed, renamed and removed", async () => {
    await fs.mkdir(at("dir", "deep"), { recursive: true });
    await fs.writeFile(at("dir", "deep", "f"), "1");
    expect(await errnoOf(fs.rmdir(at("dir")))).toBe("ENOTEMPTY");
    await fs.rename(at("dir"), at("moved"));
    expect(await fs.readFile(at("moved", "deep", "f"), "utf8")).toBe("1");
    expect(await errnoOf(fs.stat(at("dir")))).toBe("ENOENT");
    await fs.unlink(at("moved", "deep", "f"));
    await fs.rmdir(at("moved", "deep"));
    await fs.rmdir(at("moved"));
    expect(await errnoOf(fs.stat(at("moved")))).toBe("ENOENT");
  });

  test("a directory of 3000 entries lists each once, by READDIR and by READDIRPLUS", async () => {
    await fs.mkdir(at("many"));
    const names = Array.from({ length: 3000 }, (_, i) => `entry-${i}-${"x".repeat(i % 60)}`);
    for (let i = 0; i < names.length; i += 50) await Promise.all(names.slice(i, i + 50).map((name) => fs.writeFile(at("many", name), "")));
    expect((await fs.readdir(at("many"))).toSorted()).toEqual(names.toSorted());
    const { stdout } = await run("ls", ["-l", at("many")], { maxBuffer: 16 * MIB });
    expect(stdout.split("\n").filter((line) => line.includes("entry-"))).toHaveLength(3000);
  });

  test("names that are not UTF-8 survive", async () => {
    const name = Buffer.from([0x61, 0xff, 0xfe, 0xc3, 0xa9, 0xed, 0xa0, 0x80]);
    const path = Buffer.concat([Buffer.from(`${mount.dir}/`), name]);
    await fs.writeFile(path, "bytes");
    expect(await fs.readFile(path, "utf8")).toBe("bytes");
    const listed = await fs.readdir(mount.dir, { encoding: "buffer" });
    expect(listed.some((entry) => entry.equals(name))).toBe(true);
    await fs.unlink(path);
  });

  test("symbolic links, hard links, modes and times are kept", async () => {
    await fs.writeFile(at("target"), "t");
    await fs.symlink("target", at("link"));
    expect(await fs.readlink(at("link"))).toBe("target");
    expect(await fs.readFile(at("link"), "utf8")).toBe("t");
    await fs.link(at("target"), at("second"));
    expect((await fs.stat(at("target"))).nlink).toBe(2);
    await fs.chmod(at("target"), 0o4711);
    await fs.chown(at("target"), 1000, 2000);
    await fs.utimes(at("target"), new Date(1_000_000_000_250), new Date(-3_600_000)); // before 1970 too
    const stat = await fs.stat(at("target"));
    expect([stat.mode & 0o777, stat.uid, stat.gid, stat.atimeMs, stat.mtimeMs]).toEqual([0o711, 1000, 2000, 1_000_000_000_250, -3_600_000]);
  });

  test("a write by an unprivileged process drops the setuid bit", async () => {
    await fs.writeFile(at("suid"), "x", { mode: 0o777 });
    await fs.chmod(at("suid"), 0o4777);
    await run("sh", ["-c", `echo y >> ${at("suid")}`], { uid: 65534, gid: 65534 });
    expect((await fs.stat(at("suid"))).mode & 0o7777).toBe(0o777);
    expect(await fs.readFile(at("suid"), "utf8")).toBe("xy\n");
  });

  test("extended attributes are set, listed, read and removed, with the kernel's errors", async () => {
    const python = `
import os, sys, errno
p = sys.argv[1]
os.setxattr(p, "user.one", b"1" * 5000)
os.setxattr(p, "user.two", b"")
assert sorted(os.listxattr(p)) == ["user.one", "user.two"], os.listxattr(p)
assert os.getxattr(p, "user.one") == b"1" * 5000
assert os.getxattr(p, "user.two") == b""
for call, wanted in ((lambda: os.setxattr(p, "user.one", b"", os.XATTR_CREATE), errno.EEXIST), (lambda: os.getxattr(p, "user.no"), errno.ENODATA), (lambda: os.setxattr(p, "user.no", b"", os.XATTR_REPLACE), errno.ENODATA)):
    try: call()
    except OSError as e: assert e.errno == wanted, e
    else: raise Exception("no error")
os.removexattr(p, "user.one")
assert os.listxattr(p) == ["user.two"]
`;
    await fs.writeFile(at("attributed"), "");
    await run("python3", ["-c", python, at("attributed")]);
  });

  test("O_TMPFILE, ioctl, copy_file_range and flock, which this file system does not serve, are refused or done by the kernel", async () => {
    await fs.writeFile(at("source"), "copied");
    const python = `
import os, sys, fcntl, errno
d = sys.argv[1]
try: os.open(d, os.O_TMPFILE | os.O_RDWR)
except OSError as e: assert e.errno == errno.EOPNOTSUPP, e
else: raise Exception("O_TMPFILE worked")
a = os.open(d + "/source", os.O_RDONLY); b = os.open(d + "/copy", os.O_CREAT | os.O_RDWR)
assert os.copy_file_range(a, b, 6) == 6
assert os.pread(b, 10, 0) == b"copied"
fcntl.flock(a, fcntl.LOCK_EX | fcntl.LOCK_NB)
c = os.open(d + "/source", os.O_RDONLY)
try: fcntl.flock(c, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: pass
else: raise Exception("locked twice")
try: fcntl.ioctl(a, 0x5401)
except OSError as e: assert e.errno == errno.ENOTTY, e
else: raise Exception("ioctl worked")
os.posix_fallocate(b, 0, 100); assert os.fstat(b).st_size == 100
assert os.lseek(b, 0, os.SEEK_HOLE) == 100
`;
    await run("python3", ["-c", python, mount.dir]);
  });

  test("`bindMount` shows the mount elsewhere, read-only where asked", async () => {
    const target = await fs.mkdtemp(join(tmpdir(), "bucketmount-bind-"));
    await fs.writeFile(at("seen"), "both");
    await bindMount(mount.dir, target, { readOnly: true, noExec: true });
    try {
      expect(await fs.readFile(join(target, "seen"), "utf8")).toBe("both");
      expect(await errnoOf(fs.writeFile(join(target, "seen"), "no"))).toBe("EROFS");
      expect(mountEntries().find((line) => line.mountPoint === target)?.options).toEqual(expect.arrayContaining(["ro", "noexec"]));
    } finally {
      await unmount(target);
      await fs.rmdir(target);
    }
    await fs.writeFile(at("seen"), "still writable");
  });

  test("`unmount` says that the mount is in use while a file is open", async () => {
    const file = await fs.open(at("held"), "w");
    await expect(unmount(mount.dir)).rejects.toMatchObject({ fault: "in_use", message: expect.stringContaining(mount.dir) });
    await file.close();
  });
});

describe.skipIf(skip)("mount errors", () => {
  test("`mountFuse` names the directory that is missing, and `unmount` the one where nothing is mounted", async () => {
    const fd = openFuseDevice();
    await expect(mountFuse(fd, "/nonexistent/dir", { source: "x", allowOther: true })).rejects.toMatchObject({
      fault: "not_found",
      message: expect.stringContaining("/nonexistent/dir"),
    });
    closeSync(fd);
    await expect(unmount(tmpdir())).rejects.toMatchObject({
      fault: "bad_argument",
      message: expect.stringContaining("nothing is mounted"),
    });
  });
});

describe.skipIf(skip)("READDIRPLUS without attributes", () => {
  test("entries of node id 0 are listed, and looked up when asked for", async () => {
    await using mount = await mountMemory({
      patterns: [
        ["a", 10, 0],
        ["b", 20, 0],
      ],
      plainEntries: true,
    });
    const { stdout } = await run("ls", ["-l", mount.dir]);
    expect(stdout).toMatch(/ 10 .* a\n(.*) 20 .* b\n/);
    const { calls } = await mount.calls();
    expect(calls["readdirplus"]).toBeGreaterThan(0);
    expect(calls["lookup"]).toBe(2);
  });
});

describe.skipIf(skip)("notices", () => {
  test("the kernel keeps attributes and entries for their time, and drops them when told", async () => {
    const patterns = [["file", 4096, 0] as const];
    await using mount = await mountMemory({ patterns, ttlMs: 3_600_000 });
    const path = join(mount.dir, "file");
    const size = async (): Promise<number> => (await fs.stat(path)).size;
    const until = async (reached: () => Promise<boolean>): Promise<void> => {
      while (!(await reached())) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    expect(await size()).toBe(4096);
    mount.ask({ do: "resize", name: "file", size: 100, notify: false });
    await mount.calls(); // answered after the resize
    expect(await size()).toBe(4096);
    mount.ask({ do: "resize", name: "file", size: 200, notify: true });
    await until(async () => (await size()) === 200);
    mount.ask({ do: "remove", name: "file", notify: true });
    await until(async () => (await errnoOf(fs.stat(path))) === "ENOENT");
    expect(await mount.unmount()).toBe(0);
  });
});

describe.skipIf(skip)("INTERRUPT", () => {
  test("a signal ends a process that waits in a read", async () => {
    await using mount = await mountMemory({ patterns: [["slow", SLOW_SIZE, 600_000]] });
    const started = Date.now();
    await expect(run("timeout", ["-s", "INT", "0.5", "head", "-c", "1", join(mount.dir, "slow")])).rejects.toMatchObject({ code: 124 });
    expect(Date.now() - started).toBeLessThan(500_000); // far below the read's ten minutes
    expect(await mount.unmount()).toBe(0); // nothing is left waiting in the server
  });
});

describe.skipIf(skip)("a take-over", () => {
  test("readers see no error when the server is killed, and a successor resumes the connection", async ({ skip: skipTest }) => {
    await using mount = await mountMemory({ patterns: [["slow", SLOW_SIZE, 20]] });
    if (!mount.features.resend) skipTest("the kernel cannot send requests again (needs Linux 6.9)");
    await using user = new MountUser();
    let done = false;
    let reads = 0;
    const reader = async (number: number): Promise<void> => {
      const file = await user.open(join(mount.dir, "slow"), "r");
      for (let i = 0; !done; i++) {
        const offset = ((i * 7919 + number * 104_729) % 1000) * 4096;
        const bytes = await user.read(file, offset, 65_536);
        expect(bytes.equals(patternBytes(offset, Math.min(65_536, SLOW_SIZE - offset)))).toBe(true);
        reads++;
      }
      await user.close(file);
    };
    const reading = Promise.all([0, 1, 2, 3].map(reader)); // as many as libuv's threads in the other process
    const someReads = async (): Promise<void> => {
      const before = reads;
      while (reads < before + 20) await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, 5))]);
    };
    for (let kill = 0; kill < 4; kill++) {
      await someReads();
      await mount.kill();
      await mount.resume();
    }
    await someReads();
    done = true;
    await reading;
    expect(await mount.unmount()).toBe(0);
  });
});

describe.skipIf(skip)("a server that fails", () => {
  test.each([
    ["exit", 7],
    ["throw", 1],
  ])("ends by %s although reads of the device are blocked", async (how, expected) => {
    await using folder = await fs.mkdtempDisposable(join(tmpdir(), "bucketmount-crash-"));
    const fd = openFuseDevice();
    await mountFuse(fd, folder.path, { source: "crash", allowOther: true });
    try {
      const server = spawn(process.execPath, ["-C", "source", CRASHER, how], { stdio: ["ignore", "ignore", "ignore", fd] });
      expect(await once(server, "exit")).toEqual([expected, null]);
    } finally {
      await unmount(folder.path, { force: true, lazy: true });
      closeSync(fd);
    }
  });
});

describe.skipIf(skip)("passthrough", () => {
  test("the kernel reads and writes the backing file, while no server lives too, and a successor goes on with the same id", async ({
    skip: skipTest,
  }) => {
    await using folder = await fs.mkdtempDisposable(join(tmpdir(), "bucketmount-backing-"));
    const backing = join(folder.path, "backing");
    const content = randomBytes(MIB);
    await fs.writeFile(backing, content);
    await using mount = await mountMemory({ patterns: [], backing });
    if (!mount.features.passthrough) skipTest("no passthrough: it needs Linux 6.9 and a temporary folder that is not on overlayfs");
    await using user = new MountUser();
    const file = await user.open(join(mount.dir, "backed"), "r+");
    expect((await user.read(file, 0, content.length)).equals(content)).toBe(true);
    await user.write(file, 100, "through");
    expect((await fs.readFile(backing)).subarray(100, 107).toString()).toBe("through");
    expect((await mount.calls()).calls).not.toHaveProperty("read");
    await mount.kill();
    expect((await user.read(file, 100, 7)).toString()).toBe("through");
    await mount.resume();
    const again = await user.open(join(mount.dir, "backed"), "r"); // EIO with another backing id
    expect((await user.read(again, 100, 7)).toString()).toBe("through");
    await user.close(again);
    await user.close(file);
    expect(await mount.unmount()).toBe(0);
  });
});
