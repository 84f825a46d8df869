import { describe, expect, test } from "vitest";
import { encodeMark, markKeyOf, type VolumeMark } from "#controller/mark.ts";
import type { Place } from "#controller/place.ts";
import {
  anything,
  createSweep,
  deleteMark,
  isOwn,
  type Sweep,
  sweepKeys,
  sweepUploads,
  sweepVersions,
  untilNothing,
} from "#controller/sweep.ts";
import type { BucketAdmin, VersionCursor } from "#s3/bucket-admin.ts";
import { overridingBucketAdmin } from "../../support/crashing-bucket-admin.ts";
import { MemoryBucketAdmin } from "../../support/memory-bucket-admin.ts";

const MARK: VolumeMark = {
  ...{ format: 1, driver: "d", volumeId: "v", volumeName: "n", capacityBytes: 0, parameters: {}, claim: {} },
  createdAt: "2026-01-01T00:00:00.000Z",
};
const PREFIX: Place = { bucket: "b", prefix: "pvc-1/" };

/** Neighbours whose names begin the same, each with a bit of everything. */
const NEIGHBOURS = ["pvc-10/", "pvc-1", "pvc-1.d/", "pvc/", "a/pvc-1/"];

async function shared(): Promise<MemoryBucketAdmin> {
  const admin = new MemoryBucketAdmin();
  admin.addBucket("b").versioning = "Enabled";
  for (const prefix of NEIGHBOURS) await admin.fill("b", 2, prefix);
  await admin.writeObject("b", markKeyOf(PREFIX), encodeMark(MARK));
  return admin;
}

const sweepOf = (admin: BucketAdmin, place = PREFIX): Sweep => createSweep(admin, { place, driver: "d", volumeId: "v" }, {});

function everything(sweep: Sweep): Promise<void> {
  return untilNothing(
    sweep,
    async () => (await sweepUploads(sweep)) + (await sweepVersions(sweep, anything)) + (await sweepKeys(sweep, anything)),
  );
}

