/** The Node service over its socket, with real engines, real mounts and a real S3 server: the calls are the kubelet's. */
import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createControllerServices } from "#controller/service.ts";
import { silentLogger } from "#core/log.ts";
import { pollUntil } from "#node/deadline.ts";
import { createBucketAdmin } from "#s3/index.ts";
import { connectGrpc, type GrpcClient } from "../support/grpc.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { abortConnection, failure, sh } from "../support/node-volume.ts";
import { folderIn, type NodeWorld, startNodeWorld } from "../support/node-world.ts";
import { availableServers, type S3Server, startServer } from "../support/s3-servers.ts";

const run = promisify(execFile);
const MANY_WRITERS = { mount: { fsType: "", mountFlags: [] as string[] }, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } };
const CALL = { deadlineMs: 100_000 };

let s3: S3Server;
let world: NodeWorld;
let node: GrpcClient;
let controller: ReturnType<typeof createControllerServices>;
let volume: { volumeId: string; volumeContext: Record<string, string> };
let staging: string;
let names = 0;

function stageRequest(more: object = {}): object {
  return { ...volume, volumeCapability: MANY_WRITERS, stagingTargetPath: staging, ...more };
}

function stage(more: object = {}): Promise<object> {
  return node.call("NodeStageVolume", stageRequest(more), CALL);
}

async function publish(pod: string, more: object = {}): Promise<string> {
  const targetPath = join(world.dir, "pods", pod, "mount");
  await node.call("NodePublishVolume", { ...stageRequest(), targetPath, ...more }, CALL);
  return targetPath;
}

function unpublish(targetPath: string): Promise<object> {
  return node.call("NodeUnpublishVolume", { volumeId: volume.volumeId, targetPath }, CALL);
}

function unstage(): Promise<object> {
  return node.call("NodeUnstageVolume", { volumeId: volume.volumeId, stagingTargetPath: staging }, CALL);
}

async function nothingIsLeft(): Promise<void> {
  expect(await world.mounts()).toEqual([]);
  expect(await world.engines()).toEqual([]);
}

