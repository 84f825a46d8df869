/** What people see of a running driver: health, metrics, Events, logs. Real processes, a real store behind a proxy that fails on demand. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { CAUSES, type Cause } from "#core/causes.ts";
import { isSecretName } from "#core/log.ts";
import { loadService, type ServiceName } from "#csi/load.ts";
import { unmount } from "#fuse/channel/mount.ts";
import { pollUntil } from "#node/deadline.ts";
import { readMounts } from "#node/mounts.ts";
import { readOwner } from "#node/state-folder.ts";
import { VolumeRecords } from "#node/volume-records.ts";
import { createBucketAdmin } from "#s3/index.ts";
import { type FakeKubeApi, startFakeKubeApi } from "../support/fake-kube-api.ts";
import { type FaultProxy, startFaultProxy } from "../support/fault-proxy.ts";
import { connectGrpc, type GrpcClient } from "../support/grpc.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { type PluginProcess, startPlugin } from "../support/plugin-process.ts";
import { type S3Server, startServer } from "../support/s3-servers.ts";
import { removeSealed } from "../support/sealed-folders.ts";

const run = promisify(execFile);
/** What must come, comes within this on any machine. */
const LONG_MS = 300_000;
vi.setConfig({ testTimeout: 2 * LONG_MS, hookTimeout: 2 * LONG_MS });
const CALL = { deadlineMs: 100_000 };
const DRIVER = "s3.csi.bucketmount.dev";
const CAPABILITY = { volumeCapability: { mount: { fsType: "", mountFlags: [] }, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } } };
const POD = {
  "csi.storage.k8s.io/pod.namespace": "team",
  "csi.storage.k8s.io/pod.name": "builder",
  "csi.storage.k8s.io/pod.uid": "pod-uid",
};

let s3: S3Server;
let proxy: FaultProxy;
let kube: FakeKubeApi;
let dir: string;
let plugins: PluginProcess[];

beforeAll(async () => {
  s3 = await startServer("s3rver");
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const admin = createBucketAdmin({ endpoint, region, pathStyle: true, credentials: { accessKeyId, secretAccessKey } });
  await admin.createBucket("pods", CALL);
  await admin.close();
});
afterAll(() => s3?.stop());
beforeEach(async () => {
  plugins = [];
  dir = await realpath(await mkdtemp(join(tmpdir(), "bucketmount-observed-")));
  proxy = await startFaultProxy(s3.endpoint);
  kube = await startFakeKubeApi();
  kube.volumes = [{ name: "pv-1", driver: DRIVER, volumeHandle: "v", claim: { namespace: "team", name: "maven", uid: "claim-uid" } }];
});
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") for (const plugin of plugins) console.log((await plugin.log()).slice(-6000));
  await Promise.all(plugins.map((plugin) => plugin.stop()));
  for (const { mountPoint } of (await mounts()).toReversed()) await unmount(mountPoint, { lazy: true });
  const isSettled = async () => (await readOwner(folder()))?.engine === undefined || !(await isRunning());
  expect(await pollUntil(LONG_MS, 50, isSettled)).toBe(true);
  await Promise.all([proxy.goAway(), kube.stop()]);
  await removeSealed(dir);
});

const folder = () => new VolumeRecords(join(dir, "state")).folder("v");
const mounts = async () => (await readMounts()).filter((row) => row.mountPoint.startsWith(`${dir}/`));

async function isRunning(): Promise<boolean> {
  const pid = (await readOwner(folder()))?.engine?.pid;
  return (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).includes("engine");
}

async function start(mode: "controller" | "node", { events = true, env = {}, level = "info" } = {}): Promise<PluginProcess> {
  const own = mode === "node" ? ["--node-id", "node-1", "--state-dir", join(dir, "state")] : [];
  const plugin = await startPlugin({
    ...{ mode, dir, flags: ["--s3-endpoint", proxy.endpoint, "--log-level", level, ...own, ...(events ? ["--kube-events"] : [])] },
    env: {
      ...{ AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey, AWS_REGION: s3.region },
      ...{ KUBECONFIG: kube.writeKubeconfig(dir), POD_NAME: `bucketmount-${mode}`, POD_NAMESPACE: "bucketmount" },
      ...env,
    },
  });
  plugins.push(plugin);
  return plugin;
}

interface NodeCalls {
  readonly stage: (bucket?: string) => Promise<unknown>;
  readonly publish: (more?: object) => Promise<unknown>;
  readonly unpublish: () => Promise<unknown>;
  readonly unstage: () => Promise<unknown>;
  readonly close: () => void;
}