describe("a sweep", () => {
  test("takes what is in the place and nothing beside it", async () => {
    const admin = await shared();
    const before = structuredClone(admin.buckets.get("b"));
    await admin.fill("b", 5, "pvc-1/");
    await admin.writeObject("b", "pvc-1/", new Uint8Array(0));
    await everything(sweepOf(admin));
    expect(admin.buckets.get("b")).toEqual(before);
  });

  test("touches nothing when a server lists what was not asked for", async () => {
    const admin = await shared();
    await admin.fill("b", 2, "pvc-1/");
    const before = structuredClone(admin.buckets.get("b"));
    // Each ignores the prefix, as a lesser server might.
    const careless: Partial<BucketAdmin>[] = [
      { listVersions: (bucket, { prefix: _all, ...query } = {}) => admin.listVersions(bucket, query) },
      { listUploads: (bucket, { prefix: _all, ...query } = {}) => admin.listUploads(bucket, query) },
      { listKeys: (bucket, { prefix: _all, ...query } = {}) => admin.listKeys(bucket, query) },
    ];
    const [versions, uploads, keys] = careless.map((overrides) => sweepOf(overridingBucketAdmin(admin, overrides)));
    for (const attempt of [() => sweepVersions(versions!, anything), () => sweepUploads(uploads!), () => sweepKeys(keys!, anything)]) {
      await expect(attempt()).rejects.toMatchObject({ fault: "internal", message: expect.stringContaining("prefix pvc-1/ of bucket b") });
    }
    expect(admin.buckets.get("b")).toEqual(before);
  });

  test("stops at the page before which another volume took the place", async () => {
    const admin = await shared();
    await admin.fill("b", 4, "pvc-1/");
    let pages = 0;
    const taken = overridingBucketAdmin(admin, {
      deleteVersions: async (...parameters) => {
        const answer = await admin.deleteVersions(...parameters);
        if (++pages === 2) await admin.writeObject("b", markKeyOf(PREFIX), encodeMark({ ...MARK, volumeId: "later" }));
        return answer;
      },
    });
    await expect(everything(sweepOf(taken))).rejects.toMatchObject({ fault: "precondition" });
    expect(pages).toBe(2);
  });

  test("empties a store that loses its place in a listing when the marker goes, and one that shows a page twice", async () => {
    const fragile = new MemoryBucketAdmin({ markers: "fragile" });
    fragile.addBucket("b").versioning = "Enabled";
    await fragile.writeObject("b", markKeyOf(PREFIX), encodeMark(MARK));
    await fragile.fill("b", 30, "pvc-1/");
    await everything(sweepOf(fragile));
    expect(fragile.buckets.get("b")?.versions.map(({ key }) => key)).toEqual([markKeyOf(PREFIX)]);
    const admin = await shared();
    await admin.fill("b", 9, "pvc-1/");
    const shown = new Map<string, ReturnType<BucketAdmin["listVersions"]>>();
    const cached = overridingBucketAdmin(admin, {
      listVersions: (bucket, query = {}) => {
        const place = JSON.stringify(query);
        const page = shown.get(place) ?? admin.listVersions(bucket, query);
        // Each page twice, then as it is.
        if (!shown.delete(place)) shown.set(place, page);
        return page;
      },
    });
    await everything(sweepOf(cached));
    expect(admin.buckets.get("b")?.versions.filter(({ key }) => key.startsWith("pvc-1/"))).toEqual([]);
  });

  test("gives up on a store that shows what is gone for ever", async () => {
    const admin = await shared();
    await admin.fill("b", 2, "pvc-1/");
    const shown = new Map<string, ReturnType<BucketAdmin["listVersions"]>>();
    const frozen = overridingBucketAdmin(admin, {
      listVersions: (bucket, query = {}) => {
        const place = JSON.stringify(query);
        const page = shown.get(place) ?? admin.listVersions(bucket, query);
        shown.set(place, page);
        return page;
      },
    });
    // The first listing sees all of it.
    for (let cursor: VersionCursor | undefined, first = true; first || cursor; first = false) {
      cursor = (await frozen.listVersions("b", { prefix: "pvc-1/", cursor })).next;
    }
    await expect(everything(sweepOf(frozen))).rejects.toMatchObject({ fault: "conflict", message: expect.stringContaining("pvc-1/") });
  });

  test("leaves what may not go", async () => {
    const admin = await shared();
    await admin.fill("b", 3, "pvc-1/");
    const sweep = sweepOf(admin);
    await sweepVersions(sweep, ({ isDeleteMarker }) => isDeleteMarker);
    const left = admin.buckets.get("b")?.versions.filter(({ key }) => key.startsWith("pvc-1/")) ?? [];
    expect(left).toHaveLength(9);
    expect(left.every(({ body }) => body !== undefined)).toBe(true);
  });
});

test("`isOwn` knows the place's own marker and the leavings of probes, not a file that looks alike", () => {
  expect(["pvc-1/", "pvc-1/.bucketmount/probe-1"].map((key) => isOwn(PREFIX, key))).toEqual([true, true]);
  expect(["pvc-1/d/", "pvc-1/.bucketmount", "pvc-1/d/.bucketmount/x"].map((key) => isOwn(PREFIX, key))).toEqual([false, false, false]);
  const bucket = { bucket: "b", prefix: "" };
  expect([".bucketmount/probe", "a", "d/.bucketmount/x"].map((key) => isOwn(bucket, key))).toEqual([true, false, false]);
});

test("`deleteMark` deletes all versions of it and no key that begins the same", async () => {
  const admin = await shared();
  const key = markKeyOf(PREFIX);
  await admin.writeObject("b", key, new Uint8Array(1));
  await admin.deleteVersions("b", [{ key }]);
  await admin.writeObject("b", `${key}.bak`, new Uint8Array(1));
  await deleteMark(admin, PREFIX, {});
  expect(
    admin.buckets
      .get("b")
      ?.versions.filter((version) => version.key.startsWith(key))
      .map((version) => version.key),
  ).toEqual([`${key}.bak`]);
});
