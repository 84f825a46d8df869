import { expect, test } from "vitest";
import { configureBucket } from "#controller/configure.ts";
import type { VolumeMark } from "#controller/mark.ts";
import type { VolumeParameters } from "#controller/parameters.ts";
import { DriverError } from "#core/errors.ts";
import { overridingBucketAdmin } from "../../support/crashing-bucket-admin.ts";
import { MemoryBucketAdmin, type MemoryBucketAdminOptions } from "../../support/memory-bucket-admin.ts";

const ALL: VolumeParameters = {
  ...{ publicAccessBlock: true, encryption: "SSE-KMS", kmsKeyId: "alias/mine", versioning: true },
  ...{ lifecycle: { expire: 30, noncurrent: 14, "abort-uploads": 7 }, bucketPolicy: "least-privilege", nodePrincipal: "node" },
  tags: { team: "ci" },
};

function markOf(parameters: VolumeParameters): VolumeMark {
  return {
    ...{ format: 1, driver: "d", volumeId: "v1:b", volumeName: "b", capacityBytes: 0, parameters, claim: {} },
    createdAt: "2026-01-01T00:00:00.000Z",
  };
}

function bucketOn(options: MemoryBucketAdminOptions = {}): MemoryBucketAdmin {
  const admin = new MemoryBucketAdmin(options);
  admin.addBucket("b");
  return admin;
}

test("`configureBucket` makes all settings, and again without harm", async () => {
  const admin = bucketOn();
  for (let n = 0; n < 2; n++) await configureBucket(admin, "b", markOf(ALL), {});
  expect(admin.buckets.get("b")).toMatchObject({
    publicAccessBlock: true,
    encryption: { algorithm: "aws:kms", kmsKeyId: "alias/mine" },
    versioning: "Enabled",
    policy: expect.stringContaining('"AWS":"node"'),
    tags: { team: "ci", "bucketmount-volume": "v1:b" },
  });
  expect(admin.buckets.get("b")?.lifecycle?.map(({ id }) => id)).toEqual([
    "bucketmount-expire-larger",
    "bucketmount-expire-smaller",
    "bucketmount-noncurrent",
    "bucketmount-abort-uploads",
  ]);
});

test("`configureBucket` asks for nothing that no parameter names, and leaves what the store has", async () => {
  const silent = bucketOn({ settings: "missing", versions: "missing", tags: false });
  await expect(configureBucket(silent, "b", markOf({ versioning: false, publicAccessBlock: false }), {})).resolves.toBeUndefined();
});

test("`configureBucket` names the parameter and the store for what a store lacks, refuses or ignores", async () => {
  const settings: readonly VolumeParameters[] = [
    { publicAccessBlock: true },
    { encryption: "SSE-S3" },
    { encryption: "SSE-KMS" },
    { lifecycle: { expire: 1 } },
    { bucketPolicy: "least-privilege", nodePrincipal: "node" },
  ];
  for (const kind of ["missing", "refused", "ignored"] as const) {
    for (const parameters of settings) {
      const [name = ""] = Object.keys(parameters);
      await expect(configureBucket(bucketOn({ settings: kind }), "b", markOf(parameters), {}), `${kind} ${name}`).rejects.toMatchObject({
        fault: "bad_argument",
        message: expect.stringMatching(`^parameter ${name}: the store ${kind === "refused" ? "refuses it: " : "at memory:// has no "}`),
      });
    }
  }
});

test("`configureBucket` refuses a lifecycle whose filters the store dropped: it would take the mark", async () => {
  const admin = bucketOn();
  const dropping = overridingBucketAdmin(admin, {
    setLifecycle: (bucket, rules) =>
      admin.setLifecycle(
        bucket,
        rules.map(({ sizeOver: _over, sizeUnder: _under, ...rule }) => rule),
      ),
  });
  await expect(configureBucket(dropping, "b", markOf({ lifecycle: { expire: 30 } }), {})).rejects.toMatchObject({ fault: "bad_argument" });
  await expect(configureBucket(dropping, "b", markOf({ lifecycle: { "abort-uploads": 3 } }), {})).resolves.toBeUndefined();
});

test("`configureBucket` tells missing rights as such", async () => {
  const denied = overridingBucketAdmin(bucketOn(), {
    setEncryption: async () => {
      throw new DriverError("denied", "AccessDenied");
    },
  });
  await expect(configureBucket(denied, "b", markOf({ encryption: "SSE-S3" }), {})).rejects.toMatchObject({ fault: "denied" });
});
