/** What becomes of a volume's data, each way for a bucket of its own and for a prefix in a shared bucket with neighbours. */
import { describe, expect, test } from "vitest";
import { deprovision } from "#controller/deprovision.ts";
import { markKeyOf, readMark, type VolumeMark } from "#controller/mark.ts";
import type { OnDelete } from "#controller/parameters.ts";
import { provision } from "#controller/provision.ts";
import type { OwnedVolume } from "#controller/sweep.ts";
import { encodeVolumeId } from "#controller/volume-id.ts";
import { Crash, crashingBucketAdmin, overridingBucketAdmin } from "../../support/crashing-bucket-admin.ts";
import { type MemoryBucket, MemoryBucketAdmin, type MemoryBucketAdminOptions } from "../../support/memory-bucket-admin.ts";

const MARK = {
  format: 1,
  driver: "s3.csi.example",
  volumeName: "pvc-1",
  capacityBytes: 0,
  claim: {},
  createdAt: "2026-01-01T00:00:00.000Z",
} as const;

/** The kinds of stores there are. */
const KINDS: Readonly<Record<string, MemoryBucketAdminOptions>> = {
  full: {},
  "no tags": { tags: false },
  "no versions": { versions: "missing", tags: false, conditionalWrites: false },
  "versions ignored": { versions: "ignored", tags: false, conditionalWrites: false },
};

