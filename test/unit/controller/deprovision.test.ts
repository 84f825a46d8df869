import { describe, expect, test } from "vitest";
import { deprovision } from "#controller/deprovision.ts";
import { encodeMark, MARK_KEY, markKeyOf, type VolumeMark } from "#controller/mark.ts";
import { provision } from "#controller/provision.ts";
import { encodeVolumeId, nameMark } from "#controller/volume-id.ts";
import { Crash, crashingBucketAdmin, overridingBucketAdmin } from "../../support/crashing-bucket-admin.ts";
import { MemoryBucketAdmin, type MemoryBucketAdminOptions } from "../../support/memory-bucket-admin.ts";

const MARK: VolumeMark = {
  format: 1,
  driver: "s3.csi.example",
  volumeId: "v1:pvc-1",
  volumeName: "pvc-1",
  capacityBytes: 0,
  parameters: {},
  claim: {},
  createdAt: "2026-01-01T00:00:00.000Z",
};
const VOLUME = { place: { bucket: "pvc-1", prefix: "" }, driver: MARK.driver, volumeId: MARK.volumeId };

/** The kinds of stores there are. */
const KINDS: Readonly<Record<string, MemoryBucketAdminOptions>> = {
  full: {},
  "no tags": { tags: false },
  "no versions": { versions: "missing", tags: false, conditionalWrites: false },
  "versions ignored": { versions: "ignored", tags: false, conditionalWrites: false },
};

/** A volume with data, and a foreign bucket that must stay as it is. */
async function filled(options: MemoryBucketAdminOptions = {}, count = 5): Promise<MemoryBucketAdmin> {
  const admin = new MemoryBucketAdmin(options);
  admin.addBucket("foreign", ["data", MARK_KEY]);
  const versioned = options.versions === undefined ? { parameters: { versioning: true } } : {};
  await provision(admin, { place: VOLUME.place, region: undefined, limitBytes: 0, mark: { ...MARK, ...versioned } }, {});
  await admin.fill("pvc-1", count);
  return admin;
}

