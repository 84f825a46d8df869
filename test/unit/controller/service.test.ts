/** The whole controller over its socket, as the provisioner sees it, on a store in memory. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MARK_KEY } from "#controller/mark.ts";
import { createControllerServices } from "#controller/service.ts";
import { type CsiServer, startCsiServer } from "#csi/server.ts";
import type { BucketAdminConfig } from "#s3/bucket-admin.ts";
import { overridingBucketAdmin } from "../../support/crashing-bucket-admin.ts";
import { connectGrpc, type GrpcClient } from "../../support/grpc.ts";
import { MemoryBucketAdmin } from "../../support/memory-bucket-admin.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

const GIB = 2 ** 30;
const MOUNTABLE = { mount: {}, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } };

let dir: string;
let store: MemoryBucketAdmin;
let made: BucketAdminConfig[];
let log: ReturnType<typeof recordingLogger>;
let server: CsiServer;
let controller: GrpcClient;
let identity: GrpcClient;
/** Holds the store's answers back until it is called. */
let hold: Promise<void> | undefined;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "controller-"));
  store = new MemoryBucketAdmin();
  made = [];
  log = recordingLogger();
  hold = undefined;
  const slow = overridingBucketAdmin(store, {
    readObject: async (...parameters) => {
      await hold;
      return store.readObject(...parameters);
    },
  });
  const { services } = createControllerServices({
    defaultStore: { endpoint: "http://store.example", region: "eu-1", pathStyle: true },
    createAdmin: (config) => {
      made.push(config);
      return slow;
    },
    log,
  });
  server = await startCsiServer({ endpoint: `unix://${dir}/csi.sock`, services, log });
  controller = connectGrpc(server.socketPath, "csi.v1.Controller");
  identity = connectGrpc(server.socketPath, "csi.v1.Identity");
});

afterEach(async () => {
  controller.close();
  identity.close();
  await server.close(0);
  await rm(dir, { recursive: true });
});

const create = (request: object = {}) =>
  controller.call("CreateVolume", { name: "pvc-1", capacityRange: { requiredBytes: GIB }, volumeCapabilities: [MOUNTABLE], ...request });

