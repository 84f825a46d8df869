import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeVolumeId, encodeVolumeId } from "#controller/volume-id.ts";

const locations = fc.record({
  bucket: fc
    .stringMatching(/^[a-z0-9][a-z0-9-]{1,40}[a-z0-9]$/)
    .filter((name) => !/^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|--x-s3|--table-s3)$/.test(name)),
  prefix: fc.constantFrom("", "pvc-1/", "ci/m2/", "a.b/c_d/x=1/"),
  name: fc.constantFrom(undefined, "0123abcd"),
  endpoint: fc.constantFrom(undefined, "http://minio:9000", "https://s3.example", "http://[::1]:9000"),
  region: fc.constantFrom(undefined, "eu-central-1", "garage"),
  pathStyle: fc.constantFrom(undefined, true, false),
});

test("`decodeVolumeId` gives back what `encodeVolumeId` was given, and only that", () => {
  fc.assert(
    fc.property(locations, (location) => {
      const id = encodeVolumeId(location);
      expect(Buffer.byteLength(id)).toBeLessThanOrEqual(128);
      expect(decodeVolumeId(id)).toEqual(location);
    }),
  );
});

test("`encodeVolumeId` is readable", () => {
  expect(encodeVolumeId({ bucket: "pvc-1", prefix: "" })).toBe("v1:pvc-1");
  expect(encodeVolumeId({ bucket: "pvc-1", prefix: "", region: "eu-central-1", endpoint: "http://minio:9000" })).toBe(
    "v1:pvc-1+endpoint=http://minio:9000+region=eu-central-1",
  );
  expect(encodeVolumeId({ bucket: "shared", prefix: "pvc-1/" })).toBe("v1:shared/pvc-1/");
  expect(encodeVolumeId({ bucket: "Shared.Old", prefix: "ci/m2/", name: "0123abcd", region: "eu-1" })).toBe(
    "v1:Shared.Old/ci/m2/+name=0123abcd+region=eu-1",
  );
});

test("`encodeVolumeId` refuses an endpoint that makes the id too long and says where it belongs", () => {
  const location = { bucket: "x".repeat(63), prefix: "", endpoint: `https://${"y".repeat(60)}.example` };
  expect(() => encodeVolumeId(location)).toThrow(
    expect.objectContaining({ fault: "bad_argument", message: expect.stringMatching(/endpoint in the secret/) }),
  );
});

test("`encodeVolumeId` refuses a value that would read as a further setting", () => {
  expect(() => encodeVolumeId({ bucket: "pvc-1", prefix: "", endpoint: "http://a/b+region=c" })).toThrow(
    expect.objectContaining({ fault: "bad_argument" }),
  );
});

test("`decodeVolumeId` knows nothing of what it did not make", () => {
  const strange = [
    "",
    "x",
    "reallyfakevolumeid",
    "v1:",
    "v1:A",
    "v2:pvc-1",
    "v1:pvc-1+",
    "v1:pvc-1+color=red",
    "v1:pvc-1+region=a+endpoint=b",
    "v1:pvc-1+pathStyle=yes",
    "v1:../x",
    "v1:pvc-1/",
    "v1:shared/pvc-1",
    "v1:shared//",
    "v1:shared/a//b/",
    "v1:shared/../b/",
    "v1:shared/archived/x/",
    "v1:shared/.bucketmount/",
    "v1:/pvc-1/",
    "v1:shared/é/",
    `v1:pvc-1+region=${"x".repeat(130)}`,
  ];
  for (const id of strange) expect(decodeVolumeId(id), id).toBeUndefined();
});
