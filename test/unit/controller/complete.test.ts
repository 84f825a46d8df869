import { describe, expect, test } from "vitest";
import type { ProvisionRequest } from "#controller/compatible.ts";
import { MARK_KEY, type VolumeMark } from "#controller/mark.ts";
import { provision } from "#controller/provision.ts";
import { DriverError } from "#core/errors.ts";
import { Crash, crashingBucketAdmin, overridingBucketAdmin } from "../../support/crashing-bucket-admin.ts";
import { MemoryBucketAdmin } from "../../support/memory-bucket-admin.ts";

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

describe("from a place to a volume", () => {
  test("takes a storage class that the store really uses", async () => {
    const admin = new MemoryBucketAdmin();
    await expect(provision(admin, request({ parameters: { storageClass: "STANDARD_IA" } }), {})).resolves.toMatchObject({
      volumeName: "pvc-1",
    });
    await expect(provision(admin, request({ parameters: { storageClass: "STANDARD_IA" } }), {})).resolves.toMatchObject({
      volumeName: "pvc-1",
    });
  });

  test("refuses a storage class that the store takes and ignores, or does not take, and leaves nothing", async () => {
    const invalid = async () => {
      throw new DriverError("bad_argument", "InvalidStorageClass");
    };
    for (const place of [
      { bucket: "pvc-1", prefix: "" },
      { bucket: "shared", prefix: "x/" },
    ]) {
      const ignoring = new MemoryBucketAdmin({ storageClasses: [] });
      ignoring.addBucket("shared");
      const wanted = request({ parameters: { storageClass: "COLD" } }, { place });
      await expect(provision(ignoring, wanted, {})).rejects.toMatchObject({
        fault: "bad_argument",
        message: "parameter storageClass: the store at memory:// keeps files as STANDARD, not COLD",
      });
      await expect(provision(overridingBucketAdmin(ignoring, { writeObject: invalid }), wanted, {})).rejects.toMatchObject({
        message: "parameter storageClass: the store refuses it: InvalidStorageClass",
      });
      expect([...ignoring.buckets.keys()]).toEqual(["shared"]);
      expect(keysOf(ignoring, "shared")).toEqual([]);
    }
  });

  test("leaves no bucket behind when a setting is lacking, and says which", async () => {
    for (const settings of ["missing", "refused", "ignored"] as const) {
      const admin = new MemoryBucketAdmin({ settings });
      await expect(provision(admin, request({ parameters: { encryption: "SSE-S3" } }), {})).rejects.toMatchObject({
        fault: "bad_argument",
        message: expect.stringContaining("parameter encryption"),
      });
      expect(admin.buckets.size).toBe(0);
    }
  });

  test("says whom the policy must not be for when it keeps the mark from being written", async () => {
    const admin = new MemoryBucketAdmin();
    const denied = overridingBucketAdmin(admin, {
      writeObject: async () => {
        throw new DriverError("denied", "AccessDenied");
      },
    });
    const parameters = { bucketPolicy: "least-privilege", nodePrincipal: "me" } as const;
    await expect(provision(denied, request({ parameters }), {})).rejects.toMatchObject({
      fault: "denied",
      message: expect.stringContaining("parameter nodePrincipal"),
    });
    expect(admin.buckets.size).toBe(0);
  });

  test("ends with one complete bucket, settings and all, after a death at any request", async () => {
    const parameters: VolumeMark["parameters"] = {
      ...{ publicAccessBlock: true, encryption: "SSE-S3", versioning: true, lifecycle: { expire: 3, noncurrent: 2 } },
      ...{ bucketPolicy: "least-privilege", nodePrincipal: "node", tags: { team: "a" }, storageClass: "STANDARD_IA" },
    };
    const complete = new MemoryBucketAdmin();
    const whole = crashingBucketAdmin(complete, { at: Infinity, when: "before" });
    await provision(whole.admin, request({ parameters }), {});
    for (let at = 0; at < whole.requests(); at++) {
      for (const when of ["before", "after"] as const) {
        const admin = new MemoryBucketAdmin();
        await expect(provision(crashingBucketAdmin(admin, { at, when }).admin, request({ parameters }), {})).rejects.toThrow(Crash);
        await provision(admin, request({ parameters }), {});
        const { versions, ...settings } = admin.buckets.get("pvc-1") ?? {};
        const { versions: _theirs, ...expected } = complete.buckets.get("pvc-1") ?? {};
        expect(settings, `${when} ${at}`).toEqual(expected);
        expect(versions?.map(({ key }) => key)).toEqual([MARK_KEY]);
      }
    }
  });
});