describe("CreateVolume", () => {
  test("answers the volume with what the node needs, and no secret", async () => {
    const secrets = { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "topsecretvalue" };
    const { volume } = await create({
      secrets,
      parameters: { "csi.storage.k8s.io/pvc/name": "m2", "csi.storage.k8s.io/pvc/namespace": "ci" },
    });
    expect(volume).toMatchObject({
      volumeId: "v1:pvc-1",
      capacityBytes: GIB,
      volumeContext: { bucket: "pvc-1", endpoint: "http://store.example", region: "eu-1", pathStyle: "true" },
    });
    expect(made.at(-1)?.credentials).toEqual(secrets);
    expect(JSON.stringify([volume, log.lines])).not.toMatch(/AKIAEXAMPLE|topsecretvalue/);
    const mark = JSON.parse(new TextDecoder().decode((await store.readObject("pvc-1", MARK_KEY)).body));
    expect(mark).toMatchObject({ volumeId: "v1:pvc-1", claim: { namespace: "ci", name: "m2" } });
  });

  test("is idempotent, and refuses another size or other parameters with ALREADY_EXISTS", async () => {
    const first = await create();
    expect(await create()).toEqual(first);
    await expect(create({ capacityRange: { requiredBytes: 2 * GIB } })).rejects.toMatchObject({ code: status.ALREADY_EXISTS });
    await expect(create({ parameters: { versioning: "true" } })).rejects.toMatchObject({
      code: status.ALREADY_EXISTS,
      details: expect.stringContaining("versioning"),
    });
    expect([...store.buckets.keys()]).toEqual(["pvc-1"]);
  });

  test("keeps what the StorageClass says about the store in the id, so that DeleteVolume finds the bucket", async () => {
    const { volume } = await create({
      parameters: { endpoint: "https://other.example", region: "eu-9", pathStyle: "false", bucketPrefix: "ci-" },
    });
    expect(volume.volumeId).toBe("v1:ci-pvc-1+endpoint=https://other.example+region=eu-9+pathStyle=false");
    expect(volume.volumeContext).toEqual({ bucket: "ci-pvc-1", endpoint: "https://other.example", region: "eu-9", pathStyle: "false" });
    await controller.call("DeleteVolume", { volumeId: volume.volumeId });
    expect(made.at(-1)).toMatchObject({ endpoint: "https://other.example", region: "eu-9", pathStyle: false });
    expect(store.buckets.size).toBe(0);
  });

  test("refuses a wrong request by the field's name and makes nothing", async () => {
    const wrong: readonly (readonly [object, number, RegExp])[] = [
      [{ name: "" }, status.INVALID_ARGUMENT, /name is missing/],
      [{ name: "a\u0001b" }, status.INVALID_ARGUMENT, /control characters/],
      [{ volumeCapabilities: [] }, status.INVALID_ARGUMENT, /volume_capabilities is missing/],
      [{ volumeCapabilities: [{ block: {}, accessMode: { mode: "SINGLE_NODE_WRITER" } }] }, status.INVALID_ARGUMENT, /raw block/],
      [{ parameters: { colour: "red" } }, status.INVALID_ARGUMENT, /"colour" is not known; known: bucket/],
      [{ parameters: { versioning: "maybe" } }, status.INVALID_ARGUMENT, /parameter versioning/],
      [{ secrets: { accessKeyId: "AKIAEXAMPLE" } }, status.INVALID_ARGUMENT, /secretAccessKey is missing/],
      [{ mutableParameters: { a: "b" } }, status.INVALID_ARGUMENT, /mutable_parameters/],
      [{ volumeContentSource: { volume: { volumeId: "v1:x" } } }, status.INVALID_ARGUMENT, /volume_content_source: .*another volume/],
      [{ volumeContentSource: { snapshot: { snapshotId: "x" } } }, status.INVALID_ARGUMENT, /a snapshot/],
      [{ capacityRange: { requiredBytes: 2, limitBytes: 1 } }, status.OUT_OF_RANGE, /limit_bytes \(1\)/],
      [{ capacityRange: { requiredBytes: -1 } }, status.INVALID_ARGUMENT, /required_bytes must not be negative/],
    ];
    for (const [request, code, details] of wrong) {
      await expect(create(request), JSON.stringify(request)).rejects.toMatchObject({ code, details: expect.stringMatching(details) });
    }
    expect(store.buckets.size).toBe(0);
  });

  test("answers ABORTED while another call works on the same volume", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    hold = promise;
    const first = create();
    // Both are on one connection, so they arrive in order.
    await expect(create()).rejects.toMatchObject({ code: status.ABORTED });
    await expect(controller.call("DeleteVolume", { volumeId: "v1:pvc-1" })).rejects.toMatchObject({ code: status.ABORTED });
    resolve();
    await expect(first).resolves.toMatchObject({ volume: { volumeId: "v1:pvc-1" } });
  });

  test("answers UNAVAILABLE when the store is down", async () => {
    store.down = true;
    await expect(create()).rejects.toMatchObject({ code: status.UNAVAILABLE });
  });
});

describe("DeleteVolume", () => {
  test("deletes the volume, once and again", async () => {
    const { volume } = await create({ parameters: { versioning: "true" } });
    await store.fill("pvc-1", 4);
    for (let n = 0; n < 2; n++) await expect(controller.call("DeleteVolume", { volumeId: volume.volumeId })).resolves.toEqual({});
    expect(store.buckets.size).toBe(0);
  });

  test("calls an id that nobody ever gave a success, and a missing one an error", async () => {
    await expect(controller.call("DeleteVolume", { volumeId: "reallyfakevolumeid" })).resolves.toEqual({});
    await expect(controller.call("DeleteVolume", { volumeId: "v1:missing" })).resolves.toEqual({});
    await expect(controller.call("DeleteVolume", {})).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: "volume_id is missing",
    });
  });

  test("refuses a foreign bucket with FAILED_PRECONDITION and leaves it", async () => {
    store.addBucket("foreign", ["data"]);
    const call = controller.call("DeleteVolume", { volumeId: "v1:foreign" });
    await expect(call).rejects.toMatchObject({ code: status.FAILED_PRECONDITION, details: expect.stringContaining("bucket foreign") });
    expect(store.buckets.get("foreign")?.versions).toHaveLength(1);
  });

  test("refuses a volume of a driver of another name", async () => {
    await create();
    const { services } = createControllerServices({ driverName: "other.csi", defaultStore: {}, createAdmin: () => store, log });
    const other = await startCsiServer({ endpoint: `unix://${dir}/other.sock`, services });
    const client = connectGrpc(other.socketPath, "csi.v1.Controller");
    await expect(client.call("DeleteVolume", { volumeId: "v1:pvc-1" })).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
    client.close();
    await other.close(0);
    expect(store.buckets.has("pvc-1")).toBe(true);
  });
});

