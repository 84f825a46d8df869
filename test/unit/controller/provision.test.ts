import { describe, expect, test } from "vitest";
import type { ProvisionRequest } from "#controller/compatible.ts";
import { MARK_KEY, type VolumeMark } from "#controller/mark.ts";
import { provision } from "#controller/provision.ts";
import { DriverError } from "#core/errors.ts";
import { Crash, crashingBucketAdmin, overridingBucketAdmin } from "../../support/crashing-bucket-admin.ts";
import { MemoryBucketAdmin, type MemoryBucketAdminOptions } from "../../support/memory-bucket-admin.ts";

function request(mark: Partial<VolumeMark> = {}, rest: Partial<ProvisionRequest> = {}): ProvisionRequest {
  return {
    place: { bucket: "pvc-1", prefix: "" },
    region: "eu-1",
    limitBytes: 0,
    mark: {
      format: 1,
      driver: "s3.csi.example",
      volumeId: "v1:pvc-1",
      volumeName: "pvc-1",
      capacityBytes: 10,
      parameters: {},
      claim: {},
      createdAt: "2026-01-01T00:00:00.000Z",
      ...mark,
    },
    ...rest,
  };
}

const keysOf = (admin: MemoryBucketAdmin, bucket = "pvc-1") => admin.buckets.get(bucket)?.versions.map(({ key }) => key);

