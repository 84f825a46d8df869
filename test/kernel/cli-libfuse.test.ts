/** `bucketmount mount --channel fuse-native`: the whole engine behind libfuse. */
import { mkdir, readdir, readFile, rename, rm, stat, statfs, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { pollUntil } from "#node/deadline.ts";
import { expectNothingLeft, keys, LONG_MS, mnt, mount, run, statusOf, useCommandLine } from "../support/command-line.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { skipLibfuse } from "../support/libfuse-gate.ts";
import { isMounted } from "../support/mounted-bucket.ts";

const skip = skipMounts("test/kernel/cli-libfuse") || skipLibfuse("mount --channel fuse-native");

describe.skipIf(skip)("bucketmount mount --channel fuse-native", () => {
  useCommandLine();

  test("files, directories, symlinks and renames are in the bucket, and `umount` leaves nothing", async () => {
    await mount(["--channel", "fuse-native"]);
    const content = Buffer.from(Array.from({ length: 3 << 20 }, (_, i) => (i * 7) % 253));
    await mkdir(join(mnt, "a"));
    await writeFile(join(mnt, "a", "file.tmp"), content, { mode: 0o640 });
    await rename(join(mnt, "a", "file.tmp"), join(mnt, "a", "file"));
    await symlink("file", join(mnt, "a", "link"));
    expect((await readFile(join(mnt, "a", "link"))).equals(content)).toBe(true);
    expect((await stat(join(mnt, "a", "file"))).mode).toBe(0o100640);
    expect(await readdir(join(mnt, "a"))).toEqual(["file", "link"]);
    const { bavail, bsize, ffree } = await statfs(mnt);
    expect([bavail * bsize, ffree > 1_000_000]).toEqual([2 ** 50, true]);
    expect(await keys()).toEqual(expect.arrayContaining(["a/", "a/file", "a/link"]));
    expect(await run(["umount", mnt])).toEqual({ code: 0, stdout: "", stderr: "" });
    await expectNothingLeft();
  });

  test("after an engine's crash it is mounted anew, and what was closed is there", async () => {
    await mount(["--channel", "fuse-native"]);
    await writeFile(join(mnt, "before"), "kept");
    const { pid } = await statusOf();
    expect(pid).toBeGreaterThan(1);
    process.kill(Number(pid), "SIGKILL");
    const isBack = async () => (await isMounted(mnt)) && (await readFile(join(mnt, "before"), "utf8").catch(() => "")) === "kept";
    expect(await pollUntil(LONG_MS, 100, isBack)).toBe(true);
    await rm(join(mnt, "before"));
    expect((await statusOf()).restarts).toBe(1);
    expect((await run(["umount", mnt])).code).toBe(0);
    await expectNothingLeft();
  });
});
