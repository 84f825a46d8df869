import { expect, test } from "vitest";
import type { MountCapability } from "#csi/capabilities.ts";
import { repairPlan } from "#node/restage.ts";
import { planStage } from "#node/stage-plan.ts";
import type { VolumeMount } from "#node/staged-volumes.ts";
import type { VolumeRecord } from "#node/volume-records.ts";

const WRITERS: MountCapability = { mode: "MULTI_NODE_MULTI_WRITER", readOnly: false, mountFlags: [] };
const DEFAULTS = { credentials: { kind: "chain" }, cacheSizeBytes: 1000, logLevel: "info" } as const;
const KEYS = { accessKeyId: "AK", secretAccessKey: "SK" };

const planOf = (secrets = {}, attributes = {}, capability: Partial<MountCapability> = {}) =>
  planStage({ volumeContext: { bucket: "b-1", ...attributes }, secrets }, { ...WRITERS, ...capability }, DEFAULTS);
const recordOf = ({ fingerprint, view, keys }: ReturnType<typeof planOf>, more: Partial<VolumeRecord> = {}): VolumeRecord => ({
  ...{ volumeId: "v", stagingPath: "/staging", targets: [], phase: "staged", fingerprint, view, keys },
  ...more,
});

test("`repairPlan` takes the publication's own plan when it has keys, or needs none but the driver's", () => {
  expect(repairPlan(undefined, recordOf(planOf()), planOf()).store.credentials).toEqual({ kind: "chain" });
  expect(repairPlan(undefined, recordOf(planOf(KEYS)), planOf(KEYS)).store.credentials).toMatchObject({ accessKeyId: "AK" });
});

test("`repairPlan` says what is missing when the keys came with the staging alone", () => {
  expect(() => repairPlan(undefined, recordOf(planOf(KEYS)), planOf())).toThrow(/^volume v has lost its engine.*nodePublishSecretRef/);
  expect(() => repairPlan(undefined, recordOf(planOf()), undefined)).toThrow(/has lost its engine/);
  expect(() => repairPlan(undefined, recordOf(planOf()), planOf({}, { prefix: "another" }))).toThrow(/has lost its engine/);
});

test("`repairPlan` goes on with what is in memory when the publication brings too little", () => {
  const plan = planOf(KEYS);
  const { fingerprint, view, keys, ...settings } = plan;
  const last: VolumeMount = { volumeId: "v", fingerprint, view, keys, config: { ...settings, mountPoint: "/staging", stateDir: "/state" } };
  expect(repairPlan(last, recordOf(plan), planOf())).toMatchObject({ fingerprint, keys: "secret", store: plan.store });
});

test("`repairPlan` waits for keys where the staging had none", () => {
  const deferred = recordOf(planOf(), { phase: "deferred" });
  expect(() => repairPlan(undefined, deferred, planOf())).toThrow(/^volume v was staged without keys.*nodePublishSecretRef/);
  expect(repairPlan(undefined, deferred, planOf({ ...KEYS, endpoint: "http://own" })).store).toMatchObject({ endpoint: "http://own" });
  expect(() => repairPlan(undefined, deferred, planOf(KEYS, { prefix: "another" }))).toThrow(/without keys/);
});

test("`repairPlan` shows the mount to the group of those who have it, else to the one that is asked for", () => {
  const plan = planOf({}, {}, { volumeMountGroup: "3000" });
  const record = recordOf(planOf());
  expect(repairPlan(undefined, record, plan).options.group).toBe(3000);
  expect(repairPlan(undefined, { ...record, view: { ...record.view, group: 2000 } }, plan)).toMatchObject({
    options: { group: 2000 },
    view: { group: 2000 },
  });
});
