// CSIDriver and StorageClasses: what they say, and that an upgrade never asks for a change that Kubernetes refuses.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { parseParameters } from "#controller/parameters.ts";
import { parseMountOptions } from "#core/options.ts";
import { CHART, only, render, VALUES_FILES, workloads } from "../support/helm-chart.ts";
import type { Manifest } from "../support/kube-types.ts";

function classes(manifests: readonly Manifest[]): Manifest[] {
  return manifests.filter(({ kind }) => kind === "StorageClass");
}

describe("CSIDriver", () => {
  it("says how the driver works", () => {
    const { metadata, ...driver } = only(render("defaults"), "CSIDriver");
    expect(metadata.name).toBe("s3.csi.bucketmount.dev");
    expect(driver["spec"]).toEqual({
      attachRequired: false,
      volumeLifecycleModes: ["Persistent"],
      podInfoOnMount: true,
      fsGroupPolicy: "None",
      requiresRepublish: true,
      seLinuxMount: true,
      storageCapacity: false,
    });
  });

  it("takes what may be chosen from the values", () => {
    const { metadata, ...driver } = only(render("everything"), "CSIDriver");
    expect(metadata).toMatchObject({ name: "s3.example.com", annotations: { "example.com/driver": "yes" } });
    expect(driver["spec"]).toMatchObject({ requiresRepublish: false, seLinuxMount: false });
  });
});

describe("StorageClasses", () => {
  it("have parameters that the controller takes, and mount options that the node takes", () => {
    const all = VALUES_FILES.flatMap((values) => classes(render(values)));
    expect(all.length).toBeGreaterThan(3);
    for (const { parameters = {}, mountOptions = [] } of all) {
      expect(() => parseParameters(parameters)).not.toThrow();
      expect(() => parseMountOptions(mountOptions)).not.toThrow();
    }
  });

  it("are made from the values, the secret for every call that takes one", () => {
    const [buckets, plain] = classes(render("everything"));
    expect(buckets).toMatchObject({
      metadata: { name: "buckets", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
      provisioner: "s3.example.com",
      reclaimPolicy: "Retain",
      volumeBindingMode: "WaitForFirstConsumer",
      allowVolumeExpansion: false,
      mountOptions: ["metadata_ttl=5"],
    });
    expect(buckets?.["parameters"]).toEqual({
      versioning: "true",
      tags: "team=storage",
      "csi.storage.k8s.io/provisioner-secret-name": "team-keys",
      "csi.storage.k8s.io/provisioner-secret-namespace": "team",
      "csi.storage.k8s.io/node-stage-secret-name": "team-keys",
      "csi.storage.k8s.io/node-stage-secret-namespace": "team",
      "csi.storage.k8s.io/node-publish-secret-name": "team-keys",
      "csi.storage.k8s.io/node-publish-secret-namespace": "team",
    });
    expect(plain).toMatchObject({ reclaimPolicy: "Delete", volumeBindingMode: "Immediate" });
    expect(plain).not.toHaveProperty("parameters");
  });
});

describe("an upgrade", () => {
  const UPGRADE = [
    "--set",
    "image.tag=9.9.9",
    "--set",
    "logLevel=debug",
    "--set",
    "customLabels.new=label",
    "--set",
    "commonAnnotations.new=text",
  ];
  const before = render("defaults");
  const after = render("defaults", ...UPGRADE);

  it("changes the workloads", () => {
    expect(workloads(after).map(({ pod }) => pod.containers[0].image)).toEqual(Array(3).fill("bucketmount/bucketmount:9.9.9"));
  });

  it("keeps what Kubernetes does not let change", () => {
    const fixed = (manifests: readonly Manifest[]) => [
      ...workloads(manifests).map(({ manifest }) => [manifest.metadata.name, manifest["spec"].selector]),
      ...manifests
        .filter(({ kind }) => kind === "CSIDriver")
        .map(({ metadata, ...driver }) => [metadata.name, driver["spec"].attachRequired, driver["spec"].volumeLifecycleModes]),
      ...classes(manifests).map((one) => [
        one.metadata.name,
        one["provisioner"],
        one["parameters"],
        one["reclaimPolicy"],
        one["volumeBindingMode"],
      ]),
      ...manifests.filter(({ kind }) => kind.endsWith("Binding")).map((one) => [one.metadata.name, one["roleRef"]]),
      ...manifests.filter(({ kind }) => kind === "Service").map((one) => [one.metadata.name, one["spec"].clusterIP]),
    ];
    expect(fixed(after)).toEqual(fixed(before));
    expect(fixed(before).length).toBeGreaterThan(8);
  });

  it("and an uninstallation leave CSIDriver and StorageClasses where they are", () => {
    for (const manifest of [only(before, "CSIDriver"), ...classes(before)])
      expect(manifest.metadata.annotations).toMatchObject({ "helm.sh/resource-policy": "keep" });
  });
});

it("Chart.yaml has the version of package.json", () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  expect(parse(readFileSync(`${CHART}/Chart.yaml`, "utf8"))).toMatchObject({ version, appVersion: version });
});

it("Kubernetes that is too old is refused", () => {
  expect(() => render("defaults", "--kube-version", "1.30.0")).toThrow("kubeVersion");
  expect(() => render("defaults", "--kube-version", "1.37.2")).not.toThrow();
});
