/** The libfuse channel on a real mount, served by a child process. Only asynchronous calls touch the mount. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { promises as fs } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pollUntil } from "#node/deadline.ts";
import { mountEntries, unmount } from "../../src/fuse/channel/mount.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { skipLibfuse } from "../support/libfuse-gate.ts";

const run = promisify(execFile);
const SERVER = new URL("../support/serve-through-libfuse.ts", import.meta.url).pathname;

const skip = skipMounts("the libfuse channel on real mounts") || skipLibfuse("the libfuse channel");

describe.skipIf(skip)("a file system mounted through libfuse", () => {
  let dir: string;
  let server: ChildProcess;
  const at = (...path: string[]): string => join(dir, ...path);
  const isMounted = () => mountEntries().some(({ mountPoint }) => mountPoint === dir);

  beforeAll(async () => {
    dir = await fs.mkdtemp(join(tmpdir(), "bucketmount-libfuse-"));
    server = spawn(process.execPath, ["-C", "source", SERVER, dir], { stdio: ["ignore", "inherit", "inherit"] });
    expect(await pollUntil(60_000, 20, isMounted)).toBe(true);
  });
  afterAll(async () => {
    const exit = server.exitCode === null ? once(server, "exit") : Promise.resolve([server.exitCode]);
    await unmount(dir);
    expect((await exit)[0]).toBe(0);
    await fs.rmdir(dir);
  });

  test("mountinfo shows type and source", () => {
    expect(mountEntries().find(({ mountPoint }) => mountPoint === dir)).toMatchObject({ type: "fuse.bucketmount", source: "memory" });
  });

  test("a file is created, read, overwritten in the middle, appended to, truncated, removed", async () => {
    await fs.writeFile(at("file"), "hello world", { mode: 0o640 });
    const file = await fs.open(at("file"), "r+");
    await file.write("WORLD", 6);
    await file.truncate(8);
    await file.close();
    await fs.appendFile(at("file"), "!");
    expect(await fs.readFile(at("file"), "utf8")).toBe("hello WO!");
    await fs.truncate(at("file"), 5);
    expect([await fs.readFile(at("file"), "utf8"), (await fs.stat(at("file"))).mode]).toEqual(["hello", 0o100640]);
    await fs.writeFile(at("file"), "x"); // O_TRUNC
    expect(await fs.readFile(at("file"), "utf8")).toBe("x");
    await expect(fs.open(at("file"), "wx")).rejects.toMatchObject({ code: "EEXIST" });
    await fs.unlink(at("file"));
    await expect(fs.stat(at("file"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("large content comes back as it went", async () => {
    const content = randomBytes(5 << 20);
    await fs.writeFile(at("large"), content);
    expect((await fs.readFile(at("large"))).equals(content)).toBe(true);
  });

  test("directories, symlinks, hard links and renames", async () => {
    await fs.mkdir(at("a", "b"), { recursive: true });
    await fs.writeFile(at("a", "b", "ü file"), "1");
    await fs.symlink("b/ü file", at("a", "link"));
    expect([await fs.readlink(at("a", "link")), await fs.readFile(at("a", "link"), "utf8")]).toEqual(["b/ü file", "1"]);
    await fs.link(at("a", "b", "ü file"), at("a", "hard"));
    expect((await fs.stat(at("a", "hard"))).nlink).toBe(2);
    await fs.rename(at("a", "b"), at("c"));
    expect([await fs.readdir(at("a")), await fs.readdir(at("c"))]).toEqual([["hard", "link"], ["ü file"]]);
    await expect(fs.rmdir(at("c"))).rejects.toMatchObject({ code: "ENOTEMPTY" });
  });

  test("attributes and extended attributes", async () => {
    await fs.writeFile(at("attributes"), "");
    await fs.chown(at("attributes"), 12, 34);
    await fs.chmod(at("attributes"), 0o4755);
    await fs.utimes(at("attributes"), 1_700_000_000.5, 1_700_000_000.5);
    const { mode, uid, gid, mtimeMs } = await fs.stat(at("attributes"));
    expect([mode & 0o7777, uid, gid, mtimeMs]).toEqual([0o4755, 12, 34, 1_700_000_000_500]);
    const python =
      "import os,sys\nf=sys.argv[1]\nos.setxattr(f,'user.a',b'v')\nprint(os.listxattr(f),os.getxattr(f,'user.a'))\nos.removexattr(f,'user.a')\nprint(os.listxattr(f))";
    expect((await run("python3", ["-c", python, at("attributes")])).stdout).toBe("['user.a'] b'v'\n[]\n");
    // Python asks with a buffer of 128 bytes first.
    const long =
      "import os,sys\nf=sys.argv[1]\nos.setxattr(f,'user.long',bytes(range(256)))\nassert os.getxattr(f,'user.long')==bytes(range(256))";
    await run("python3", ["-c", long, at("attributes")]);
  });

  test("a file that is removed while it is open keeps its content", async () => {
    await fs.writeFile(at("open"), "kept");
    const file = await fs.open(at("open"), "r");
    await fs.unlink(at("open"));
    expect((await file.readFile()).toString()).toBe("kept");
    await file.close();
    const isClean = async () => !(await fs.readdir(dir)).some((name) => name.startsWith(".fuse_hidden"));
    expect(await pollUntil(60_000, 20, isClean)).toBe(true);
  });
});
