/** `bucketmount node` as its own process: what stays when it is killed, alone or together with its engines. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, realpath } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { unmount } from "#fuse/channel/mount.ts";
import { pollUntil } from "#node/deadline.ts";
import { readMounts } from "#node/mounts.ts";
import { isAlive } from "#node/process-identity.ts";
import { readOwner } from "#node/state-folder.ts";
import { VolumeRecords } from "#node/volume-records.ts";
import { createBucketAdmin } from "#s3/index.ts";
import { connectGrpc, type GrpcClient } from "../support/grpc.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { type S3Server, startServer } from "../support/s3-servers.ts";
import { removeSealed } from "../support/sealed-folders.ts";

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const VOLUME = { volumeId: "v", volumeContext: { bucket: "pods" } };
const CAPABILITY = { volumeCapability: { mount: { fsType: "", mountFlags: [] }, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } } };
const CALL = { deadlineMs: 100_000 };

let s3: S3Server;
let dir: string;
let plugin: ChildProcess;
let node: GrpcClient;

async function startPlugin(): Promise<void> {
  const log = openSync(join(dir, "plugin.log"), "a");
  const flags = ["--endpoint", `unix://${dir}/csi.sock`, "--node-id", "n1", "--state-dir", join(dir, "state"), "--registration-dir", dir];
  plugin = spawn(process.execPath, ["-C", "source", MAIN, "node", ...flags, "--s3-endpoint", s3.endpoint], {
    env: { ...process.env, AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey, AWS_REGION: s3.region },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  node = connectGrpc(join(dir, "csi.sock"), "csi.v1.Node");
  const answers = () =>
    node.call("NodeGetInfo", {}, { deadlineMs: 1000 }).then(
      () => true,
      () => plugin.exitCode !== null,
    );
  expect(await pollUntil(60_000, 50, answers)).toBe(true);
}

async function killPlugin(): Promise<void> {
  node.close();
  if (plugin.exitCode !== null || plugin.signalCode !== null) return;
  plugin.kill("SIGKILL");
  await once(plugin, "exit");
}

const engine = async () => (await readOwner(new VolumeRecords(join(dir, "state")).folder("v")))?.engine;
const staging = () => ({ stagingTargetPath: join(dir, "staging") });
const target = (pod: string) => join(dir, "pods", pod, "mount");
const mounts = async () => (await readMounts()).map((row) => row.mountPoint).filter((path) => path.startsWith(`${dir}/`));
const stage = () => node.call("NodeStageVolume", { ...VOLUME, ...CAPABILITY, ...staging() }, CALL);
const publish = (pod: string) => node.call("NodePublishVolume", { ...VOLUME, ...CAPABILITY, ...staging(), targetPath: target(pod) }, CALL);
const unpublish = (pod: string) => node.call("NodeUnpublishVolume", { volumeId: "v", targetPath: target(pod) }, CALL);
const unstage = () => node.call("NodeUnstageVolume", { volumeId: "v", ...staging() }, CALL);

async function sh(script: string, ...args: string[]): Promise<string> {
  return (await run("sh", ["-ec", script, "sh", ...args], { timeout: 60_000 })).stdout;
}

describe.skipIf(skipMounts("test/kernel/node-process"))("bucketmount node", () => {
  beforeAll(async () => {
    s3 = await startServer("s3rver");
    const { endpoint, region, accessKeyId, secretAccessKey } = s3;
    const admin = createBucketAdmin({ endpoint, region, pathStyle: true, credentials: { accessKeyId, secretAccessKey } });
    await admin.createBucket("pods", CALL);
    await admin.close();
  });
  afterAll(() => s3?.stop());
  beforeEach(async () => {
    dir = await realpath(await mkdtemp(join(tmpdir(), "bucketmount-plugin-")));
    await mkdir(join(dir, "staging"));
    await startPlugin();
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") console.log((await readFile(join(dir, "plugin.log"), "utf8")).slice(-4000));
    const last = await engine();
    await killPlugin();
    for (const path of (await mounts()).toReversed()) await unmount(path, { lazy: true });
    if (last !== undefined) expect(await pollUntil(60_000, 20, async () => !(await isAlive(last)))).toBe(true);
    await removeSealed(dir);
  });

  test("a mount is served on while the plugin is gone, and the next plugin takes it as it is", async () => {
    await stage();
    await publish("one");
    await sh('printf first > "$1/file"', target("one"));
    const before = await engine();
    await killPlugin();
    expect(await sh('cat "$1/file"; printf second > "$1/file"; cat "$1/file"', target("one"))).toBe("firstsecond");
    await startPlugin();
    await stage();
    expect(await engine()).toEqual(before);
    await publish("two");
    expect(await sh('cat "$1/file"', target("two"))).toBe("second");
    const { usage } = await node.call("NodeGetVolumeStats", { volumeId: "v", volumePath: target("two") });
    expect(usage[0].available).toBeGreaterThan(0);
    await unpublish("one");
    await unpublish("two");
    await unstage();
    expect(await mounts()).toEqual([]);
    expect(before !== undefined && (await isAlive(before))).toBe(false);
    await unstage();
  });

  test("a mount that died with its plugin is mounted again, for the pods that had it too", async () => {
    await stage();
    await publish("one");
    await sh('printf first > "$1/file"', target("one"));
    const before = await engine();
    await killPlugin();
    process.kill(before?.pid ?? 0, "SIGKILL");
    await expect(sh('cat "$1/file"', target("one"))).rejects.toThrow(/not connected|connection abort/i);
    await startPlugin();
    await publish("one");
    expect(await sh('cat "$1/file"', target("one"))).toBe("first");
    await unpublish("one");
    await unstage();
    expect(await mounts()).toEqual([]);
  });

  test("a dead mount is unpublished and unstaged without being mounted again", async () => {
    await stage();
    await publish("one");
    const before = await engine();
    await killPlugin();
    process.kill(before?.pid ?? 0, "SIGKILL");
    await startPlugin();
    await unpublish("one");
    await unstage();
    expect(await mounts()).toEqual([]);
    expect(await readdir(join(dir, "pods", "one"))).toEqual([]);
  });

  test("the kubelet finds the plugin, which takes its sockets away and leaves its mounts when it is ended", async () => {
    const kubelet = connectGrpc(join(dir, "s3.csi.bucketmount.dev-reg.sock"), "pluginregistration.Registration");
    expect(await kubelet.call("GetInfo")).toMatchObject({ type: "CSIPlugin", endpoint: join(dir, "csi.sock") });
    kubelet.close();
    await stage();
    plugin.kill("SIGTERM");
    expect(await once(plugin, "exit")).toEqual([0, null]);
    expect((await readdir(dir)).filter((name) => name.endsWith(".sock"))).toEqual([]);
    expect(await mounts()).toEqual([join(dir, "staging")]);
    await startPlugin();
    await unstage();
  });
});
