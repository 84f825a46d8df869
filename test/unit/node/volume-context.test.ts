import { expect, test } from "vitest";
import { parseVolumeContext } from "#node/volume-context.ts";

test("`parseVolumeContext` reads what CreateVolume wrote, and passes over the orchestrator's own", () => {
  const context = {
    bucket: "pvc-1",
    endpoint: "http://minio:9000/",
    region: "eu-central-1",
    pathStyle: "true",
    "csi.storage.k8s.io/pod.name": "pod",
    "storage.kubernetes.io/csiProvisionerIdentity": "1-8081-s3",
  };
  expect(parseVolumeContext(context)).toEqual({
    bucket: "pvc-1",
    prefix: "",
    endpoint: "http://minio:9000",
    region: "eu-central-1",
    pathStyle: true,
  });
});

test.each([
  ["", ""],
  ["/", ""],
  ["a", "a/"],
  ["/a/b/", "a/b/"],
])("`parseVolumeContext` takes the prefix %j as %j", (given, prefix) => {
  expect(parseVolumeContext({ bucket: "b-1", prefix: given }).prefix).toBe(prefix);
});

test.each([
  [{}, /bucket is missing/],
  [{ bucket: "" }, /bucket must be .* not ""/],
  [{ bucket: "a/b" }, /bucket must be/],
  [{ bucket: "b-1", prefix: "a//b" }, /prefix must be .* not "a\/\/b"/],
  [{ bucket: "b-1", prefix: "../b" }, /prefix must be/],
  [{ bucket: "b-1", endpoint: "minio:9000" }, /endpoint must be a URL/],
  [{ bucket: "b-1", region: "eu central" }, /region must be/],
  [{ bucket: "b-1", pathStyle: "yes" }, /pathStyle must be true or false, not "yes"/],
  [{ bucket: "b-1", buckte: "x" }, /"buckte" is not known; known: bucket, prefix/],
])("`parseVolumeContext` refuses %j by name", (context, message) => {
  expect(() => parseVolumeContext(context as Record<string, string>)).toThrow(message);
});
