// System calls on a mount that no other suite makes, each by a small program of its own.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CreateBucketCommand, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { skipLibfuse } from "../support/libfuse-gate.ts";
import { hasCommand, type MountedBucket, mountOurs } from "../support/mounted-bucket.ts";
import { availableServers, type S3Server, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";
import { OPERATIONS } from "./libfuse-known-differences.ts";

const run = promisify(execFile);
const KIND = availableServers().includes("versitygw") ? "versitygw" : "s3rver";
const missing = hasCommand("python3") ? undefined : "python3";
if (missing !== undefined) console.warn(`SKIPPED system calls on a mount: ${missing} is not installed`);

/** What the programs begin with. Each checks by `assert`; the working directory is on the mount. */
const PRELUDE = `
import ctypes, errno, fcntl, mmap, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
def call(result):
    if result != 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def refused(number, work):
    try: work()
    except OSError as e: assert e.errno == number, e
    else: raise AssertionError("not refused with " + errno.errorcode[number])
AT = -100
def put(name, text): open(name, "w").write(text)
def text(name): return open(name).read()
`;

const skip = missing !== undefined || skipMounts("system calls on a mount");
const CHANNELS = ["dev-fuse", ...(skip || skipLibfuse("system calls on a mount through libfuse") ? [] : ["fuse-native"])];

describe.skipIf(skip).each(CHANNELS)("system calls on a mount, channel=%s", (channel) => {
  const titles: string[] = [];
  const known = channel === "fuse-native" ? OPERATIONS : {};
  /** Through libfuse: what is known not to work must not. */
  function it(title: string, work: () => Promise<void>): void {
    titles.push(title);
    (known[title] === undefined ? test : test.fails)(title, work);
  }
  let server: S3Server;
  let mounted: MountedBucket;
  let client: S3Client;
  beforeAll(async () => {
    server = await startServer(KIND);
    client = createSdkClient(server);
    await client.send(new CreateBucketCommand({ Bucket: "operations" }));
    mounted = await mountOurs(server, "operations", ["--channel", channel]);
  });
  afterAll(async () => {
    await mounted.unmount();
    client.destroy();
    await server.stop();
  });

  async function program(body: string): Promise<void> {
    await run("python3", ["-c", `${PRELUDE}\n${body}`], { cwd: mounted.path });
  }

  it("renameat2 exchanges, and replaces nothing where that is asked", async () => {
    await program(`
put("a", "of a"); put("b", "of b")
call(libc.renameat2(AT, b"a", AT, b"b", 2))
assert (text("a"), text("b")) == ("of b", "of a")
refused(errno.EEXIST, lambda: call(libc.renameat2(AT, b"a", AT, b"b", 1)))
refused(errno.EINVAL, lambda: call(libc.renameat2(AT, b"a", AT, b"b", 4)))
os.mkdir("d"); put("d/in", "of d")
call(libc.renameat2(AT, b"a", AT, b"d", 2))
assert (text("d"), text("a/in"), sorted(os.listdir("."))) == ("of b", "of d", ["a", "b", "d"])
refused(errno.EINVAL, lambda: call(libc.renameat2(AT, b"a", AT, b"a/in", 2)))
os.unlink("a/in"); os.rmdir("a"); os.unlink("b"); os.unlink("d")`);
  });

  it("O_TMPFILE has no name until linkat gives it one", async () => {
    await program(`
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(fd, b"one")
assert os.fstat(fd).st_nlink == 0 and os.listdir(".") == []
call(libc.linkat(AT, b"/proc/self/fd/%d" % fd, AT, b"named", 0x400))
os.write(fd, b"two"); os.close(fd)
assert text("named") == "onetwo" and os.stat("named").st_nlink == 1
os.unlink("named")`);
  });

  it("fallocate lengthens, punches and zeroes, also what a mapping sees", async () => {
    await program(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
os.write(fd, b"x" * 10000)
mapped = mmap.mmap(fd, 10000)
call(libc.fallocate(fd, 3, 100, 5000))
assert os.pread(fd, 10000, 0) == b"x" * 100 + bytes(5000) + b"x" * 4900 == mapped[:]
call(libc.fallocate(fd, 16, 9000, 2000)); assert os.fstat(fd).st_size == 11000
call(libc.fallocate(fd, 0, 0, 20000)); assert os.fstat(fd).st_size == 20000
call(libc.fallocate(fd, 1, 0, 90000)); assert os.fstat(fd).st_size == 20000
refused(errno.EOPNOTSUPP, lambda: call(libc.fallocate(fd, 8, 0, 4096)))
os.close(fd); os.unlink("f")`);
  });

  it("SEEK_DATA and SEEK_HOLE take a file for data with a hole at its end", async () => {
    await program(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 100000)
assert os.lseek(fd, 500, os.SEEK_DATA) == 500 and os.lseek(fd, 500, os.SEEK_HOLE) == 100000
refused(errno.ENXIO, lambda: os.lseek(fd, 100000, os.SEEK_DATA))
os.close(fd); os.unlink("f")`);
  });

  it("copy_file_range copies", async () => {
    await program(`
put("source", "0123456789" * 1000)
a = os.open("source", os.O_RDONLY); b = os.open("target", os.O_RDWR | os.O_CREAT)
assert os.copy_file_range(a, b, 10000) == 10000 and os.copy_file_range(a, b, 5, 3, 9998) == 5
os.close(a); os.close(b)
assert text("target") == ("0123456789" * 1000)[:9998] + "34567"
os.unlink("source"); os.unlink("target")`);
  });

  it("O_APPEND by several writers: every line is there, whole", async () => {
    await program(`
writer = "import os, sys\\nfd = os.open('log', os.O_WRONLY | os.O_APPEND)\\nfor i in range(200): os.write(fd, b'%s %05d\\\\n' % (sys.argv[1].encode(), i))"
put("log", "")
children = [subprocess.Popen([sys.executable, "-c", writer, name]) for name in "abc"]
assert [child.wait() for child in children] == [0, 0, 0]
lines = text("log").splitlines()
assert len(lines) == 600
for name in "abc": assert [l for l in lines if l[0] == name] == ["%s %05d" % (name, i) for i in range(200)]
os.unlink("log")`);
  });

  it("what is stored through a shared mapping is in the object", async () => {
    await program(`
fd = os.open("mapped", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 8192)
mapped = mmap.mmap(fd, 8192)
mapped[0:5] = b"first"; mapped[8000:8004] = b"last"
assert os.pread(fd, 5, 0) == b"first"
os.pwrite(fd, b"written", 4096); assert mapped[4096:4103] == b"written"
mapped.flush(); mapped.close(); os.close(fd)`);
    const { stdout } = await run("sh", ["-c", "cat mapped | tr -d '\\0'"], { cwd: mounted.path });
    expect(stdout).toBe("firstwrittenlast");
  });

  it("a named pipe carries bytes, and keeps its times", async () => {
    await program(`
os.mkfifo("pipe")
before = os.stat("pipe")
fd = os.open("pipe", os.O_RDWR)
assert os.write(fd, b"through") == 7 and os.read(fd, 100) == b"through"
os.close(fd)
after = os.stat("pipe")
assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)
os.unlink("pipe")`);
  });

  it("a write by an ordinary user takes setuid and setgid away", async () => {
    await program(`
os.umask(0); os.chmod(".", 0o777)
child = """
import os
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for name in ("new", "opened", "truncated"):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o6777)
    if name == "opened": os.close(fd); fd = os.open(name, os.O_WRONLY)
    if name == "truncated": os.ftruncate(fd, 100)
    else: os.write(fd, b"x")
    os.close(fd)
"""
subprocess.check_call([sys.executable, "-c", child])
for name in ("new", "opened", "truncated"): assert os.stat(name).st_mode & 0o7777 == 0o777, name; os.unlink(name)`);
  });

  it("flock and fcntl locks hold between processes", async () => {
    await program(`
put("lock", "")
def held(kind):
    body = "import fcntl, sys\\nf = open('lock', 'r+')\\ntry: fcntl.%s(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\\nexcept OSError: sys.exit(7)" % kind
    return subprocess.call([sys.executable, "-c", body]) == 7
f = open("lock", "r+")
for kind in ("flock", "lockf"):
    assert not held(kind)
    getattr(fcntl, kind)(f, fcntl.LOCK_EX)
    assert held(kind)
    getattr(fcntl, kind)(f, fcntl.LOCK_UN)
    assert not held(kind)
f.close(); os.unlink("lock")`);
  });

  it("hard links: one inode, and tar copies them as links", async () => {
    await program(`
os.mkdir("d"); put("d/a", "linked"); os.link("d/a", "d/b")
assert os.stat("d/a").st_ino == os.stat("d/b").st_ino and os.stat("d/a").st_nlink == 2
subprocess.check_call("mkdir copy && tar -C d -cf - . | tar -C copy -xf -", shell=True)
assert os.stat("copy/a").st_ino == os.stat("copy/b").st_ino
put("copy/b", "changed"); assert text("copy/a") == "changed"
refused(errno.EPERM, lambda: os.link("d", "e"))
subprocess.check_call(["rm", "-r", "d", "copy"])`);
  });

  it("O_DIRECT, O_SYNC and statx work", async () => {
    await program(`
fd = os.open("direct", os.O_RDWR | os.O_CREAT | os.O_SYNC | os.O_DIRECT)
page = mmap.mmap(-1, 4096); page[:] = b"p" * 4096
assert os.write(fd, page) == 4096
os.lseek(fd, 0, 0); assert os.readv(fd, [page]) == 4096 and page[:] == b"p" * 4096
os.close(fd)
assert subprocess.check_output(["stat", "-c", "%s %F", "direct"]) == b"4096 regular file\\n"
os.unlink("direct")`);
  });

  test("what is known not to work is asked for", () => {
    expect(Object.keys(known).filter((title) => !titles.includes(title))).toEqual([]);
  });
});
