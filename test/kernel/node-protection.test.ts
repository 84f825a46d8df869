/** The directory under a pod's mount: what a container finds that was started although the mount is missing. */
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { setImmutable } from "#fuse/channel/immutable.ts";
import { unmount } from "#fuse/channel/mount.ts";
import { pollUntil } from "#node/deadline.ts";
import { readOwner } from "#node/state-folder.ts";
import { unsealAbandoned } from "#node/under-mount.ts";
import { VolumeRecords } from "#node/volume-records.ts";
import { createBucketAdmin } from "#s3/index.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { failure, NodeVolume, sh } from "../support/node-volume.ts";
import { type NodeWorld, startNodeWorld } from "../support/node-world.ts";
import { type S3Server, startServer } from "../support/s3-servers.ts";

const BUCKET = "protection";

/** Each test mounts several times, and the machine may be busy. */
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

let s3: S3Server;
let world: NodeWorld;
let volume: NodeVolume;

async function canSeal(): Promise<boolean> {
  const probe = join(tmpdir(), `bucketmount-seal-${process.pid}`);
  await mkdir(probe);
  const can = await setImmutable(probe, true);
  await setImmutable(probe, false);
  await sh('rmdir "$1"', probe);
  return can;
}

const skip = skipMounts("test/kernel/node-protection") || !(await canSeal());
if (skip) console.warn("SKIPPED test/kernel/node-protection: needs root, mounts, and a temporary folder on a file system with attributes");

/** What a reboot leaves: no mount, no engine, no plugin; the directories and the state folder. */
async function reboot(): Promise<void> {
  for (const { mountPoint } of (await world.mounts()).toReversed()) await unmount(mountPoint, { lazy: true });
  const folder = new VolumeRecords(world.stateDir).folder(volume.volumeId);
  expect(await pollUntil(60_000, 20, async () => (await readOwner(folder)) === undefined)).toBe(true);
  await world.restart();
}

describe.skipIf(skip)("the directory under a pod's mount", () => {
  beforeAll(async () => {
    s3 = await startServer("s3rver");
    const { endpoint, region, accessKeyId, secretAccessKey } = s3;
    const admin = createBucketAdmin({ endpoint, region, pathStyle: true, credentials: { accessKeyId, secretAccessKey } });
    await admin.createBucket(BUCKET, {});
    await admin.close();
  });
  afterAll(() => s3?.stop());
  beforeEach(async () => {
    world = await startNodeWorld({ s3 });
    volume = await NodeVolume.of(world, "v", { bucket: BUCKET });
  });
  afterEach(async ({ task }) => {
    volume.close();
    if (task.result?.state === "fail") console.log((await world.log()).slice(-4000));
    await world.stop();
  });

  test("root in a container cannot write to it when the mount is missing, and the mount works over it", async () => {
    await volume.stage();
    const dir = await volume.publish("one");
    await sh('printf x > "$1/file"; mkdir "$1/sub"; rm -r "$1/file" "$1/sub"', dir);
    // As in a mount namespace that the mount did not reach.
    await unmount(dir, { lazy: true });
    for (const write of ['touch "$1/file"', 'mkdir "$1/dir"', 'ln -s x "$1/link"', 'rmdir "$1"', 'mv "$1" "$1-away"']) {
      await expect(sh(write, dir), write).rejects.toThrow(/not permitted/i);
    }
    expect(await volume.publish("one")).toBe(dir);
    await sh('touch "$1/file"; rm "$1/file"', dir);
    await volume.end("one");
    await expect(stat(dir)).rejects.toThrow("ENOENT");
  });

  test("it stays so over a reboot, and NodeUnpublishVolume takes it away then too", async () => {
    await volume.stage();
    const [gone, back] = [await volume.publish("gone"), await volume.publish("back")];
    await reboot();
    for (const dir of [gone, back]) await expect(sh('touch "$1/file"', dir)).rejects.toThrow(/not permitted/i);
    // The kubelet's order: pods that still run are mounted again, those that were deleted meanwhile unpublished.
    await volume.stage();
    expect(await volume.publish("back")).toBe(back);
    await volume.unpublish("gone");
    await expect(stat(gone)).rejects.toThrow("ENOENT");
    await sh('touch "$1/file"; rm "$1/file"', back);
    await reboot();
    await volume.end("back");
    await expect(stat(back)).rejects.toThrow("ENOENT");
    // As the kubelet does afterwards.
    await sh('rmdir "$1" "$2"', volume.staging, dirname(back));
  });

  test("a publication that fails leaves nothing sealed", async () => {
    await volume.stage({ mode: "SINGLE_NODE_SINGLE_WRITER" });
    await volume.publish("one", { mode: "SINGLE_NODE_SINGLE_WRITER" });
    expect(await failure(volume.publish("two", { mode: "SINGLE_NODE_SINGLE_WRITER" }))).toMatchObject({ code: "FAILED_PRECONDITION" });
    await expect(stat(volume.target("two"))).rejects.toThrow("ENOENT");
    await volume.end("one");
  });

  test("a directory with local files in it is neither hidden from nor removed by NodeUnpublishVolume, and may be emptied then", async () => {
    const dir = volume.target("one");
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, "local"), "data");
    await volume.stage();
    await volume.publish("one");
    await reboot();
    const { code, details } = await failure(volume.unpublish("one"));
    expect(code).toBe("FAILED_PRECONDITION");
    expect(details).toMatch(/holds local files/);
    expect(await readdir(dir)).toEqual(["local"]);
    await sh('rm "$1/local"', dir);
    await volume.end("one");
  });

  test("what the kubelet has lost is freed, so that it can remove the pod's folder", async () => {
    await volume.stage();
    const [lost, known] = [await volume.publish("lost"), await volume.publish("known")];
    // After a loss of power the kubelet's files may be empty.
    await writeFile(join(dirname(lost), "vol_data.json"), "");
    await writeFile(join(dirname(known), "vol_data.json"), '{"volumeHandle":"v"}');
    const targets = async () => (await new VolumeRecords(world.stateDir).all()).flatMap((record) => record.targets);
    expect(await unsealAbandoned({ setImmutable }, await targets())).toEqual([]);
    await reboot();
    expect(await unsealAbandoned({ setImmutable }, await targets())).toEqual([lost]);
    await sh('rmdir "$1"', lost);
    await expect(sh('rmdir "$1"', known)).rejects.toThrow(/not permitted/i);
    await volume.end("lost", "known");
  });
});