describe("provision", () => {
  test("makes a bucket with region, tags, versioning and mark", async () => {
    const admin = new MemoryBucketAdmin();
    const wanted = request({ parameters: { versioning: true, tags: { team: "a" } } });
    expect(await provision(admin, wanted, {})).toEqual(wanted.mark);
    expect(admin.buckets.get("pvc-1")).toMatchObject({
      region: "eu-1",
      versioning: "Enabled",
      tags: { team: "a", "bucketmount-driver": "s3.csi.example", "bucketmount-volume": "v1:pvc-1" },
    });
    expect(keysOf(admin)).toEqual([MARK_KEY]);
  });

  test("gives the same answer to the same request, later too", async () => {
    const admin = new MemoryBucketAdmin();
    const first = await provision(admin, request(), {});
    await admin.writeObject("pvc-1", "data", new Uint8Array(1));
    const again = await provision(admin, request({ createdAt: "2027-01-01T00:00:00.000Z", claim: { name: "renamed" } }), {});
    expect(again).toEqual(first);
    expect(keysOf(admin)).toContain("data");
  });

  test("takes a size within the asked range and refuses one outside it", async () => {
    const admin = new MemoryBucketAdmin();
    await provision(admin, request(), {});
    await expect(provision(admin, request({ capacityBytes: 5 }, { limitBytes: 10 }), {})).resolves.toMatchObject({ capacityBytes: 10 });
    await expect(provision(admin, request({ capacityBytes: 20 }), {})).rejects.toMatchObject({
      fault: "exists",
      message: expect.stringContaining("10 bytes, asked for 20"),
    });
    await expect(provision(admin, request({ capacityBytes: 1 }, { limitBytes: 9 }), {})).rejects.toMatchObject({ fault: "exists" });
  });

  test("refuses the same name with other parameters and names them", async () => {
    const admin = new MemoryBucketAdmin();
    await provision(admin, request({ parameters: { versioning: true } }), {});
    const other = provision(admin, request({ parameters: { tags: { a: "b" }, versioning: true } }), {});
    await expect(other).rejects.toMatchObject({ fault: "exists", message: expect.stringContaining("other parameters (tags)") });
  });

  test("refuses a bucket of another volume, another driver or another account", async () => {
    const admin = new MemoryBucketAdmin();
    await provision(admin, request(), {});
    await expect(provision(admin, request({ volumeName: "pvc 1" }), {})).rejects.toMatchObject({ fault: "exists" });
    await expect(provision(admin, request({ driver: "other.csi" }), {})).rejects.toMatchObject({ fault: "exists" });
    admin.foreign.add("theirs");
    await expect(provision(admin, request({}, { place: { bucket: "theirs", prefix: "" } }), {})).rejects.toMatchObject({
      fault: "exists",
      message: expect.stringContaining("theirs"),
    });
  });

  test("refuses a bucket with anything in it and leaves it exactly as it is", async () => {
    const contents: readonly ((admin: MemoryBucketAdmin) => Promise<unknown> | unknown)[] = [
      (admin) => admin.writeObject("pvc-1", "a", new Uint8Array(1)),
      (admin) => admin.buckets.get("pvc-1")?.uploads.push({ key: "a", uploadId: "u" }),
      async (admin) => {
        // Only an old version under a delete marker: a listing of keys is empty.
        await admin.setVersioning("pvc-1", "Enabled");
        await admin.writeObject("pvc-1", "a", new Uint8Array(1));
        await admin.deleteVersions("pvc-1", [{ key: "a" }]);
      },
      (admin) => admin.writeObject("pvc-1", MARK_KEY, new TextEncoder().encode("not a mark")),
    ];
    for (const fill of contents) {
      const admin = new MemoryBucketAdmin();
      admin.addBucket("pvc-1");
      await fill(admin);
      const before = structuredClone(admin.buckets.get("pvc-1"));
      await expect(provision(admin, request(), {})).rejects.toMatchObject({ fault: "exists" });
      expect(admin.buckets.get("pvc-1")).toEqual(before);
    }
  });

  test("adopts a bucket that is entirely empty, and keeps its tags", async () => {
    const admin = new MemoryBucketAdmin();
    admin.addBucket("pvc-1").tags = { team: "x" };
    await provision(admin, request(), {});
    expect(keysOf(admin)).toEqual([MARK_KEY]);
    expect(admin.buckets.get("pvc-1")?.tags).toMatchObject({ team: "x", "bucketmount-volume": "v1:pvc-1" });
  });

  test("leaves no bucket behind when the store cannot do what a parameter asks for", async () => {
    const cases: readonly (readonly [MemoryBucketAdminOptions, VolumeMark["parameters"], string])[] = [
      [{ versions: "missing" }, { versioning: true }, "parameter versioning: the store at memory:// has no versioning"],
      [{ versions: "ignored" }, { versioning: true }, "parameter versioning"],
      [{ tags: false }, { tags: { a: "b" } }, "parameter tags"],
    ];
    for (const [options, parameters, message] of cases) {
      const admin = new MemoryBucketAdmin(options);
      await expect(provision(admin, request({ parameters }), {})).rejects.toMatchObject({
        fault: "bad_argument",
        message: expect.stringContaining(message),
      });
      expect(admin.buckets.size).toBe(0);
    }
  });

  test("tells wrong rights as such, and not that the bucket exists", async () => {
    const admin = new MemoryBucketAdmin();
    const denied = async () => {
      throw new DriverError("denied", "AccessDenied");
    };
    const blind = overridingBucketAdmin(admin, { readObject: denied, createBucket: denied });
    await expect(provision(blind, request(), {})).rejects.toMatchObject({ fault: "denied" });
    // May make buckets and not write objects: the bucket that was made goes again.
    await expect(provision(overridingBucketAdmin(admin, { writeObject: denied }), request(), {})).rejects.toMatchObject({
      fault: "denied",
    });
    expect(admin.buckets.size).toBe(0);
    // One that was there stays, empty as it is.
    admin.addBucket("pvc-1");
    await expect(provision(overridingBucketAdmin(admin, { readObject: denied }), request(), {})).rejects.toMatchObject({ fault: "denied" });
    expect(admin.buckets.has("pvc-1")).toBe(true);
  });

  test("needs neither tags nor versions when no parameter asks for them", async () => {
    const admin = new MemoryBucketAdmin({ tags: false, versions: "missing", conditionalWrites: false });
    await expect(provision(admin, request(), {})).resolves.toMatchObject({ volumeId: "v1:pvc-1" });
  });

  test("lets two calls at once end with one volume and one answer", async () => {
    const admin = new MemoryBucketAdmin();
    const answers = await Promise.all([
      provision(admin, request(), {}),
      provision(admin, request({ createdAt: "2028-01-01T00:00:00.000Z" }), {}),
    ]);
    expect(answers[0]).toEqual(answers[1]);
    expect(keysOf(admin)).toEqual([MARK_KEY]);
  });

  test("lets one of two calls with different parameters win and refuses the other", async () => {
    const admin = new MemoryBucketAdmin();
    const results = await Promise.allSettled([
      provision(admin, request(), {}),
      provision(admin, request({ parameters: { pathStyle: true } }), {}),
    ]);
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(results.find(({ status }) => status === "rejected")).toMatchObject({ reason: { fault: "exists" } });
  });

  test("tells that the store is down as such", async () => {
    const admin = new MemoryBucketAdmin();
    admin.down = true;
    await expect(provision(admin, request(), {})).rejects.toMatchObject({ fault: "unavailable" });
  });

  test("ends with exactly one complete volume after a death at any request", async () => {
    const kinds: readonly MemoryBucketAdminOptions[] = [{}, { tags: false, versions: "missing", conditionalWrites: false }];
    for (const options of kinds) {
      const parameters = options.tags === false ? {} : { versioning: true, tags: { team: "a" } };
      const whole = crashingBucketAdmin(new MemoryBucketAdmin(options), { at: Infinity, when: "before" });
      await provision(whole.admin, request({ parameters }), {});
      expect(whole.requests()).toBeGreaterThan(3);
      for (let at = 0; at < whole.requests(); at++) {
        for (const when of ["before", "after"] as const) {
          const admin = new MemoryBucketAdmin(options);
          admin.addBucket("foreign", ["data"]);
          const dying = provision(crashingBucketAdmin(admin, { at, when }).admin, request({ parameters }), {});
          await expect(dying, `${when} ${at}`).rejects.toThrow(Crash);
          await expect(provision(admin, request({ parameters }), {}), `${when} ${at}`).resolves.toMatchObject({ volumeId: "v1:pvc-1" });
          expect([...admin.buckets.keys()].sort()).toEqual(["foreign", "pvc-1"]);
          expect(keysOf(admin)).toEqual([MARK_KEY]);
          expect(keysOf(admin, "foreign")).toEqual(["data"]);
          if (options.tags !== false) expect(admin.buckets.get("pvc-1")).toMatchObject({ versioning: "Enabled", tags: { team: "a" } });
        }
      }
    }
  });
});