describe("a volume in a shared bucket", () => {
  const parameters = { bucket: "shared", storageClass: "STANDARD_IA" };
  const meta = (name: string) => ({ "csi.storage.k8s.io/pvc/name": name, "csi.storage.k8s.io/pvc/namespace": "ci" });
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the template.
  const named = { ...parameters, nameTemplate: "${pvc.namespace}/${pvc.name}" };

  beforeEach(() => {
    store.addBucket("shared", ["somebodys"]);
  });

  test("is a prefix with an id and a context that say so, and goes without its neighbour", async () => {
    const one = await create({ parameters });
    const ten = await create({ name: "pvc-10", parameters });
    expect(one.volume).toMatchObject({
      volumeId: "v1:shared/pvc-1/",
      volumeContext: { bucket: "shared", prefix: "pvc-1/", storageClass: "STANDARD_IA", endpoint: "http://store.example" },
    });
    for (const { volume } of [one, ten]) await store.writeObject("shared", `${volume.volumeContext.prefix}f`, new Uint8Array(1));
    await controller.call("DeleteVolume", { volumeId: one.volume.volumeId });
    expect(
      store.buckets
        .get("shared")
        ?.versions.map(({ key }) => key)
        .toSorted(),
    ).toEqual([".bucketmount/volumes/pvc-10/volume.json", "pvc-10/f", "somebodys"]);
  });

  test("is named by its claim, which no second volume may be", async () => {
    const first = await create({ parameters: { ...named, ...meta("m2") } });
    expect(first.volume.volumeContext.prefix).toBe("ci/m2/");
    expect(first.volume.volumeId).toMatch(/^v1:shared\/ci\/m2\/\+name=[0-9a-v]{8}$/);
    expect(await create({ parameters: { ...named, ...meta("m2") } })).toEqual(first);
    await expect(create({ name: "pvc-2", parameters: { ...named, ...meta("m2") } })).rejects.toMatchObject({
      code: status.ALREADY_EXISTS,
      details: expect.stringContaining("pvc-1, claim ci/m2"),
    });
    // After its end the name is free, and the old id means nothing.
    await controller.call("DeleteVolume", { volumeId: first.volume.volumeId });
    const second = await create({ name: "pvc-2", parameters: { ...named, ...meta("m2") } });
    expect(second.volume.volumeId).not.toBe(first.volume.volumeId);
    await controller.call("DeleteVolume", { volumeId: first.volume.volumeId });
    expect(await create({ name: "pvc-2", parameters: { ...named, ...meta("m2") } })).toEqual(second);
  });

  test("a template names buckets too", async () => {
    const { bucket: _shared, ...own } = named;
    const { volume } = await create({ parameters: { ...own, bucketPrefix: "k8s-", ...meta("m2") } });
    expect(volume.volumeContext.bucket).toMatch(/^k8s-ci-m2-[0-9a-v]{16}$/);
    expect(volume.volumeContext.prefix).toBeUndefined();
  });

  test("names the provisioner's flag when the claim's names are missing", async () => {
    await expect(create({ parameters: named })).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringContaining("--extra-create-metadata"),
    });
  });

  test("needs the bucket to be there", async () => {
    await expect(create({ parameters: { bucket: "missing" } })).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
  });

  test("that is not empty is refused by only-if-empty with FAILED_PRECONDITION, and released by retain", async () => {
    const { volume } = await create({ parameters: { ...parameters, onDelete: "only-if-empty" } });
    await store.writeObject("shared", "pvc-1/f", new Uint8Array(1));
    const call = controller.call("DeleteVolume", { volumeId: volume.volumeId });
    await expect(call).rejects.toMatchObject({ code: status.FAILED_PRECONDITION, details: expect.stringContaining('"pvc-1/f"') });
    const kept = await create({ name: "kept", parameters: { ...parameters, onDelete: "retain" } });
    await controller.call("DeleteVolume", { volumeId: kept.volume.volumeId });
    const capabilities = { volumeId: kept.volume.volumeId, volumeCapabilities: [MOUNTABLE] };
    await expect(controller.call("ValidateVolumeCapabilities", capabilities)).rejects.toMatchObject({ code: status.NOT_FOUND });
    await expect(create({ name: "kept", parameters: { ...parameters, onDelete: "retain" } })).rejects.toMatchObject({
      code: status.ALREADY_EXISTS,
      details: expect.stringContaining("static PersistentVolume"),
    });
  });

  test("is worked on beside others in the bucket, and one at a time itself", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    hold = promise;
    const both = [create({ parameters }), create({ name: "pvc-2", parameters })];
    await expect(create({ parameters })).rejects.toMatchObject({ code: status.ABORTED });
    resolve();
    expect((await Promise.all(both)).map(({ volume }) => volume.volumeId)).toEqual(["v1:shared/pvc-1/", "v1:shared/pvc-2/"]);
  });
});