function nodeCalls({ socketPath }: PluginProcess): NodeCalls {
  const grpc = connectGrpc(socketPath, "csi.v1.Node");
  const place = { volumeId: "v", stagingTargetPath: join(dir, "staging") };
  const targetPath = target();
  return {
    async stage(bucket = "pods") {
      await mkdir(place.stagingTargetPath, { recursive: true });
      return grpc.call("NodeStageVolume", { ...place, ...CAPABILITY, volumeContext: { bucket } }, CALL);
    },
    publish: (more = {}) =>
      grpc.call("NodePublishVolume", { ...place, ...CAPABILITY, targetPath, volumeContext: { bucket: "pods", ...POD }, ...more }, CALL),
    unpublish: () => grpc.call("NodeUnpublishVolume", { volumeId: "v", targetPath }, CALL),
    unstage: () => grpc.call("NodeUnstageVolume", place, CALL),
    close: () => grpc.close(),
  };
}

const target = () => join(dir, "pods", "builder", "mount");

async function sh(script: string, ...args: string[]): Promise<string> {
  return (await run("sh", ["-ec", script, "sh", ...args], { timeout: LONG_MS })).stdout;
}

/** Waits for the Event; answers its message. */
async function eventOf(kind: string, type: string, reason: string): Promise<string> {
  const find = () => kube.events.find((event) => event.involvedObject.kind === kind && event.type === type && event.reason === reason);
  await pollUntil(LONG_MS, 20, () => find() !== undefined);
  expect(kube.events.map((event) => `${event.involvedObject.kind} ${event.type} ${event.reason}`)).toContain(`${kind} ${type} ${reason}`);
  return find()?.message ?? "";
}

const fixOf = (cause: Cause) => CAUSES[cause].fix;

async function metric(plugin: PluginProcess, start: string): Promise<string[]> {
  return (await plugin.page("/metrics")).body.split("\n").filter((line) => line.startsWith(start));
}

describe("bucketmount controller", () => {
  test("is alive and not ready while its store is down, says why on its own pod, and recovers", async () => {
    await proxy.goAway();
    const controller = await start("controller");
    const ill = await controller.page("/healthz");
    expect([ill.status, JSON.parse(ill.body)]).toEqual([
      200,
      { plugin: "ok", store: "down", detail: expect.stringContaining(fixOf("connection_refused")) },
    ]);
    expect((await controller.page("/readyz")).status).toBe(503);
    expect(await metric(controller, "bucketmount_store_up")).toEqual(["bucketmount_store_up 0"]);
    expect(await eventOf("Pod", "Warning", "ConnectionRefused")).toContain(proxy.endpoint);
    await proxy.comeBack();
    expect(await pollUntil(LONG_MS, 100, async () => (await controller.page("/readyz")).status === 200)).toBe(true);
    expect(JSON.parse((await controller.page("/healthz")).body)).toEqual({ plugin: "ok", store: "ok" });
    await eventOf("Pod", "Normal", "Recovered");
    expect(kube.events.map(({ involvedObject }) => involvedObject.name)).toEqual(["bucketmount-controller", "bucketmount-controller"]);
  });

  test("says in the gRPC error of a call what is wrong and what to do, and counts it", async () => {
    const controller = await start("controller", { events: false });
    proxy.refusing = { status: 403, code: "AccessDenied" };
    const grpc = connectGrpc(controller.socketPath, "csi.v1.Controller");
    const refused = grpc.call("CreateVolume", { name: "pvc-1", volumeCapabilities: [CAPABILITY.volumeCapability] }, CALL);
    await expect(refused).rejects.toMatchObject({ details: expect.stringContaining(fixOf("access_denied")) });
    grpc.close();
    expect(await metric(controller, "csi_plugin_operations_seconds_count")).toContain(
      `csi_plugin_operations_seconds_count{driver_name="${DRIVER}",method_name="/csi.v1.Controller/CreateVolume",grpc_status_code="PermissionDenied"} 1`,
    );
  });

  test("is not alive when its socket does not answer any more", async () => {
    const controller = await start("controller", { events: false });
    expect((await controller.page("/healthz")).status).toBe(200);
    await rm(controller.socketPath);
    const { status, body } = await controller.page("/healthz");
    expect([status, JSON.parse(body).plugin]).toEqual([503, "down"]);
  });
});

