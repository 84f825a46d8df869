/** Several volumes on one node that have to do with each other: prefixes of one bucket, one place twice, one id twice; access modes. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { createBucketAdmin } from "#s3/index.ts";
import { connectGrpc } from "../support/grpc.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { failure, NodeVolume, sh } from "../support/node-volume.ts";
import { folderIn, type NodeWorld, startNodeWorld } from "../support/node-world.ts";
import { type S3Server, startServer } from "../support/s3-servers.ts";

/** Each test mounts several times, and the machine may be busy. */
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

let s3: S3Server;
let world: NodeWorld;
let bucket: string;
let buckets = 0;
const volumes: NodeVolume[] = [];

async function volumeOf(id: string, attributes: Readonly<Record<string, string>> = {}): Promise<NodeVolume> {
  const volume = await NodeVolume.of(world, id, { bucket, ...attributes });
  volumes.push(volume);
  return volume;
}

/** Beyond the time for which names are believed. */
const LATER = "sleep 1.2";

describe.skipIf(skipMounts("test/kernel/node-volumes"))("volumes of one node", () => {
  beforeAll(async () => {
    s3 = await startServer("s3rver");
  });
  afterAll(() => s3?.stop());
  beforeEach(async () => {
    buckets += 1;
    bucket = `volumes-${buckets}`;
    const { endpoint, region, accessKeyId, secretAccessKey } = s3;
    const admin = createBucketAdmin({ endpoint, region, pathStyle: true, credentials: { accessKeyId, secretAccessKey } });
    await admin.createBucket(bucket, {});
    await admin.close();
    world = await startNodeWorld({ s3 });
  });
  afterEach(async ({ task }) => {
    for (const volume of volumes.splice(0)) volume.close();
    if (task.result?.state === "fail") console.log((await world.log()).slice(-4000));
    await world.stop();
  });

  test("prefixes of one bucket are volumes of their own, also when one's name begins with the other's", async () => {
    const [one, ten, whole] = [
      await volumeOf("pvc-1", { prefix: "pvc-1" }),
      await volumeOf("pvc-10", { prefix: "pvc-10/" }),
      await volumeOf("all"),
    ];
    await Promise.all([one.stage(), ten.stage(), whole.stage()]);
    const [a, b, all] = await Promise.all([one.publish("pod"), ten.publish("pod"), whole.publish("pod", { readonly: true })]);
    await sh('printf one > "$1/file"; printf ten > "$2/file"', a, b);
    expect(await sh(`${LATER}; ls "$1"; cat "$1/pvc-1/file" "$1/pvc-10/file"`, all)).toBe("pvc-1\npvc-10\nonetenn".slice(0, -1));
    await sh('rm -r "$1/file"', a);
    expect(await sh('cat "$1/file"', b)).toBe("ten");
    await one.end("pod");
    expect(await sh('cat "$1/file"', b)).toBe("ten");
    await ten.end("pod");
    await whole.end("pod");
    expect(await world.mounts()).toEqual([]);
  });

  test("two volumes of one bucket and prefix see each other's files, each with an engine of its own", async () => {
    const [first, second] = [await volumeOf("first", { prefix: "shared" }), await volumeOf("second", { prefix: "/shared/" })];
    await Promise.all([first.stage(), second.stage()]);
    const [a, b] = [await first.publish("pod"), await second.publish("pod")];
    expect(await world.engines()).toHaveLength(2);
    await sh('mkdir "$1/dir"; printf from-a > "$1/dir/file"', a);
    expect(await sh(`${LATER}; cat "$1/dir/file"; printf from-b > "$1/dir/file"`, b)).toBe("from-a");
    expect(await sh(`${LATER}; cat "$1/dir/file"`, a)).toBe("from-b");
    await first.end("pod");
    await second.end("pod");
  });

  test("two volumes must not go by one id: the second is refused wherever it comes up", async () => {
    const [volume, twin] = [await volumeOf("twin", { prefix: "a" }), await volumeOf("twin", { prefix: "b" })];
    await volume.stage();
    await volume.publish("pod");
    expect(await failure(twin.stage())).toMatchObject({ code: "ALREADY_EXISTS", details: expect.stringContaining("volumeHandle") });
    expect(await failure(twin.publish("other"))).toMatchObject({
      code: "FAILED_PRECONDITION",
      details: expect.stringContaining("volumeHandle"),
    });
    const node = connectGrpc(world.socketPath, "csi.v1.Node");
    const elsewhere = { volumeId: "twin", stagingTargetPath: await folderIn(world, "staging", "elsewhere") };
    const capability = { mount: { fsType: "", mountFlags: [] }, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } };
    const stageElsewhere = node.call("NodeStageVolume", { ...elsewhere, volumeCapability: capability, volumeContext: twin.volumeContext });
    expect(await failure(stageElsewhere)).toMatchObject({
      code: "FAILED_PRECONDITION",
      details: expect.stringContaining("staged already"),
    });
    node.close();
    await volume.end("pod");
  });

  test.each([
    ["SINGLE_NODE_WRITER", 2, true],
    ["SINGLE_NODE_MULTI_WRITER", 2, true],
    ["SINGLE_NODE_SINGLE_WRITER", 1, true],
    ["MULTI_NODE_MULTI_WRITER", 2, true],
    ["SINGLE_NODE_READER_ONLY", 2, false],
    ["MULTI_NODE_READER_ONLY", 2, false],
  ])("%s: %i pods at a time, writable: %s", async (mode, pods, writable) => {
    const volume = await volumeOf("v");
    await volume.stage({ mode });
    const dir = await volume.publish("one", { mode });
    if (pods === 1) expect(await failure(volume.publish("two", { mode }))).toMatchObject({ code: "FAILED_PRECONDITION" });
    else await volume.publish("two", { mode });
    const write = sh('printf x > "$1/file"', dir);
    if (writable) await write;
    else await expect(write).rejects.toThrow(/Read-only file system/i);
    await volume.end("one", ...(pods === 1 ? [] : ["two"]));
  });

  test("a volume that is staged read-only is not published writable", async () => {
    const volume = await volumeOf("v");
    await volume.stage({ mode: "MULTI_NODE_READER_ONLY" });
    expect(await failure(volume.publish("one"))).toMatchObject({
      code: "FAILED_PRECONDITION",
      details: expect.stringContaining("read-only"),
    });
    await volume.publish("one", { readonly: true });
    await volume.end("one");
  });

  test("mount flags as people write them, and the storage class of a volume, reach the engine", async () => {
    const volume = await volumeOf("v", { storageClass: "reduced_redundancy" });
    const flags = ["-o uid=1234,gid=2345", "noexec"];
    await volume.stage({ mountFlags: flags });
    const dir = await volume.publish("one", { mountFlags: flags });
    await sh('printf "#!/bin/sh\\n" > "$1/script"; chmod +x "$1/script"', dir);
    await expect(sh('"$1/script"', dir)).rejects.toThrow(/Permission denied/);
    expect(await sh('stat -c %u:%g "$1"', dir)).toBe("1234:2345\n");
    expect(await readFile(join(s3.dataDir, bucket, "script._S3rver_metadata.json"), "utf8")).toContain("REDUCED_REDUNDANCY");
    await volume.end("one");
  });
});