describe("access modes", () => {
  test("all that a file system has are taken, each under its CSI name", async () => {
    const modes = [
      ...["SINGLE_NODE_WRITER", "SINGLE_NODE_READER_ONLY", "MULTI_NODE_READER_ONLY", "MULTI_NODE_MULTI_WRITER"],
      ...["SINGLE_NODE_SINGLE_WRITER", "SINGLE_NODE_MULTI_WRITER"],
    ];
    for (const [n, mode] of modes.entries()) {
      await expect(create({ name: `v-${n}`, volumeCapabilities: [{ mount: {}, accessMode: { mode } }] }), mode).resolves.toBeDefined();
    }
    await expect(create({ volumeCapabilities: [{ mount: {}, accessMode: { mode: "MULTI_NODE_SINGLE_WRITER" } }] })).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringContaining("MULTI_NODE_SINGLE_WRITER"),
    });
  });
});

describe("ValidateVolumeCapabilities", () => {
  const validate = (request: object) => controller.call("ValidateVolumeCapabilities", { volumeCapabilities: [MOUNTABLE], ...request });

  test("confirms what it can do and says why it does not confirm the rest", async () => {
    const { volume } = await create({ parameters: { versioning: "true" } });
    const { volumeId, volumeContext } = volume;
    const answer = await validate({ volumeId, volumeContext, parameters: { versioning: "true" } });
    expect(answer.confirmed).toMatchObject({ volumeContext, volumeCapabilities: [MOUNTABLE], parameters: { versioning: "true" } });
    const block = await validate({ volumeId, volumeCapabilities: [MOUNTABLE, { block: {}, accessMode: { mode: "SINGLE_NODE_WRITER" } }] });
    expect(block).toMatchObject({ confirmed: null, message: expect.stringContaining("raw block") });
    expect(await validate({ volumeId, parameters: {} })).toMatchObject({ message: "" });
    expect(await validate({ volumeId, parameters: { versioning: "false" } })).toMatchObject({
      confirmed: null,
      message: expect.stringContaining("parameters differ"),
    });
  });

  test("names what is missing, and knows no volume that it did not make", async () => {
    store.addBucket("foreign", ["data"]);
    await expect(validate({})).rejects.toMatchObject({ code: status.INVALID_ARGUMENT, details: "volume_id is missing" });
    await expect(validate({ volumeId: "v1:foreign", volumeCapabilities: [] })).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    for (const volumeId of ["v1:foreign", "v1:missing", "v1:foreign/pvc-1/", "anything"]) {
      await expect(validate({ volumeId })).rejects.toMatchObject({ code: status.NOT_FOUND, details: expect.stringContaining(volumeId) });
    }
  });
});

test("`ValidateVolumeCapabilities` confirms a static volume whose bucket is there", async () => {
  store.addBucket("foreign", ["data"]);
  const validate = (volumeContext: object) =>
    controller.call("ValidateVolumeCapabilities", { volumeId: "by-hand", volumeContext, volumeCapabilities: [MOUNTABLE] });
  const volumeContext = { bucket: "foreign", prefix: "data/", endpoint: "http://elsewhere" };
  expect(await validate(volumeContext)).toMatchObject({ confirmed: { volumeContext, volumeCapabilities: [MOUNTABLE] } });
  expect(made.at(-1)?.endpoint).toBe("http://elsewhere");
  await expect(validate({ bucket: "missing" })).rejects.toMatchObject({ code: status.NOT_FOUND });
  await expect(validate({})).rejects.toMatchObject({ code: status.NOT_FOUND });
  // Its deletion, if anybody asks for it, deletes nothing.
  await controller.call("DeleteVolume", { volumeId: "by-hand" });
  expect(store.buckets.has("foreign")).toBe(true);
});

test("`ControllerGetCapabilities` declares what is served, and nothing else is", async () => {
  const { capabilities } = await controller.call("ControllerGetCapabilities");
  expect(capabilities.map(({ rpc }: { rpc: { type: string } }) => rpc.type)).toEqual(["CREATE_DELETE_VOLUME", "SINGLE_NODE_MULTI_WRITER"]);
  await expect(controller.call("CreateSnapshot")).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
});

test("`Probe` tells a store that is down from a driver that is ill: not ready, and no error", async () => {
  store.down = true;
  expect(await identity.call("Probe")).toEqual({ ready: { value: false } });
  expect(log.lines.filter(({ level }) => level === "warn")).toMatchObject([{ message: expect.stringContaining("store does not answer") }]);
});
