import { expect, test } from "vitest";
import type { MountCapability } from "#csi/capabilities.ts";
import { parseMountFlags, planStage, type StageDefaults, viewOf } from "#node/stage-plan.ts";

const WRITERS: MountCapability = { mode: "MULTI_NODE_MULTI_WRITER", readOnly: false, mountFlags: [] };
const DEFAULTS: StageDefaults = { credentials: { kind: "chain" }, cacheSizeBytes: 1000, logLevel: "info" };
const KEYS = { accessKeyId: "AK", secretAccessKey: "SK" };

const plan = (context: object = {}, capability: Partial<MountCapability> = {}, secrets = {}, defaults: Partial<StageDefaults> = {}) =>
  planStage({ volumeContext: { bucket: "b-1", ...context }, secrets }, { ...WRITERS, ...capability }, { ...DEFAULTS, ...defaults });

test("`planStage` lets every user of a pod in, and takes the rest from the options' table", () => {
  expect(plan().options).toMatchObject({
    allowOther: true,
    readOnly: false,
    uid: 0,
    gid: 0,
    umask: 0,
    fileMode: 0o644,
    noSuid: true,
    noDev: true,
  });
  expect(plan().store).toEqual({ bucket: "b-1", prefix: "", region: "us-east-1", credentials: { kind: "chain" } });
});

test("`planStage` takes flags before attributes before secrets before defaults", () => {
  const context = { endpoint: "http://attribute", region: "attribute-1" };
  const secrets = { endpoint: "http://secret", region: "secret-1" };
  const defaults = { endpoint: "http://default", region: "default-1" };
  const endpointOf = (...given: Parameters<typeof plan>) => [plan(...given).store.endpoint, plan(...given).store.region];
  expect(endpointOf(context, { mountFlags: ["url=http://flag,region=flag-1"] }, secrets, defaults)).toEqual(["http://flag", "flag-1"]);
  expect(endpointOf(context, {}, secrets, defaults)).toEqual(["http://attribute", "attribute-1"]);
  expect(endpointOf({}, {}, secrets, defaults)).toEqual(["http://secret", "secret-1"]);
  expect(endpointOf({}, {}, {}, defaults)).toEqual(["http://default", "default-1"]);
});

test("`planStage` uses the secret's keys when there are some", () => {
  expect(plan({}, {}, KEYS).store.credentials).toEqual({ kind: "static", ...KEYS });
});

test("`planStage` mounts read-only when the mode or a flag says so", () => {
  expect(plan({}, { readOnly: true }).options.readOnly).toBe(true);
  expect(plan({}, { mountFlags: ["ro"] }).options.readOnly).toBe(true);
  expect(plan({}, { readOnly: true, mountFlags: ["rw"] }).options.readOnly).toBe(true);
});

test("`planStage` makes close(2) wait for the bucket where several nodes may look, unless a flag says otherwise", () => {
  const durability = (capability: Partial<MountCapability>) => plan({}, capability).options.durability;
  expect(durability({ mode: "MULTI_NODE_MULTI_WRITER" })).toBe("remote");
  expect(durability({ mode: "SINGLE_NODE_WRITER" })).toBe("local");
  expect(durability({ mode: "SINGLE_NODE_SINGLE_WRITER" })).toBe("local");
  expect(durability({ mode: "SINGLE_NODE_WRITER", mountFlags: ["durability=remote"] })).toBe("remote");
  expect(durability({ mode: "MULTI_NODE_MULTI_WRITER", mountFlags: ["durability=local"] })).toBe("local");
});

test("`planStage` gives one fingerprint to what means the same mount, whatever the keys are", () => {
  const { fingerprint } = plan();
  expect(plan({}, {}, KEYS).fingerprint).toBe(fingerprint);
  expect(plan({ prefix: "/" }, { mountFlags: ["rw", "uid=0"] }).fingerprint).toBe(fingerprint);
  expect(plan({ prefix: "a" }).fingerprint).not.toBe(fingerprint);
  expect(plan({}, { mountFlags: ["uid=7"] }).fingerprint).not.toBe(fingerprint);
  expect(plan({}, { readOnly: true }).fingerprint).not.toBe(fingerprint);
});

