import { expect, test } from "vitest";
import type { MountCapability } from "#csi/capabilities.ts";
import { parseMountFlags, planStage, type StageDefaults } from "#node/stage-plan.ts";

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

test("`planStage` gives one fingerprint to what means the same mount, whatever the keys are", () => {
  const { fingerprint } = plan();
  expect(plan({}, {}, KEYS).fingerprint).toBe(fingerprint);
  expect(plan({ prefix: "/" }, { mountFlags: ["rw", "uid=0"] }).fingerprint).toBe(fingerprint);
  expect(plan({ prefix: "a" }).fingerprint).not.toBe(fingerprint);
  expect(plan({}, { mountFlags: ["uid=7"] }).fingerprint).not.toBe(fingerprint);
  expect(plan({}, { readOnly: true }).fingerprint).not.toBe(fingerprint);
});

test.each([
  ["umaks=022", /"umaks".*did you mean "umask"/],
  ["uid=root", /"uid".*"root"/],
  ["passwd_file=/etc/shadow", /"passwd_file" is for the command line only/],
  ["cache_dir=/etc", /"use_cache" is for the command line only/],
])("`parseMountFlags` refuses %s by name", (flag, message) => {
  expect(() => parseMountFlags(["noexec", flag])).toThrow(message);
});