describe("deprovision", () => {
  for (const [kind, options] of Object.entries(KINDS)) {
    test(`deletes objects, versions, markers, uploads and the bucket on a store with ${kind}`, async () => {
      const admin = await filled(options);
      if (options.versions !== undefined) for (const bucket of admin.buckets.values()) bucket.uploads = [];
      await deprovision(admin, VOLUME, {});
      expect([...admin.buckets.keys()]).toEqual(["foreign"]);
      await expect(deprovision(admin, VOLUME, {})).resolves.toBeUndefined();
    });

    test(`ends with no bucket after a death at any request on a store with ${kind}`, async () => {
      const whole = crashingBucketAdmin(await filled(options, 2), { at: Infinity, when: "before" });
      await deprovision(whole.admin, VOLUME, {});
      for (let at = 0; at < whole.requests(); at++) {
        for (const when of ["before", "after"] as const) {
          const admin = await filled(options, 2);
          const foreign = structuredClone(admin.buckets.get("foreign"));
          await expect(deprovision(crashingBucketAdmin(admin, { at, when }).admin, VOLUME, {}), `${when} ${at}`).rejects.toThrow(Crash);
          await expect(deprovision(admin, VOLUME, {}), `${when} ${at}`).resolves.toBeUndefined();
          expect([...admin.buckets.keys()]).toEqual(["foreign"]);
          expect(admin.buckets.get("foreign")).toEqual(foreign);
        }
      }
    });
  }

  test("ends with no bucket after a death at any request when somebody had removed its tags", async () => {
    const untagged = async () => {
      const admin = await filled({}, 1);
      await admin.setTags("pvc-1", { team: "x" });
      return admin;
    };
    const whole = crashingBucketAdmin(await untagged(), { at: Infinity, when: "before" });
    await deprovision(whole.admin, VOLUME, {});
    for (let at = 0; at < whole.requests(); at++) {
      const admin = await untagged();
      await expect(deprovision(crashingBucketAdmin(admin, { at, when: "after" }).admin, VOLUME, {}), String(at)).rejects.toThrow(Crash);
      await expect(deprovision(admin, VOLUME, {}), String(at)).resolves.toBeUndefined();
      expect([...admin.buckets.keys()]).toEqual(["foreign"]);
    }
  });

  test("deletes the mark after everything else", async () => {
    const admin = await filled();
    const order: string[] = [];
    const spied = overridingBucketAdmin(admin, {
      deleteVersions: (...parameters: Parameters<MemoryBucketAdmin["deleteVersions"]>) => {
        order.push(...parameters[1].map(({ key }) => key));
        return admin.deleteVersions(...parameters);
      },
    });
    await deprovision(spied, VOLUME, {});
    expect(order.length).toBeGreaterThan(10);
    expect(order.indexOf(MARK_KEY)).toBe(order.length - 1);
  });

  test("refuses a bucket without our mark, names it and deletes nothing", async () => {
    const cases: Readonly<Record<string, (admin: MemoryBucketAdmin) => Promise<unknown> | unknown>> = {
      "no mark": (admin) => admin.deleteVersions("pvc-1", [{ key: MARK_KEY }]),
      "unreadable mark": (admin) => admin.writeObject("pvc-1", MARK_KEY, new TextEncoder().encode("{}")),
      "another volume's mark": (admin) => admin.writeObject("pvc-1", MARK_KEY, encodeMark({ ...MARK, volumeId: "v1:pvc-1+region=x" })),
      "another driver's mark": (admin) => admin.writeObject("pvc-1", MARK_KEY, encodeMark({ ...MARK, driver: "other.csi" })),
    };
    for (const [name, spoil] of Object.entries(cases)) {
      const admin = await filled();
      await spoil(admin);
      const before = structuredClone(admin.buckets.get("pvc-1"));
      await expect(deprovision(admin, VOLUME, {}), name).rejects.toMatchObject({
        fault: "precondition",
        message: expect.stringMatching(/bucket pvc-1 .*nothing was deleted/),
      });
      expect(admin.buckets.get("pvc-1")).toEqual(before);
    }
  });

  test("removes an unmarked empty bucket only where its tags say that it is ours, or where there are no tags", async () => {
    const admin = new MemoryBucketAdmin();
    admin.addBucket("pvc-1").tags = { team: "x" };
    await expect(deprovision(admin, VOLUME, {})).rejects.toMatchObject({ fault: "precondition" });
    expect(admin.buckets.has("pvc-1")).toBe(true);
    const tagless = new MemoryBucketAdmin({ tags: false });
    tagless.addBucket("pvc-1");
    await deprovision(tagless, VOLUME, {});
    expect(tagless.buckets.has("pvc-1")).toBe(false);
    // Not empty: a tag alone gives no permission to delete data.
    const tagged = await filled({}, 1);
    await tagged.deleteVersions("pvc-1", [{ key: MARK_KEY }]);
    await expect(deprovision(tagged, VOLUME, {})).rejects.toMatchObject({ fault: "precondition" });
  });

  test("stops between pages when its time is over, and the next call goes on", async () => {
    const admin = await filled({}, 20);
    const before = admin.buckets.get("pvc-1")?.versions.length ?? 0;
    const stop = new AbortController();
    let pages = 0;
    const slow = overridingBucketAdmin(admin, {
      deleteVersions: (...parameters: Parameters<MemoryBucketAdmin["deleteVersions"]>) => {
        if (++pages === 4) stop.abort();
        return admin.deleteVersions(parameters[0], parameters[1]);
      },
    });
    await expect(deprovision(slow, VOLUME, { signal: stop.signal })).rejects.toThrow();
    const left = admin.buckets.get("pvc-1")?.versions.length ?? 0;
    expect(left).toBeLessThan(before);
    expect(left).toBeGreaterThan(1);
    await deprovision(admin, VOLUME, {});
    expect(admin.buckets.has("pvc-1")).toBe(false);
  });

  test("stops when the mark is taken away during a long run", async () => {
    const admin = await filled({}, 60);
    let pages = 0;
    const spied = overridingBucketAdmin(admin, {
      deleteVersions: async (...parameters: Parameters<MemoryBucketAdmin["deleteVersions"]>) => {
        const answer = await admin.deleteVersions(...parameters);
        if (++pages === 3) await admin.deleteVersions("pvc-1", [{ key: MARK_KEY }]);
        return answer;
      },
    });
    await expect(deprovision(spied, VOLUME, {})).rejects.toMatchObject({ fault: "precondition" });
    expect(admin.buckets.get("pvc-1")?.versions.length).toBeGreaterThan(100);
  });

  test("fails with the store's reason when something cannot be deleted, and keeps the mark", async () => {
    const admin = await filled();
    admin.locked.add("kept/file-1");
    await expect(deprovision(admin, VOLUME, {})).rejects.toMatchObject({
      fault: "denied",
      message: expect.stringContaining("kept/file-1"),
    });
    expect(admin.buckets.get("pvc-1")?.versions.map(({ key }) => key)).toContain(MARK_KEY);
  });

  test("gives up with `conflict` and a mark in place when somebody keeps writing", async () => {
    const admin = await filled({}, 1);
    const busy = overridingBucketAdmin(admin, {
      deleteBucket: async (bucket: string) => {
        await admin.writeObject(bucket, "late", new Uint8Array(1));
        return admin.deleteBucket(bucket);
      },
    });
    await expect(deprovision(busy, VOLUME, {})).rejects.toMatchObject({
      fault: "conflict",
      message: expect.stringContaining("still writes"),
    });
    await deprovision(admin, VOLUME, {});
    expect(admin.buckets.has("pvc-1")).toBe(false);
  });

  test("does not say that it is done while the bucket is there", async () => {
    const admin = await filled({}, 1);
    const lying = overridingBucketAdmin(admin, { deleteBucket: async () => undefined });
    await expect(deprovision(lying, VOLUME, {})).rejects.toMatchObject({ fault: "unavailable" });
  });
});

