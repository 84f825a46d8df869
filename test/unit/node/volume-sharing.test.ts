import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DriverError } from "#core/errors.ts";
import type { MountRow } from "#node/mounts.ts";
import type { StagedVolumes } from "#node/staged-volumes.ts";
import { type VolumeRecord, VolumeRecords } from "#node/volume-records.ts";
import { inGroup, VolumeSharing } from "#node/volume-sharing.ts";
import type { StoreAccess, StoreConfig } from "#s3/store-config.ts";

const RECORD: VolumeRecord = { volumeId: "v", stagingPath: "/staging", fingerprint: "f", targets: [], phase: "staged" };
const keysOf = (name: string): StoreAccess => ({
  credentials: { kind: "static", accessKeyId: name, secretAccessKey: `secret of ${name}` },
});
const storeOf = (access: StoreAccess): StoreConfig => ({ bucket: "b", prefix: "", region: "r", ...access });
const [A, B, C] = [keysOf("a"), keysOf("b"), keysOf("c")];

let dir: string;
let records: VolumeRecords;
let sharing: VolumeSharing;
/** How the engine reaches the store; undefined: it has no supervisor here. */
let access: StoreAccess | undefined;
let group: number | undefined;
/** Keys that the store refuses. */
let refused: StoreAccess | undefined;
/** What the engine was told. */
let told: string[];

/** As much of StagedVolumes as is asked. */
const staged = {
  accessOf: () => access,
  async renewAccess(_volumeId: string, next: StoreAccess, keys: string) {
    if (JSON.stringify(next.credentials) === JSON.stringify(refused?.credentials)) throw new DriverError("unauthenticated", "refused");
    access = next;
    told.push(keys);
  },
  async showToGroup(_volumeId: string, next: number | undefined) {
    if (access === undefined) throw new DriverError("precondition", "an earlier plugin's");
    group = next;
  },
} as unknown as StagedVolumes;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bucketmount-sharing-"));
  records = new VolumeRecords(dir);
  sharing = new VolumeSharing(staged, records);
  [access, group, refused, told] = [A, undefined, undefined, []];
  await records.change("v", () => RECORD);
});
afterEach(() => rm(dir, { recursive: true }));

describe("bringKeys", () => {
  test("`bringKeys` hands new keys on once, and keeps of the old access what they do not say", async () => {
    access = { ...A, caBundle: "ca", proxy: "http://p" };
    await sharing.bringKeys("v", "/one", A);
    await sharing.bringKeys("v", "/one", B);
    await sharing.bringKeys("v", "/two", B);
    expect(access).toEqual({ ...B, caBundle: "ca", proxy: "http://p" });
    expect(told).toEqual(["secret"]);
  });

  test("`bringKeys` lets the newest keys win, and refuses those that come back while newer ones are in use", async () => {
    await sharing.bringKeys("v", "/one", A);
    await sharing.bringKeys("v", "/two", B);
    await expect(sharing.bringKeys("v", "/one", A)).rejects.toThrow(/"\/two" brought newer keys/);
    await sharing.bringKeys("v", "/one", C);
    await expect(sharing.bringKeys("v", "/two", B)).rejects.toThrow(/"\/one" brought newer keys/);
    sharing.leave("v", "/one");
    await sharing.bringKeys("v", "/two", B);
    expect(access).toEqual(B);
  });

  test("`bringKeys` throws what the store says of keys that it refuses, and remembers none of them", async () => {
    refused = B;
    await expect(sharing.bringKeys("v", "/one", B)).rejects.toMatchObject({ fault: "unauthenticated" });
    expect(access).toEqual(A);
    await sharing.useStaged("v", { store: storeOf(C), keys: "secret" });
    expect(access).toEqual(C);
  });

  test("`bringKeys` has nobody to tell when the engine is an earlier plugin's", async () => {
    access = undefined;
    await sharing.bringKeys("v", "/one", B);
    expect(told).toEqual([]);
  });
});

describe("useStaged and useDriverKeys", () => {
  test("`useStaged` changes what is in use unless publications brought keys", async () => {
    await sharing.useStaged("v", { store: storeOf(B), keys: "secret" });
    await sharing.useStaged("v", { store: storeOf(B), keys: "secret" });
    expect([access, told]).toEqual([B, ["secret"]]);
    await sharing.bringKeys("v", "/one", C);
    await sharing.useStaged("v", { store: storeOf(A), keys: "secret" });
    await sharing.useDriverKeys("v", A.credentials);
    expect(access).toEqual(C);
    sharing.leave("v", "/one");
    await sharing.useDriverKeys("v", A.credentials);
    expect([access, told.at(-1)]).toEqual([A, "driver"]);
  });

  test("`useDriverKeys` leaves CA bundle and proxy of the volume as they are, and a provider chain alone", async () => {
    access = { ...A, caBundle: "ca" };
    await sharing.useDriverKeys("v", { kind: "chain" });
    expect(told).toEqual([]);
    await sharing.useDriverKeys("v", B.credentials);
    expect(access).toEqual({ ...B, caBundle: "ca" });
  });

  test("`forget` lets the keys go that publications brought", async () => {
    await sharing.bringKeys("v", "/one", B);
    sharing.forget("v");
    await sharing.useStaged("v", { store: storeOf(A), keys: "secret" });
    expect(access).toEqual(A);
  });
});

const mountOn = (mountPoint: string): MountRow => ({
  ...{ mountId: 1, parentId: 0, device: "0:40", root: "/", mountPoint, options: [] },
  ...{ fsType: "fuse.bucketmount", source: "s3://b", superOptions: [] },
});

describe("joinGroup", () => {
  test("`joinGroup` gives the volume the group that is asked for, and has nothing to do for none", async () => {
    await sharing.joinGroup("v", "/one", undefined);
    expect(group).toBeUndefined();
    await sharing.joinGroup("v", "/one", 2000);
    expect(group).toBe(2000);
    expect(await records.read("v")).toMatchObject({ view: { group: 2000 }, grouped: ["/one"] });
    await sharing.joinGroup("v", "/two", 2000);
    expect((await records.read("v"))?.grouped).toEqual(["/one", "/two"]);
  });

  test("`joinGroup` notes nothing when the engine cannot be told", async () => {
    access = undefined;
    await expect(sharing.joinGroup("v", "/one", 2000)).rejects.toMatchObject({ fault: "precondition" });
    expect(await records.read("v")).toEqual({ ...RECORD, view: {}, grouped: [] });
  });

  test("`inGroup` refuses a second group while somebody lives in the first, and says who", () => {
    const record = { ...RECORD, view: { group: 2000 }, grouped: ["/one", "/gone"] };
    expect(() => inGroup(record, "/two", 3000, [mountOn("/one")])).toThrow(/group 2000 \(fsGroup\) on "\/one".*group 3000/);
    expect(inGroup(record, "/one", 3000, [mountOn("/one")])).toMatchObject({ view: { group: 3000 }, grouped: ["/one"] });
    expect(inGroup(record, "/two", 3000, [])).toMatchObject({ view: { group: 3000 }, grouped: ["/two"] });
  });
});

test("`turn` lets the sections of one volume follow one another, and those of two run side by side", async () => {
  const seen: string[] = [];
  const first = Promise.withResolvers<void>();
  const running = sharing.turn("v", async () => {
    await first.promise;
    seen.push("first");
  });
  const second = sharing.turn("v", async () => seen.push("second"));
  await sharing.turn("other", async () => seen.push("other"));
  first.resolve();
  await Promise.all([running, second]);
  expect(seen).toEqual(["other", "first", "second"]);
});
