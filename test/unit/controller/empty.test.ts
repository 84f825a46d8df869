import { expect, test } from "vitest";
import { isEntirelyEmpty } from "#controller/empty.ts";
import { MemoryBucketAdmin, type MemoryBucketAdminOptions } from "../../support/memory-bucket-admin.ts";

async function judge(options: MemoryBucketAdminOptions, fill: (admin: MemoryBucketAdmin) => unknown): Promise<boolean> {
  const admin = new MemoryBucketAdmin(options);
  admin.addBucket("b");
  await fill(admin);
  return isEntirelyEmpty(admin, { bucket: "b", prefix: "" }, {});
}

test("`isEntirelyEmpty` sees keys, versions, markers and uploads", async () => {
  expect(await judge({}, () => undefined)).toBe(true);
  expect(await judge({}, (admin) => admin.writeObject("b", "a", new Uint8Array(1)))).toBe(false);
  expect(await judge({}, (admin) => admin.buckets.get("b")?.uploads.push({ key: "a", uploadId: "u" }))).toBe(false);
  const markerOnly = async (admin: MemoryBucketAdmin) => {
    await admin.setVersioning("b", "Enabled");
    await admin.deleteVersions("b", [{ key: "a" }]);
  };
  expect(await judge({}, markerOnly)).toBe(false);
});

test("`isEntirelyEmpty` is not misled by a store whose list of versions is always empty or missing", async () => {
  for (const versions of ["ignored", "missing"] as const) {
    expect(await judge({ versions }, () => undefined)).toBe(true);
    expect(await judge({ versions }, (admin) => admin.writeObject("b", "a", new Uint8Array(1)))).toBe(false);
  }
});