describe("deprovision of a prefix", () => {
  const snapshot = (admin: MemoryBucketAdmin) => structuredClone([...admin.buckets]);

  async function ofPrefix() {
    const admin = new MemoryBucketAdmin();
    admin.addBucket("shared");
    const place = { bucket: "shared", prefix: "pvc-1/" };
    const volumeId = encodeVolumeId(place);
    await provision(admin, { place, region: undefined, limitBytes: 0, mark: { ...MARK, volumeId } }, {});
    return { admin, volume: { place, driver: MARK.driver, volumeId } };
  }

  test("a repeated deletion does not touch the volume that a template gave the same place", async () => {
    for (const prefix of ["ci/m2/", ""]) {
      const admin = new MemoryBucketAdmin();
      const place = { bucket: "shared", prefix };
      if (prefix !== "") admin.addBucket("shared");
      const volume = (name: string) => ({ place, driver: MARK.driver, volumeId: encodeVolumeId({ ...place, name: nameMark(name) }) });
      const request = (name: string) => ({
        ...{ place, region: undefined, limitBytes: 0 },
        mark: { ...MARK, volumeId: volume(name).volumeId, volumeName: name },
      });
      await provision(admin, request("pvc-old"), {});
      await deprovision(admin, volume("pvc-old"), {});
      await provision(admin, request("pvc-new"), {});
      await admin.fill("shared", 2, prefix);
      const before = snapshot(admin);
      await expect(deprovision(admin, volume("pvc-old"), {})).resolves.toBeUndefined();
      expect(snapshot(admin)).toEqual(before);
    }
  });

  test("an unmarked prefix is left alone: empty, it is gone; with anything in it, it is refused", async () => {
    const { admin, volume } = await ofPrefix();
    await admin.deleteVersions("shared", (await admin.listVersions("shared", { prefix: markKeyOf(volume.place) })).items);
    const before = snapshot(admin);
    await expect(deprovision(admin, volume, {})).resolves.toBeUndefined();
    expect(snapshot(admin)).toEqual(before);
    await admin.writeObject("shared", "pvc-1/somebodys", new Uint8Array(1));
    await expect(deprovision(admin, volume, {})).rejects.toMatchObject({
      fault: "precondition",
      message: expect.stringContaining("prefix pvc-1/ of bucket shared does not carry our mark"),
    });
    admin.buckets.clear();
    await expect(deprovision(admin, volume, {})).resolves.toBeUndefined();
  });

  test("a volume with another one inside is refused whole", async () => {
    const { admin, volume } = await ofPrefix();
    const inner = { bucket: "shared", prefix: "pvc-1/inner/" };
    await admin.writeObject("shared", markKeyOf(inner), encodeMark({ ...MARK, volumeId: "v1:shared/pvc-1/inner/" }));
    await admin.fill("shared", 1, inner.prefix);
    const before = snapshot(admin);
    await expect(deprovision(admin, volume, {})).rejects.toMatchObject({
      fault: "precondition",
      message: expect.stringContaining("inner"),
    });
    expect(snapshot(admin)).toEqual(before);
  });
});
