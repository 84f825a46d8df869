import { describe, expect, test } from "vitest";
import { encodeMark, markKeyOf, type VolumeMark } from "#controller/mark.ts";
import { nestingAt, refuseInnerVolumes } from "#controller/nesting.ts";
import type { Place } from "#controller/place.ts";
import { MemoryBucketAdmin } from "../../support/memory-bucket-admin.ts";

const at = (prefix: string): Place => ({ bucket: "b", prefix });

/** A bucket with volumes at these prefixes, and somebody's objects. */
async function withVolumes(...prefixes: readonly string[]): Promise<MemoryBucketAdmin> {
  const admin = new MemoryBucketAdmin();
  admin.addBucket("b", ["ci/m2/data", "other"]);
  const mark = {
    ...{ format: 1, driver: "d", volumeId: "v", volumeName: "n", capacityBytes: 0, parameters: {}, claim: {} },
    createdAt: "2026-01-01T00:00:00.000Z",
  } as VolumeMark;
  for (const prefix of prefixes) await admin.writeObject("b", markKeyOf(at(prefix)), encodeMark(mark));
  return admin;
}

describe("nestingAt", () => {
  test("sees volumes inside and outside, whatever their data", async () => {
    expect(await nestingAt(await withVolumes("ci/m2/"), at("ci/"), {})).toContain("inside prefix ci/ of bucket b");
    // Names before and after that of a mark.
    for (const inner of ["a/", "z/"]) expect(await nestingAt(await withVolumes("ci/", `ci/${inner}`), at("ci/"), {})).toContain(inner);
    expect(await nestingAt(await withVolumes("ci/"), at("ci/m2/"), {})).toContain("inside the volume that is prefix ci/ of bucket b");
    expect(await nestingAt(await withVolumes("ci/"), at("ci/m2/x/y/"), {})).toContain("prefix ci/");
    expect(await nestingAt(await withVolumes(""), at("ci/m2/"), {})).toContain("inside the volume that is bucket b");
    expect(await nestingAt(await withVolumes("ci/"), at(""), {})).toContain("inside bucket b");
  });

  test("does not take neighbours for it: `pvc-1/` and `pvc-10/`, `ci/` and `ci2/`", async () => {
    const admin = await withVolumes("pvc-1/", "pvc-10/", "ci/m2/", "ci/npm/", "ci2/m2/");
    for (const prefix of ["pvc-1/", "pvc-10/", "pvc-100/", "pvc/", "ci/m2/", "ci/m/", "ci/m22/", "c/"]) {
      expect(await nestingAt(admin, at(prefix), {}), prefix).toBeUndefined();
    }
    expect(await nestingAt(await withVolumes(""), at(""), {})).toBeUndefined();
  });

  test("takes an unreadable mark for a volume", async () => {
    const admin = await withVolumes();
    await admin.writeObject("b", markKeyOf(at("ci/")), new Uint8Array([1]));
    expect(await nestingAt(admin, at("ci/m2/"), {})).toContain("prefix ci/");
  });
});

test("`refuseInnerVolumes` names the mark that is in the way", async () => {
  const admin = await withVolumes("ci/", "ci/m2/");
  await expect(refuseInnerVolumes(admin, at("ci/"), {})).rejects.toMatchObject({
    fault: "precondition",
    message: expect.stringContaining(".bucketmount/volumes/ci/m2/volume.json"),
  });
  await expect(refuseInnerVolumes(admin, at("ci/m2/"), {})).resolves.toBeUndefined();
});