describe.skipIf(skipMounts("test/kernel/observed-plugins: bucketmount node"))("bucketmount node", () => {
  test("tells claim and pod why a volume cannot be mounted, and when it can", async () => {
    const node = await start("node");
    const calls = nodeCalls(node);
    await expect(calls.stage("nothing-here")).rejects.toMatchObject({ details: expect.stringContaining(fixOf("no_bucket")) });
    expect(await eventOf("PersistentVolumeClaim", "Warning", "BucketNotFound")).toMatch(/^maven on node-1: the bucket "nothing-here"/);
    await expect(calls.publish()).rejects.toMatchObject({ code: 9 });
    expect(await eventOf("Pod", "Warning", "PublishFailed")).toContain("is not staged");
    await calls.stage();
    await calls.publish();
    await eventOf("PersistentVolumeClaim", "Normal", "Recovered");
    await eventOf("Pod", "Normal", "Recovered");
    expect(kube.events[0]?.involvedObject.uid).toBe("claim-uid");
    await calls.unpublish();
    await calls.unstage();
    calls.close();
  });

  test("shows a volume in the metrics, an engine that hangs too, and never waits for that", async () => {
    const node = await start("node");
    const calls = nodeCalls(node);
    await calls.stage();
    await calls.publish();
    await sh('printf hello > "$1/file"; cat "$1/file"', target());
    const own = 'volume_id="v",pvc_namespace="team",pvc_name="maven"';
    // The claim is looked up at the first scrape.
    expect(await pollUntil(LONG_MS, 100, async () => (await metric(node, `bucketmount_volume_info{${own}`)).length === 1)).toBe(true);
    expect(await metric(node, "bucketmount_volume_dirty_bytes")).toEqual([`bucketmount_volume_dirty_bytes{${own}} 0`]);
    expect((await metric(node, `bucketmount_volume_s3_requests_total{${own},operation="PutObject"}`)).length).toBe(1);
    expect(await metric(node, `bucketmount_volume_engine_state{${own},state="serving"}`)).toEqual([expect.stringMatching(/ 1$/)]);
    expect((await metric(node, 'csi_plugin_operations_seconds_count{driver_name="s3.csi')).join()).toContain("NodeStageVolume");

    const pid = (await readOwner(folder()))?.engine?.pid ?? 0;
    process.kill(pid, "SIGSTOP");
    try {
      const begun = performance.now();
      expect(await metric(node, `bucketmount_volume_engine_state{${own},state="silent"}`)).toEqual([expect.stringMatching(/ 1$/)]);
      expect(await metric(node, "bucketmount_volume_dirty_bytes")).toEqual([]);
      // It would hang until the engine goes on.
      expect(performance.now() - begun).toBeLessThan(60_000);
      expect((await node.page("/healthz")).status).toBe(200);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    const serves = async () => (await metric(node, `bucketmount_volume_engine_state{${own},state="serving"}`)).join().endsWith(" 1");
    expect(await pollUntil(LONG_MS, 100, serves)).toBe(true);
    await calls.unpublish();
    await calls.unstage();
    expect(await metric(node, "bucketmount_volume_info")).toEqual([]);
    calls.close();
  });

  test("tells of trouble while a volume is in use, of an engine that crashes, and of the end of both", async () => {
    const node = await start("node");
    const calls = nodeCalls(node);
    await calls.stage();
    await calls.publish();
    await sh('printf hello > "$1/file"', target());
    proxy.refusing = { status: 403, code: "AccessDenied", when: (method) => method === "PUT" };
    await expect(sh('printf more | dd of="$1/other" conv=fsync', target())).rejects.toThrow();
    const message = await eventOf("PersistentVolumeClaim", "Warning", "AccessDenied");
    expect(message).toContain("PutObject s3://pods/other: AccessDenied");
    expect(message).toContain(fixOf("access_denied"));
    await eventOf("Pod", "Warning", "AccessDenied");
    await eventOf("Pod", "Warning", "UploadsFailing");
    expect((await metric(node, "bucketmount_volume_trouble")).join()).toMatch(/cause="access_denied"} 1.*cause="uploads_failing"} 1/);
    proxy.refusing = undefined;
    // The data goes to the bucket by itself, and what was reported is over half a minute after the last refusal.
    await eventOf("Pod", "Normal", "Recovered");
    expect(await pollUntil(LONG_MS, 200, async () => (await metric(node, "bucketmount_volume_trouble")).length === 0)).toBe(true);

    process.kill((await readOwner(folder()))?.engine?.pid ?? 0, "SIGKILL");
    expect(await sh('cat "$1/other"', target())).toBe("more");
    expect(await eventOf("PersistentVolumeClaim", "Warning", "EngineCrashed")).toContain("signal SIGKILL");
    expect((await metric(node, "bucketmount_volume_engine_restarts_total")).join()).toMatch(/ 1$/);
    await calls.unpublish();
    await calls.unstage();
    calls.close();
  });

  test("stays alive and ready while the store is away, and names the store's trouble", async () => {
    const node = await start("node");
    await proxy.goAway();
    const isDown = async () => JSON.parse((await node.page("/healthz")).body).store === "down";
    expect(await pollUntil(LONG_MS, 100, isDown)).toBe(true);
    expect([(await node.page("/healthz")).status, (await node.page("/readyz")).status]).toEqual([200, 200]);
    await proxy.comeBack();
    expect(await pollUntil(LONG_MS, 100, async () => !(await isDown()))).toBe(true);
  });

  test.each([
    ["refuses", { status: 403, message: "events is forbidden" }],
    ["does not answer", "hang"],
    ["is away", undefined],
  ] as const)("fails and delays no call when the Kubernetes API %s", async (_how, refusing) => {
    const node = await start("node");
    kube.refusing = refusing;
    if (refusing === undefined) await kube.stop();
    const calls = nodeCalls(node);
    await expect(calls.stage("nothing-here")).rejects.toMatchObject({ code: 5 });
    await calls.stage();
    await calls.publish();
    await calls.unpublish();
    await calls.unstage();
    calls.close();
    expect(kube.events).toEqual([]);
    expect(await node.stop()).toBe(0);
  });
});

