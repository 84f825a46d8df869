// The Kubernetes examples: manifests of the right form that fit each other, the chart and the driver.
import { existsSync, globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { parseParameters } from "#controller/parameters.ts";
import { parseMountOptions } from "#core/options.ts";
import { parseVolumeContext } from "#node/volume-context.ts";
import { type Manifest, readManifests, typeErrors } from "../support/kube-types.ts";

const EXAMPLES = [...new Set(globSync("examples/**/*.yaml").map((file) => dirname(file)))].toSorted();
const VALUES = parse(readFileSync("deploy/helm/bucketmount/values.yaml", "utf8")) as {
  readonly driverName: string;
  readonly storageClasses: readonly { readonly name: string }[];
};

function manifestsOf(folder: string): Manifest[] {
  return globSync(`${folder}/*.yaml`).flatMap(readManifests);
}

function ofKind(manifests: readonly Manifest[], kind: string): Manifest[] {
  return manifests.filter((manifest) => manifest.kind === kind);
}

function namesOf(manifests: readonly Manifest[], kind: string): string[] {
  return ofKind(manifests, kind).map(({ metadata }) => metadata.name);
}

it("there are examples", () => {
  expect(EXAMPLES).toEqual(["examples/maven-cache/kubernetes", "examples/npm-cache", "examples/shared-prefix", "examples/static-bucket"]);
});

describe.each(EXAMPLES)("%s", (folder) => {
  const manifests = manifestsOf(folder);
  const pods = ofKind(manifests, "Job").map((job) => job["spec"].template.spec);
  const readme = readFileSync(join(folder, "README.md"), "utf8");

  it("is of Kubernetes' types", () => {
    expect(manifests.flatMap(typeErrors)).toEqual([]);
  });

  it("claims volumes that somebody provides", () => {
    const classes = [...namesOf(manifests, "StorageClass"), ...VALUES.storageClasses.map(({ name }) => name)];
    for (const { spec } of ofKind(manifests, "PersistentVolumeClaim")) {
      if (spec.volumeName === undefined) expect(classes).toContain(spec.storageClassName);
      else expect(namesOf(manifests, "PersistentVolume")).toContain(spec.volumeName);
    }
  });

  it("tells the driver what it understands", () => {
    for (const { provisioner, parameters = {}, mountOptions = [] } of ofKind(manifests, "StorageClass")) {
      expect(provisioner).toBe(VALUES.driverName);
      expect(() => parseMountOptions(mountOptions)).not.toThrow();
      // What the provisioner adds to every call.
      const claim = { "csi.storage.k8s.io/pvc/name": "a", "csi.storage.k8s.io/pvc/namespace": "b", "csi.storage.k8s.io/pv/name": "c" };
      expect(() => parseParameters({ ...parameters, ...claim })).not.toThrow();
    }
    for (const { spec } of ofKind(manifests, "PersistentVolume")) {
      expect(spec.csi.driver).toBe(VALUES.driverName);
      expect(() => parseVolumeContext(spec.csi.volumeAttributes)).not.toThrow();
      expect(() => parseMountOptions(spec.mountOptions ?? [])).not.toThrow();
    }
  });

  it("has pods that run as nobody special and use claims and ConfigMaps of the example", () => {
    expect(pods.length).toBeGreaterThan(0);
    for (const { securityContext, containers, volumes } of pods) {
      expect(securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
      for (const container of containers)
        expect(container.securityContext).toMatchObject({ allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } });
      for (const { persistentVolumeClaim, configMap } of volumes) {
        if (persistentVolumeClaim) expect(namesOf(manifests, "PersistentVolumeClaim")).toContain(persistentVolumeClaim.claimName);
        if (configMap && !configMap.optional) expect(namesOf(manifests, "ConfigMap")).toContain(configMap.name);
      }
    }
  });

  it("has a README whose commands name files and jobs that are there", () => {
    const files = [...readme.matchAll(/-f ([\w-]+\.yaml)/g)].map((match) => match[1] ?? "");
    expect([...new Set(files)].toSorted()).toEqual(
      globSync(`${folder}/*.yaml`)
        .map((file) => basename(file))
        .toSorted(),
    );
    expect(files.filter((file) => !existsSync(join(folder, file)))).toEqual([]);
    const jobs = [...readme.matchAll(/job\/([\w-]+)/g)].map((match) => match[1] ?? "");
    expect([...new Set(jobs)].toSorted()).toEqual(namesOf(manifests, "Job").toSorted());
  });
});

it("the Maven example builds the project that stands beside it", () => {
  const folder = "examples/maven-cache";
  const [project] = readManifests(`${folder}/kubernetes/project.yaml`);
  const [job] = readManifests(`${folder}/kubernetes/builds.yaml`);
  const volume = job?.["spec"].template.spec.volumes.find((one: { name: string }) => one.name === "project");
  const items = volume.configMap.items as { key: string; path: string }[];
  expect(items.map(({ key }) => key)).toEqual(Object.keys(project?.["data"]));
  for (const { key, path } of items) expect(project?.["data"][key], path).toBe(readFileSync(join(folder, path), "utf8"));
});

it("the npm example's lock file is that of its package.json", () => {
  const [project] = readManifests("examples/npm-cache/project.yaml");
  const [manifest, lock] = ["package.json", "package-lock.json"].map((name) => JSON.parse(project?.["data"][name]));
  expect(lock.packages[""].dependencies).toEqual(manifest.dependencies);
  for (const name of Object.keys(manifest.dependencies))
    expect(lock.packages[`node_modules/${name}`].resolved).toMatch(/^https:\/\/registry\.npmjs\.org\//);
});