describe("endVolume", () => {
  const NEIGHBOURS = ["pvc-10/", "pvc-1", "pvc/"];

  interface Case {
    readonly admin: MemoryBucketAdmin;
    readonly volume: OwnedVolume;
    readonly mark: VolumeMark;
  }

  async function made(prefix: string, onDelete: OnDelete, options: MemoryBucketAdminOptions = {}, versioned = true): Promise<Case> {
    const admin = new MemoryBucketAdmin(options);
    const place = prefix === "" ? { bucket: "pvc-1", prefix } : { bucket: "shared", prefix };
    const volumeId = encodeVolumeId(place);
    const parameters = { onDelete, ...(prefix === "" && versioned && options.versions === undefined ? { versioning: true } : {}) };
    const mark = { ...MARK, volumeId, parameters };
    if (prefix !== "") {
      admin.addBucket("shared");
      if (versioned && options.versions === undefined) await admin.setVersioning("shared", "Enabled");
      for (const neighbour of NEIGHBOURS) await admin.fill("shared", 1, neighbour);
      if (options.versions !== undefined) admin.buckets.get("shared")!.uploads = [];
    }
    await provision(admin, { place, region: undefined, limitBytes: 0, mark }, {});
    return { admin, volume: { place, driver: MARK.driver, volumeId }, mark };
  }

  const snapshot = (admin: MemoryBucketAdmin) => structuredClone([...admin.buckets]);
  const inside = ({ admin, volume: { place } }: Case) =>
    (admin.buckets.get(place.bucket)?.versions ?? []).filter(({ key }) => key.startsWith(place.prefix) && !key.startsWith(".bucketmount/"));

  for (const prefix of ["", "pvc-1/"]) {
    const kind = prefix === "" ? "a bucket" : "a prefix";

    test(`\`delete\` empties ${kind} and leaves the neighbours`, async () => {
      const { admin, volume } = await made(prefix, "delete");
      const before = snapshot(admin);
      await admin.fill(volume.place.bucket, 5, prefix);
      await deprovision(admin, volume, {});
      await deprovision(admin, volume, {});
      if (prefix === "") expect(admin.buckets.size).toBe(0);
      else {
        const [[, bucket]] = snapshot(admin) as [[string, MemoryBucket]];
        const [[, first]] = before as [[string, MemoryBucket]];
        expect({ ...bucket, versions: bucket.versions }).toEqual({
          ...first,
          versions: first.versions.filter(({ key }) => key !== markKeyOf(volume.place)),
        });
      }
    });

    test(`\`retain\` leaves ${kind} as it is and notes the time, once`, async () => {
      const { admin, volume } = await made(prefix, "retain");
      await admin.fill(volume.place.bucket, 2, prefix);
      await deprovision(admin, volume, {}, { now: () => 0 });
      const kept = snapshot(admin);
      await deprovision(admin, volume, {}, { now: () => 5000 });
      expect(snapshot(admin)).toEqual(kept);
      const found = await readMark(admin, volume.place, {});
      expect(found).toMatchObject({ mark: { released: { at: "1970-01-01T00:00:00.000Z", onDelete: "retain" } } });
      expect(admin.buckets.get(volume.place.bucket)?.versions.some(({ key }) => key === `${prefix}kept/file-1`)).toBe(true);
    });

    test(`\`only-if-empty\` refuses ${kind} with a file, a directory or an old version in it, names it and deletes nothing`, async () => {
      const contents: readonly (readonly [string, (admin: MemoryBucketAdmin, bucket: string) => Promise<unknown>])[] = [
        ["d/file", (admin, bucket) => admin.writeObject(bucket, `${prefix}d/file`, new Uint8Array(1))],
        ["empty/", (admin, bucket) => admin.writeObject(bucket, `${prefix}empty/`, new Uint8Array(0))],
        [
          "gone",
          async (admin, bucket) => {
            await admin.writeObject(bucket, `${prefix}gone`, new Uint8Array(1));
            await admin.deleteVersions(bucket, [{ key: `${prefix}gone` }]);
          },
        ],
      ];
      for (const [name, fill] of contents) {
        const { admin, volume } = await made(prefix, "only-if-empty");
        // What may go stands before it, over more than a page.
        const markers = Array.from({ length: 8 }, (_, n) => ({ key: `${prefix}a${n}` }));
        await admin.deleteVersions(volume.place.bucket, markers);
        await fill(admin, volume.place.bucket);
        const before = snapshot(admin);
        await expect(deprovision(admin, volume, {}), name).rejects.toMatchObject({
          fault: "in_use",
          message: expect.stringContaining(`"${prefix}${name}", and onDelete is only-if-empty`),
        });
        expect(snapshot(admin)).toEqual(before);
      }
    });

    test(`\`only-if-empty\` deletes ${kind} that has only leavings: markers, uploads, probes`, async () => {
      const test = await made(prefix, "only-if-empty");
      const { bucket } = test.volume.place;
      await test.admin.writeObject(bucket, `${prefix}.bucketmount/probe-1-put`, new Uint8Array(1));
      await test.admin.deleteVersions(bucket, [{ key: `${prefix}.bucketmount/probe-1-put` }, { key: `${prefix}lone-marker` }]);
      if (prefix !== "") await test.admin.writeObject(bucket, prefix, new Uint8Array(0));
      test.admin.buckets.get(bucket)?.uploads.push({ key: `${prefix}part`, uploadId: "u" });
      await deprovision(test.admin, test.volume, {});
      expect(inside(test)).toEqual([]);
      expect(test.admin.buckets.has(bucket)).toBe(prefix !== "");
    });
  }

  test("`only-if-empty` deletes no file that is written while it looks", async () => {
    const { admin, volume } = await made("pvc-1/", "only-if-empty");
    admin.buckets.get("shared")?.uploads.push({ key: "pvc-1/part", uploadId: "u" });
    const late = overridingBucketAdmin(admin, {
      abortUpload: async (...parameters) => {
        await admin.abortUpload(...parameters);
        await admin.writeObject("shared", "pvc-1/late", new Uint8Array(1));
      },
    });
    await expect(deprovision(late, volume, {})).rejects.toMatchObject({ fault: "in_use", message: expect.stringContaining("pvc-1/late") });
    expect(admin.buckets.get("shared")?.versions.filter(({ key }) => key === "pvc-1/late" || key === markKeyOf(volume.place))).toHaveLength(
      2,
    );
  });

  test("`archive` keeps a bucket under its name with a tag, and moves a prefix so that its name is free", async () => {
    const own = await made("", "archive");
    await own.admin.fill("pvc-1", 1);
    await deprovision(own.admin, own.volume, {}, { now: () => 0 });
    await deprovision(own.admin, own.volume, {}, { now: () => 5000 });
    expect(own.admin.buckets.get("pvc-1")?.tags).toMatchObject({ "bucketmount-archived": "1970-01-01", "bucketmount-volume": "v1:pvc-1" });
    expect(await readMark(own.admin, own.volume.place, {})).toMatchObject({ mark: { released: { onDelete: "archive" } } });
    const shared = await made("pvc-1/", "archive");
    await shared.admin.fill("shared", 1, "pvc-1/");
    await deprovision(shared.admin, shared.volume, {});
    await deprovision(shared.admin, shared.volume, {});
    expect(inside(shared)).toEqual([]);
    expect((await shared.admin.listKeys("shared", { prefix: "archived/", maxKeys: 9 })).items).toEqual([
      "archived/pvc-1-20260101T000000000Z/.bucketmount/volume.json",
      "archived/pvc-1-20260101T000000000Z/kept/file-0",
    ]);
    await expect(
      provision(shared.admin, { place: shared.volume.place, region: undefined, limitBytes: 0, mark: shared.mark }, {}),
    ).resolves.toMatchObject({ volumeName: "pvc-1" });
    // A store without tags keeps the bucket just as well.
    const tagless = await made("", "archive", { tags: false });
    await deprovision(tagless.admin, tagless.volume, {});
    expect(tagless.admin.buckets.has("pvc-1")).toBe(true);
  });

  for (const onDelete of ["delete", "archive", "retain", "only-if-empty"] as const) {
    for (const [store, options] of Object.entries(KINDS)) {
      test(`\`${onDelete}\` of a prefix ends the same after a death at any request on a store with ${store}`, async () => {
        const start = async () => {
          const made_ = await made("pvc-1/", onDelete, options, options.versions === undefined);
          if (onDelete !== "only-if-empty") await made_.admin.fill("shared", 2, "pvc-1/");
          if (options.versions !== undefined) made_.admin.buckets.get("shared")!.uploads = [];
          return made_;
        };
        const outcome = ({ admin }: Case) =>
          [...(admin.buckets.get("shared")?.versions ?? [])]
            .filter(({ body }) => body !== undefined)
            .map(({ key }) => key)
            .toSorted();
        const whole = await start();
        const counting = crashingBucketAdmin(whole.admin, { at: Infinity, when: "before" });
        await deprovision(counting.admin, whole.volume, {});
        for (let at = 0; at < counting.requests(); at++) {
          for (const when of ["before", "after"] as const) {
            const one = await start();
            await expect(deprovision(crashingBucketAdmin(one.admin, { at, when }).admin, one.volume, {})).rejects.toThrow(Crash);
            await expect(deprovision(one.admin, one.volume, {}), `${when} ${at}`).resolves.toBeUndefined();
            const same = (keys: readonly string[]) => [...new Set(keys)];
            expect(same(outcome(one)), `${when} ${at}`).toEqual(same(outcome(whole)));
          }
        }
      });
    }
  }

  test("two processes at once end with one outcome and no harm beside it", async () => {
    for (const onDelete of ["delete", "archive", "retain"] as const) {
      const { admin, volume } = await made("pvc-1/", onDelete);
      await admin.fill("shared", 4, "pvc-1/");
      const results = await Promise.allSettled([deprovision(admin, volume, {}), deprovision(admin, volume, {})]);
      // The slower one may find that there is no mark any more, and is told so; its next call finds nothing to do.
      for (const result of results) if (result.status === "rejected") expect(result.reason).toMatchObject({ fault: "precondition" });
      await deprovision(admin, volume, {});
      for (const neighbour of NEIGHBOURS) {
        expect((await admin.listKeys("shared", { prefix: `${neighbour}kept/` })).items, onDelete).toEqual([`${neighbour}kept/file-0`]);
      }
    }
  });
});
