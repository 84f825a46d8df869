import { expect, test } from "vitest";
import {
  decodeMark,
  encodeMark,
  MARK_KEY,
  markTags,
  readMark,
  readTagMark,
  sameParameters,
  type VolumeMark,
  writeMark,
} from "#controller/mark.ts";
import { MemoryBucketAdmin } from "../../support/memory-bucket-admin.ts";

const B = { bucket: "b", prefix: "" };

const MARK: VolumeMark = {
  format: 1,
  driver: "s3.csi.example",
  volumeId: "v1:pvc-1",
  volumeName: "pvc-1",
  capacityBytes: 5,
  parameters: { versioning: true, tags: { b: "2", a: "1" } },
  claim: {},
  createdAt: "2026-01-01T00:00:00.000Z",
};

test("`encodeMark` gives the same bytes whatever the order of the fields, and `decodeMark` reads them", () => {
  const reordered = {
    ...Object.fromEntries(Object.entries(MARK).reverse()),
    parameters: { tags: { a: "1", b: "2" }, versioning: true },
  } as unknown as VolumeMark;
  expect(encodeMark(reordered)).toEqual(encodeMark(MARK));
  expect(decodeMark(encodeMark(MARK))).toEqual({ state: "marked", mark: MARK });
});

test("`decodeMark` takes nothing for a mark that is not whole or of another format", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const { volumeId: _left, ...partial } = MARK;
  for (const text of [
    "",
    "null",
    "[]",
    "{}",
    "not json",
    JSON.stringify({ ...MARK, format: 2 }),
    JSON.stringify(partial),
    JSON.stringify({ ...MARK, capacityBytes: "5" }),
  ]) {
    expect(decodeMark(bytes(text)).state, text).toBe("unreadable");
  }
  expect(decodeMark(new Uint8Array([0xff, 0xfe])).state).toBe("unreadable");
});

test("`readMark` tells a missing bucket from a missing mark", async () => {
  const admin = new MemoryBucketAdmin();
  admin.addBucket("b");
  expect(await readMark(admin, { bucket: "none", prefix: "" }, {})).toEqual({ state: "no-bucket" });
  expect(await readMark(admin, B, {})).toEqual({ state: "unmarked" });
});

test("`writeMark` leaves a mark that is there and answers it", async () => {
  const admin = new MemoryBucketAdmin();
  admin.addBucket("b");
  await writeMark(admin, B, MARK, {});
  expect(await writeMark(admin, B, { ...MARK, volumeName: "other" }, {})).toMatchObject({ mark: { volumeName: "pvc-1" } });
  expect(admin.buckets.get("b")?.versions).toHaveLength(1);
  expect(admin.buckets.get("b")?.versions[0]?.key).toBe(MARK_KEY);
});

test("`readTagMark` tells ours, another's and a store without tags apart", async () => {
  const admin = new MemoryBucketAdmin();
  const bucket = admin.addBucket("b");
  expect(await readTagMark(admin, "b", MARK, {})).toBe("other");
  bucket.tags = { team: "x", ...markTags(MARK.driver, MARK.volumeId) };
  expect(await readTagMark(admin, "b", MARK, {})).toBe("ours");
  expect(await readTagMark(admin, "b", { ...MARK, driver: "another" }, {})).toBe("other");
  const tagless = new MemoryBucketAdmin({ tags: false });
  tagless.addBucket("b");
  expect(await readTagMark(tagless, "b", MARK, {})).toBe("no-tags-here");
});

test("`markTags` keeps to the characters that S3 allows in tags", () => {
  expect(markTags("d", "v1:b+endpoint=http://minio:9000")["bucketmount-volume"]).toBe("v1:b+endpoint=http://minio:9000");
  expect(markTags("d", "v1:b+endpoint=http://[::1]:9000")["bucketmount-volume"]).toMatch(/^sha256:[0-9a-f]{64}$/);
});

test("`sameParameters` does not mind order and does mind values", () => {
  expect(sameParameters({ region: "a", pathStyle: true }, { pathStyle: true, region: "a" })).toBe(true);
  expect(sameParameters({ region: "a" }, { region: "b" })).toBe(false);
  expect(sameParameters({}, { versioning: false })).toBe(false);
});