test("`planStage` leaves access and view out of the fingerprint: a rotated secret is no other volume", () => {
  const { fingerprint } = plan();
  const proxy = "http://proxy:3128";
  expect(plan({}, {}, { ...KEYS, httpProxy: proxy }, { caBundle: "PEM" }).fingerprint).toBe(fingerprint);
  expect(plan({}, { volumeMountGroup: "2000", mountFlags: ['context="a:b:c:s0:c1,c2"'] }).fingerprint).toBe(fingerprint);
  expect(plan({ storageClass: "GLACIER" }).fingerprint).not.toBe(fingerprint);
});

test("`planStage` says whose keys they are, and hands on CA bundle and proxy", () => {
  const defaults = { caBundle: "driver's", credentials: { kind: "static", ...KEYS } } as const;
  expect(plan({}, {}, {}, defaults)).toMatchObject({ keys: "driver", store: { caBundle: "driver's", credentials: { kind: "static" } } });
  const own = plan({}, {}, { accessKeyId: "A2", secretAccessKey: "S2", httpProxy: "http://p" }, defaults);
  expect(own).toMatchObject({ keys: "secret", store: { caBundle: "driver's", proxy: "http://p", credentials: { accessKeyId: "A2" } } });
});

test("`planStage` takes the storage class from the flag, else from the attribute", () => {
  expect(plan({ storageClass: "standard_ia" }).options.storageClass).toBe("STANDARD_IA");
  expect(plan({ storageClass: "STANDARD_IA" }, { mountFlags: ["storage_class=GLACIER_IR"] }).options.storageClass).toBe("GLACIER_IR");
});

test("`planStage` shows the mount to the group that is asked for, and says which attributes the volume has", () => {
  const { options, view } = plan({}, { volumeMountGroup: "2000" });
  expect(options.group).toBe(2000);
  expect(view).toMatchObject({ group: 2000, source: expect.stringMatching(/^[0-9a-f]{64}$/) });
  expect("group" in plan().options).toBe(false);
  expect(plan({ prefix: "a", region: "r" }).view.source).toBe(
    planStage({ volumeContext: { region: "r", prefix: "a/", bucket: "b-1" }, secrets: {} }, WRITERS, DEFAULTS).view.source,
  );
  expect(plan({ prefix: "b" }).view.source).not.toBe(plan({ prefix: "a" }).view.source);
});

test("`viewOf` passes over fsGroup when the mount flags name another owning group", () => {
  expect(viewOf({ ...WRITERS, volumeMountGroup: "2000", mountFlags: ["gid=3000"] })).toEqual({});
  expect(viewOf({ ...WRITERS, volumeMountGroup: "2000", mountFlags: ["gid=2000"] })).toEqual({ group: 2000 });
  expect(viewOf({ ...WRITERS, volumeMountGroup: "2000", mountFlags: ['context="a:b:c:s0:c1,c2"'] })).toEqual({
    group: 2000,
    context: "a:b:c:s0:c1,c2",
  });
  expect(() => viewOf({ ...WRITERS, volumeMountGroup: "staff" })).toThrow(/volume_mount_group.*"staff"/);
});

test("`parseMountFlags` takes flags as people write them for mount(8)", () => {
  expect(parseMountFlags(["-o uid=7", "-ogid=8,noexec"])).toEqual({ uid: 7, gid: 8, noexec: true });
});

test.each([
  ["umaks=022", /"umaks".*did you mean "umask"/],
  ["uid=root", /"uid".*"root"/],
  ["passwd_file=/etc/shadow", /"passwd_file" is for the command line only/],
  ["cache_dir=/etc", /"use_cache" is for the command line only/],
])("`parseMountFlags` refuses %s by name", (flag, message) => {
  expect(() => parseMountFlags(["noexec", flag])).toThrow(message);
});