describe.skipIf(skipMounts("test/kernel/observed-plugins: secrets"))("secrets", () => {
  const SECRET = "ThisIsASecretValue";
  const secrets = (n: number) => ({
    ...{ accessKeyID: `AKIA${SECRET}A${n}`, secretAccessKey: `${SECRET}/B+${n}`, sessionToken: `${SECRET}C${n}` },
    httpProxy: `http://user:${SECRET}D${n}@127.0.0.1:9`,
  });

  test("given to any call of either plugin are in no log, error, Event, metric or page", async () => {
    const environment = { AWS_ACCESS_KEY_ID: `AKIA${SECRET}E`, AWS_SECRET_ACCESS_KEY: `${SECRET}F`, AWS_SESSION_TOKEN: `${SECRET}G` };
    const options = { env: environment, level: "debug" };
    const [controller, node] = [await start("controller", options), await start("node", options)];
    const told: string[] = [];
    const services: readonly (readonly [PluginProcess, ServiceName])[] = [
      [controller, "csi.v1.Identity"],
      [controller, "csi.v1.Controller"],
      [node, "csi.v1.Identity"],
      [node, "csi.v1.Node"],
    ];
    let calls = 0;
    for (const [plugin, service] of services) {
      const grpc = connectGrpc(plugin.socketPath, service);
      for (const method of Object.keys(loadService(service))) {
        calls++;
        told.push(await answerOf(grpc, method, secrets(calls)));
      }
      grpc.close();
    }
    expect(calls).toBeGreaterThan(25);
    // Keys that a real server refuses, and says so.
    const nodeGrpc = connectGrpc(node.socketPath, "csi.v1.Node");
    await mkdir(join(dir, "staging"), { recursive: true });
    const { httpProxy: _proxy, ...wrongKeys } = secrets(999);
    const request = { volumeId: "v", stagingTargetPath: join(dir, "staging"), ...CAPABILITY, volumeContext: { bucket: "pods" } };
    told.push(await callWith(nodeGrpc, "NodeStageVolume", { ...request, secrets: wrongKeys }));
    nodeGrpc.close();
    const pages = await Promise.all(
      [controller, node].flatMap((plugin) => ["/healthz", "/readyz", "/metrics"].map((path) => plugin.page(path))),
    );
    const output = [await controller.log(), await node.log(), ...told, JSON.stringify(kube.events), ...pages.map(({ body }) => body)];
    await writeFile(join(dir, "output"), output.join("\n"));
    // The logs are what they should be: a JSON object a line, with the calls in them.
    const lines = `${output[0]}${output[1]}`.trim().split("\n");
    expect(lines.every((line) => typeof JSON.parse(line).msg === "string")).toBe(true);
    expect(lines.filter((line) => line.includes('"secrets":"[redacted]"')).length).toBeGreaterThanOrEqual(6);
    expect(output.filter((text) => text.includes(SECRET))).toEqual([]);
  });

  async function answerOf(grpc: GrpcClient, method: string, given: Record<string, string>): Promise<string> {
    const parameters = { region: "us-east-1", "csi.storage.k8s.io/pvc/name": "maven" };
    const tokens = { "csi.storage.k8s.io/serviceAccount.tokens": `{"sts":{"token":"${given["secretAccessKey"]}"}}` };
    expect(Object.keys(tokens).every(isSecretName)).toBe(true);
    const paths = { stagingTargetPath: join(dir, "staging"), targetPath: join(dir, "target"), volumePath: join(dir, "target") };
    const capabilities = { ...CAPABILITY, volumeCapabilities: [CAPABILITY.volumeCapability] };
    const volume = { volumeId: "v", name: "pvc-1", volumeContext: { bucket: "pods", ...POD, ...tokens } };
    return callWith(grpc, method, { ...volume, ...parameters, ...paths, ...capabilities, secrets: given, parameters });
  }

  async function callWith(grpc: GrpcClient, method: string, request: object): Promise<string> {
    return grpc.call(method, request, CALL).then(
      (answer) => JSON.stringify(answer),
      (error: Error & { details?: string }) => `${error.message} ${error.details}`,
    );
  }
});