describe.skipIf(skipMounts("test/kernel/node-service"))("createNodeServices", () => {
  beforeAll(async () => {
    const kind = availableServers().includes("versitygw") ? "versitygw" : "s3rver";
    if (kind !== "versitygw") console.warn("test/kernel/node-service: versitygw is not installed; runs on s3rver");
    s3 = await startServer(kind);
    const { endpoint, region, accessKeyId, secretAccessKey } = s3;
    const defaultStore = { endpoint, region, pathStyle: true, credentials: { accessKeyId, secretAccessKey } };
    controller = createControllerServices({ defaultStore, createAdmin: createBucketAdmin, log: silentLogger });
  });
  afterAll(async () => {
    await controller?.close();
    await s3?.stop();
  });
  beforeEach(async () => {
    world = await startNodeWorld({ s3, services: { "csi.v1.Controller": controller.services["csi.v1.Controller"] } });
    node = connectGrpc(world.socketPath, "csi.v1.Node");
    const provisioner = connectGrpc(world.socketPath, "csi.v1.Controller");
    names += 1;
    ({ volume } = await provisioner.call("CreateVolume", { name: `node-service-${names}`, volumeCapabilities: [MANY_WRITERS] }));
    provisioner.close();
    staging = await folderIn(world, "staging", "globalmount");
  });
  afterEach(async ({ task }) => {
    node.close();
    if (task.result?.state === "fail") console.log((await world.log()).slice(-4000));
    await world.stop();
  });

  test("two pods share a staged volume, and everything is gone and in the bucket when they are", async () => {
    expect(await Promise.all([stage(), failure(stage())])).toMatchObject([{}, { code: "ABORTED" }]);
    expect(await stage()).toEqual({});
    const [first, second] = await Promise.all([publish("one"), publish("two")]);
    expect(await publish("one")).toBe(first);
    await sh('mkdir "$1/dir"; printf content > "$1/dir/file"; cmp "$1/dir/file" "$2/dir/file"', first, second);
    const { usage } = await node.call("NodeGetVolumeStats", { volumeId: volume.volumeId, volumePath: first });
    expect(usage.map(({ unit }: { unit: string }) => unit)).toEqual(["BYTES", "INODES"]);
    expect(usage[0].total).toBeGreaterThan(1e12);

    expect(await failure(unstage())).toMatchObject({ code: "FAILED_PRECONDITION", details: expect.stringContaining("still published on") });
    await unpublish(first);
    expect(await sh('cat "$1/dir/file"', second)).toBe("content");
    await unpublish(second);
    await unpublish(second);
    expect(await readdir(join(world.dir, "pods", "one"))).toEqual([]);
    await unstage();
    await unstage();
    await nothingIsLeft();
    expect(await readFile(join(s3.dataDir, volume.volumeContext["bucket"] ?? "", "dir", "file"), "utf8")).toBe("content");
  });

  test("NodeUnpublishVolume uploads what a process of the pod still has open when it takes the mount away", async () => {
    await stage();
    const [first, second] = [await publish("one"), await publish("two")];
    // The second pod keeps a file open that it has written to; the first one goes.
    const writer = execFile("sh", ["-c", 'exec 3>"$1/open"; printf unsent >&3; echo ready; read line', "sh", second]);
    await new Promise((resolve) => writer.stdout?.once("data", resolve));
    await unpublish(first);
    expect(await readFile(join(s3.dataDir, volume.volumeContext["bucket"] ?? "", "open"), "utf8")).toBe("unsent");
    expect(await failure(unpublish(second))).toMatchObject({ code: "FAILED_PRECONDITION" });
    writer.stdin?.end("\n");
    await new Promise((resolve) => writer.once("exit", resolve));
    await unpublish(second);
    await unstage();
    await nothingIsLeft();
  });

  test("NodePublishVolume gives a pod that reads only a mount that refuses writes", async () => {
    await stage();
    const [writer, reader] = [await publish("writer"), await publish("reader", { readonly: true })];
    await sh('printf 1 > "$1/file"', writer);
    expect(await sh('cat "$1/file"', reader)).toBe("1");
    await expect(sh('printf 2 > "$1/file"', reader)).rejects.toThrow(/Read-only file system/i);
    expect(await publish("reader", { readonly: true })).toBe(reader);
    expect(await failure(publish("reader"))).toMatchObject({ code: "ALREADY_EXISTS" });
    const [row] = (await world.mounts()).filter(({ mountPoint }) => mountPoint === reader);
    expect(row?.options).toEqual(expect.arrayContaining(["ro", "nosuid", "nodev"]));
  });

  test("NodeStageVolume mounts read-only when the access mode or a mount flag says so", async () => {
    const readers = { ...MANY_WRITERS, accessMode: { mode: "MULTI_NODE_READER_ONLY" } };
    await stage({ volumeCapability: readers });
    const target = await publish("reader", { volumeCapability: readers });
    await expect(sh('touch "$1/file"', target)).rejects.toThrow(/Read-only file system/i);
    expect(await failure(stage())).toMatchObject({
      code: "ALREADY_EXISTS",
      details: expect.stringContaining("other mount options"),
    });
  });

  test("NodeStageVolume obeys mount flags when they name an owner and modes", async () => {
    const mount = { fsType: "", mountFlags: ["uid=1234,gid=2345", "dir-mode=0750"] };
    await stage({ volumeCapability: { ...MANY_WRITERS, mount } });
    expect(await sh('stat -c "%u %g %a" "$1"', staging)).toBe("1234 2345 750\n");
  });

  test("NodePublishVolume refuses a second target of a volume for one writer", async () => {
    const volumeCapability = { ...MANY_WRITERS, accessMode: { mode: "SINGLE_NODE_SINGLE_WRITER" } };
    await stage({ volumeCapability });
    const first = await publish("one", { volumeCapability });
    expect(await publish("one", { volumeCapability })).toBe(first);
    expect(await failure(publish("two", { volumeCapability }))).toMatchObject({ code: "FAILED_PRECONDITION" });
    await unpublish(first);
    await publish("two", { volumeCapability });
  });

  test("NodePublishVolume never publishes a local directory when the volume is not staged", async () => {
    await writeFile(join(staging, "local"), "of the node");
    expect(await failure(publish("one"))).toMatchObject({ code: "FAILED_PRECONDITION", details: expect.stringContaining("not staged") });
    await expect(stat(join(world.dir, "pods"))).rejects.toThrow("ENOENT");
    expect(await failure(publish("one", { stagingTargetPath: "" }))).toMatchObject({ code: "FAILED_PRECONDITION" });
  });

  test("NodeUnpublishVolume leaves local files alone when they lie where the mount was", async () => {
    const target = await folderIn(world, "pods", "one", "mount");
    await writeFile(join(target, "precious"), "data");
    expect(await failure(unpublish(target))).toMatchObject({ code: "FAILED_PRECONDITION", details: expect.stringContaining(target) });
    expect(await readdir(target)).toEqual(["precious"]);
  });

  test.each([
    ["secret", "UNAUTHENTICATED", () => ({ secrets: { accessKeyId: s3.accessKeyId, secretAccessKey: "not-the-right-secret" } })],
    ["access key", "UNAUTHENTICATED", () => ({ secrets: { accessKeyId: "nobody-knows-it", secretAccessKey: "whatever-it-is" } })],
    ["bucket", "NOT_FOUND", () => ({ volumeContext: { ...volume.volumeContext, bucket: "no-such-bucket" } })],
    ["endpoint", "UNAVAILABLE", () => ({ volumeContext: { ...volume.volumeContext, endpoint: "http://127.0.0.1:9" } })],
    ["mount flag", "INVALID_ARGUMENT", () => ({ volumeCapability: { ...MANY_WRITERS, mount: { fsType: "", mountFlags: ["umaks=022"] } } })],
    ["attribute", "INVALID_ARGUMENT", () => ({ volumeContext: { ...volume.volumeContext, buckte: "x" } })],
    ["staging path", "FAILED_PRECONDITION", () => ({ stagingTargetPath: join(world.dir, "missing") })],
  ])("NodeStageVolume leaves nothing when the %s is wrong", async (what, code, more) => {
    const { details, ...found } = await failure(stage(more()));
    expect(found, details).toEqual({ code });
    expect(details).toMatch(
      { secret: /secret access key/, "access key": /access key/, bucket: /no-such-bucket/, endpoint: /127\.0\.0\.1:9/ }[what] ??
        { "mount flag": /umaks/, attribute: /buckte/, "staging path": /missing/ }[what] ??
        /never/,
    );
    expect(details).not.toMatch(/not-the-right-secret|whatever-it-is/);
    await nothingIsLeft();
    await expect(stat(world.stateDir)).rejects.toThrow("ENOENT");
    expect(await stage()).toEqual({});
  });

  test("NodeStageVolume keeps keys out of the disk and the engine's environment and arguments", async () => {
    const secretAccessKey = s3.secretAccessKey;
    await stage({ secrets: { accessKeyId: s3.accessKeyId, secretAccessKey } });
    const [engine] = await world.engines();
    expect(await readFile(`/proc/${engine}/cmdline`, "utf8")).not.toContain(secretAccessKey);
    expect(await readFile(`/proc/${engine}/environ`, "utf8")).not.toContain(secretAccessKey);
    await expect(run("grep", ["-rl", secretAccessKey, world.stateDir, join(world.dir, "engines.log")])).rejects.toMatchObject({ code: 1 });
    expect((await stat(world.stateDir)).mode & 0o777).toBe(0o700);
  });

  test("a killed engine gets a successor, and the published files are read again by path", async () => {
    await stage();
    const target = await publish("one");
    await sh('printf before > "$1/file"', target);
    const [engine] = await world.engines();
    process.kill(engine ?? 0, "SIGKILL");
    expect(await sh('cat "$1/file"', target)).toBe("before");
    const [successor] = await world.engines();
    expect(successor).not.toBe(engine);
    await sh('printf after > "$1/file"', target);
    await unpublish(target);
    await unstage();
    await nothingIsLeft();
    expect(await readFile(join(s3.dataDir, volume.volumeContext["bucket"] ?? "", "file"), "utf8")).toBe("after");
  });

  test("a plugin that was restarted takes staged volumes as they are, and unstages them", async () => {
    await stage();
    const target = await publish("one");
    await sh('printf content > "$1/file"', target);
    await world.restart();
    const engines = await world.engines();
    expect(await stage()).toEqual({});
    expect(await world.engines()).toEqual(engines);
    const second = await publish("two");
    expect(await sh('cat "$1/file"', second)).toBe("content");
    await unpublish(target);
    await unpublish(second);
    await unstage();
    await nothingIsLeft();
  });

  test.each(["NodeStageVolume", "NodePublishVolume"])(
    "%s mounts again when an engine died unwatched, for all pods that had it",
    async (call) => {
      await stage();
      const [target, other] = [await publish("one"), await publish("two", { readonly: true })];
      await sh('printf content > "$1/file"', target);
      // The supervisor keeps the connection alive: aborting it is what the end of plugin and engine together looks like.
      const [row] = await world.mounts();
      await abortConnection(row?.device ?? "");
      await expect(sh('cat "$1/file"', target)).rejects.toThrow(/not connected/i);
      expect(await pollUntil(30_000, 20, async () => (await world.engines()).length === 0)).toBe(true);
      if (call === "NodeStageVolume") await stage();
      else expect(await publish("one")).toBe(target);
      expect(await sh('cat "$1/file" "$2/file"', target, other)).toBe("contentcontent");
      await expect(sh('touch "$1/file"', other)).rejects.toThrow(/Read-only file system/i);
      expect(await publish("two", { readonly: true })).toBe(other);
      expect((await world.mounts()).map(({ mountPoint }) => mountPoint).toSorted()).toEqual([target, other, staging].toSorted());
      await unpublish(target);
      await unpublish(other);
      await unstage();
      await nothingIsLeft();
    },
  );

  test("NodeGetVolumeStats and NodeUnpublishVolume tell volumes apart when paths are mixed up", async () => {
    await stage();
    const target = await publish("one");
    const stats = (volumeId: string, volumePath: string) => failure(node.call("NodeGetVolumeStats", { volumeId, volumePath }));
    expect(await stats("v1:other-volume", target)).toMatchObject({ code: "NOT_FOUND" });
    expect(await stats(volume.volumeId, world.dir)).toMatchObject({ code: "NOT_FOUND" });
    expect(await failure(node.call("NodeUnpublishVolume", { volumeId: "v1:other-volume", targetPath: target }))).toMatchObject({
      code: "FAILED_PRECONDITION",
    });
    expect(await sh('ls -A "$1"', target)).toBe("");
    expect(await node.call("NodeUnstageVolume", { volumeId: "v1:other-volume", stagingTargetPath: join(world.dir, "elsewhere") })).toEqual(
      {},
    );
  });

  test("paths with symbolic links in them are the same place as their targets", async () => {
    await mkdir(join(world.dir, "real"));
    await sh('ln -s "$1/real" "$1/link"', world.dir);
    await mkdir(join(world.dir, "real", "globalmount"));
    staging = join(world.dir, "link", "globalmount");
    await stage();
    expect(await stage()).toEqual({});
    await unstage();
    await nothingIsLeft();
  });

  describe("with an engine that cannot upload", () => {
    const fakeEngine = fileURLToPath(new URL("../support/fake-engine.mjs", import.meta.url));
    beforeEach(async () => {
      node.close();
      await world.stop();
      world = await startNodeWorld({ s3, engineMain: fakeEngine });
      node = connectGrpc(world.socketPath, "csi.v1.Node");
      staging = await folderIn(world, "staging", "globalmount");
    });

    test("NodeUnpublishVolume and NodeUnstageVolume fail and keep the mount when a flush fails", async () => {
      volume = { volumeId: "v", volumeContext: { bucket: "unflushable" } };
      await stage();
      const target = await publish("one");
      for (const refusal of [await failure(unpublish(target)), await failure(unstage())]) {
        expect(refusal.code).toMatch(/INTERNAL|FAILED_PRECONDITION/);
      }
      expect(await sh('cat "$1/hello"', target)).toContain("hello");
    });

    test("NodeUnstageVolume never says OK while the spool has data, and another stage may take it up", async () => {
      volume = { volumeId: "v", volumeContext: { bucket: "dirty" } };
      await stage();
      const refusal = { code: "FAILED_PRECONDITION", details: expect.stringContaining("not uploaded") };
      expect(await failure(unstage())).toMatchObject(refusal);
      expect(await failure(unstage())).toMatchObject(refusal);
      await world.restart();
      expect(await failure(unstage())).toMatchObject(refusal);
      await nothingIsLeft();
      await stage();
    });
  });
});
