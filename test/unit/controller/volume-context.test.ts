import { expect, test } from "vitest";
import type { VolumeMark } from "#controller/mark.ts";
import { staticStoreOf, volumeContextOf } from "#controller/volume-context.ts";

const MARK = { parameters: {} } as VolumeMark;

test("`volumeContextOf` says where the volume is, and no secret", () => {
  const credentials = { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "topsecretvalue" };
  const store = { endpoint: "http://s3", region: "eu-1", pathStyle: true, credentials, caBundle: "PEM", proxy: "http://u:p@proxy" };
  const mark = { parameters: { storageClass: "STANDARD_IA", versioning: true } } as VolumeMark;
  expect(volumeContextOf({ bucket: "b", prefix: "ci/m2/" }, mark, store)).toEqual({
    ...{ bucket: "b", prefix: "ci/m2/", endpoint: "http://s3", region: "eu-1", pathStyle: "true", storageClass: "STANDARD_IA" },
  });
  expect(volumeContextOf({ bucket: "b", prefix: "" }, MARK, {})).toEqual({ bucket: "b" });
});

test("`staticStoreOf` reads what a person wrote, and needs a bucket", () => {
  expect(staticStoreOf({ bucket: "b", endpoint: "http://s3", pathStyle: "false", prefix: "x" })).toEqual({
    ...{ bucket: "b", endpoint: "http://s3", region: undefined, pathStyle: false },
  });
  expect(staticStoreOf({})).toBeUndefined();
  expect(staticStoreOf({ bucket: "" })).toBeUndefined();
});