describe("provision of a prefix", () => {
  const at = (prefix: string) => ({ bucket: "shared", prefix });
  const ofPrefix = (prefix: string, mark: Partial<VolumeMark> = {}) =>
    request({ volumeId: `v1:shared/${prefix}`, volumeName: prefix, ...mark }, { place: at(prefix) });

  async function shared(options: MemoryBucketAdminOptions = {}): Promise<MemoryBucketAdmin> {
    const admin = new MemoryBucketAdmin(options);
    admin.addBucket("shared", ["somebodys/data", "pvc-10/data", "pvc-1"]).tags = { team: "x" };
    return admin;
  }

  test("writes the mark outside of the prefix and changes nothing else of the bucket", async () => {
    const admin = await shared();
    const before = structuredClone(admin.buckets.get("shared"));
    const first = await provision(admin, ofPrefix("pvc-1/"), {});
    expect(await provision(admin, ofPrefix("pvc-1/", { createdAt: "2027-01-01T00:00:00.000Z" }), {})).toEqual(first);
    const { versions = [], ...rest } = admin.buckets.get("shared") ?? {};
    expect({ ...rest, versions: versions.slice(1) }).toEqual(before);
    expect(versions[0]?.key).toBe(".bucketmount/volumes/pvc-1/volume.json");
  });

  test("makes volumes side by side: `pvc-1/`, `pvc-10/`, `pvc-1.d/`, folders", async () => {
    const admin = new MemoryBucketAdmin();
    admin.addBucket("shared");
    for (const prefix of ["pvc-1/", "pvc-10/", "pvc-1.d/", "ci/m2/", "ci/m22/", "ci2/m2/"]) {
      await expect(provision(admin, ofPrefix(prefix), {}), prefix).resolves.toMatchObject({ volumeName: prefix });
    }
  });

  test("never makes the bucket, and says so", async () => {
    const admin = new MemoryBucketAdmin();
    await expect(provision(admin, ofPrefix("pvc-1/"), {})).rejects.toMatchObject({
      fault: "precondition",
      message: expect.stringContaining("parameter bucket: there is no bucket shared at memory://"),
    });
    expect(admin.buckets.size).toBe(0);
  });

  test("refuses a prefix with anything in it and leaves it exactly as it is", async () => {
    const contents: readonly ((admin: MemoryBucketAdmin) => Promise<unknown> | unknown)[] = [
      (admin) => admin.writeObject("shared", "pvc-1/a", new Uint8Array(1)),
      (admin) => admin.writeObject("shared", "pvc-1/", new Uint8Array(0)),
      (admin) => admin.buckets.get("shared")?.uploads.push({ key: "pvc-1/a", uploadId: "u" }),
      async (admin) => {
        await admin.setVersioning("shared", "Enabled");
        await admin.writeObject("shared", "pvc-1/a", new Uint8Array(1));
        await admin.deleteVersions("shared", [{ key: "pvc-1/a" }]);
      },
    ];
    for (const fill of contents) {
      const admin = await shared();
      await fill(admin);
      const before = structuredClone(admin.buckets.get("shared"));
      await expect(provision(admin, ofPrefix("pvc-1/"), {})).rejects.toMatchObject({
        fault: "exists",
        message: expect.stringContaining("prefix pvc-1/ of bucket shared exists, is not empty"),
      });
      expect(admin.buckets.get("shared")).toEqual(before);
    }
  });

  test("never lets two volumes share a prefix, also at one time", async () => {
    const admin = await shared();
    const [one, two] = ["pvc-a", "pvc-b"].map((volumeName) => ofPrefix("ci/m2/", { volumeName }));
    const results = await Promise.allSettled([provision(admin, one!, {}), provision(admin, two!, {})]);
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(results.find(({ status }) => status === "rejected")).toMatchObject({
      reason: { fault: "exists", message: expect.stringContaining("each volume needs a name of its own") },
    });
  });

  test("refuses a volume inside another, around another, and in a bucket that is one", async () => {
    const admin = await shared();
    await provision(admin, ofPrefix("ci/"), {});
    await expect(provision(admin, ofPrefix("ci/m2/"), {})).rejects.toMatchObject({
      fault: "exists",
      message: expect.stringContaining("inside"),
    });
    await provision(admin, ofPrefix("a/b/"), {});
    await expect(provision(admin, ofPrefix("a/"), {})).rejects.toMatchObject({
      fault: "exists",
      message: expect.stringContaining("inside"),
    });
    await provision(admin, request(), {});
    const inOwn = request({ volumeName: "x" }, { place: { bucket: "pvc-1", prefix: "x/" } });
    await expect(provision(admin, inOwn, {})).rejects.toMatchObject({ fault: "exists", message: expect.stringContaining("bucket pvc-1") });
    expect(keysOf(admin)).toEqual([MARK_KEY]);
  });

  test("of an outer and an inner volume at one time at most one is made, and no mark of the other stays", async () => {
    for (const prefixes of [
      ["ci/", "ci/m2/"],
      ["ci/m2/", "ci/"],
    ]) {
      const admin = await shared();
      const results = await Promise.allSettled(prefixes.map((prefix) => provision(admin, ofPrefix(prefix), {})));
      const done = prefixes.filter((_prefix, index) => results[index]?.status === "fulfilled");
      expect(done.length).toBeLessThan(2);
      const marks = (await admin.listKeys("shared", { prefix: ".bucketmount/" })).items;
      expect(marks).toEqual(done.map((prefix) => `.bucketmount/volumes/${prefix}volume.json`));
    }
  });

  test("a call that finds its own mark inside another volume takes it back, unless there is data", async () => {
    const admin = await shared();
    await provision(admin, ofPrefix("ci/m2/"), {});
    await admin.writeObject("shared", ".bucketmount/volumes/ci/volume.json", new Uint8Array([1]));
    await admin.writeObject("shared", "ci/m2/data", new Uint8Array([1]));
    await expect(provision(admin, ofPrefix("ci/m2/"), {})).rejects.toMatchObject({ fault: "exists" });
    expect(keysOf(admin, "shared")).toContain(".bucketmount/volumes/ci/m2/volume.json");
    await admin.deleteVersions("shared", [{ key: "ci/m2/data" }]);
    await expect(provision(admin, ofPrefix("ci/m2/"), {})).rejects.toMatchObject({ fault: "exists" });
    expect(keysOf(admin, "shared")).not.toContain(".bucketmount/volumes/ci/m2/volume.json");
  });

  test("ends with exactly one complete volume after a death at any request", async () => {
    const kinds: readonly MemoryBucketAdminOptions[] = [{}, { tags: false, versions: "missing", conditionalWrites: false }];
    for (const options of kinds) {
      const whole = crashingBucketAdmin(await shared(options), { at: Infinity, when: "before" });
      await provision(whole.admin, ofPrefix("ci/m2/"), {});
      for (let at = 0; at < whole.requests(); at++) {
        for (const when of ["before", "after"] as const) {
          const admin = await shared(options);
          const before = keysOf(admin, "shared") ?? [];
          await expect(provision(crashingBucketAdmin(admin, { at, when }).admin, ofPrefix("ci/m2/"), {}), `${when} ${at}`).rejects.toThrow(
            Crash,
          );
          await expect(provision(admin, ofPrefix("ci/m2/"), {}), `${when} ${at}`).resolves.toMatchObject({ volumeName: "ci/m2/" });
          expect(keysOf(admin, "shared")).toEqual([".bucketmount/volumes/ci/m2/volume.json", ...before]);
        }
      }
    }
  });
});
