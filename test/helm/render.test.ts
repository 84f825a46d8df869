// Every values file: Helm's linter, Kubernetes' types, and what must be true of any rendering.
import { describe, expect, it } from "vitest";
import { CHART, helm, RELEASE, render, template, VALUES_FILES } from "../support/helm-chart.ts";
import { isKnownKind, typeErrors } from "../support/kube-types.ts";

const CLUSTER_SCOPED = ["ClusterRole", "ClusterRoleBinding", "CSIDriver", "StorageClass"];

describe.each(VALUES_FILES)("values %s", (values) => {
  it("passes helm lint --strict", () => {
    expect(helm("lint", "--strict", CHART, "--values", `test/helm/values/${values}.yaml`)).toMatchObject({ ok: true });
  });

  it("renders objects that Kubernetes' types know", () => {
    expect(render(values).flatMap(typeErrors)).toEqual([]);
  });

  it("renders each object once, in the release's namespace, with the labels that Kubernetes recommends", () => {
    const manifests = render(values);
    const names = manifests.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
    for (const { kind, metadata } of manifests) {
      if (CLUSTER_SCOPED.includes(kind)) expect(metadata.namespace).toBeUndefined();
      else expect(metadata.namespace, `${kind} ${metadata.name}`).toBeTruthy();
      expect(metadata.labels).toMatchObject({ "app.kubernetes.io/name": "bucketmount", "app.kubernetes.io/instance": RELEASE.name });
    }
  });

  it("gives no line blanks at its end", () => {
    const lines = template(values).output.split("\n");
    expect(lines.filter((line) => / $/.test(line))).toEqual([]);
  });
});

it("the type check finds unknown fields and wrong types", () => {
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "x" }, spec: { containers: [{ name: 1, imag: "y" }] } };
  expect(typeErrors(pod as never)).toEqual(["Pod.spec.containers[0].name: 1 is no string", "Pod.spec.containers[0].imag: unknown"]);
});

it("only the Prometheus operator's kinds are beyond the type check", () => {
  const kinds = render("everything")
    .filter((manifest) => !isKnownKind(manifest))
    .map(({ kind }) => kind);
  expect([...new Set(kinds)].toSorted()).toEqual(["PrometheusRule", "ServiceMonitor"]);
});

it("the notes say the next command, and what they say of claims fits the values", () => {
  const notes = (values: string) =>
    helm("install", "b", CHART, "--dry-run=client", "--values", `test/helm/values/${values}.yaml`).output.split("NOTES:")[1];
  expect(notes("defaults")).toContain("rollout status daemonset/b-bucketmount-node");
  expect(notes("defaults")).toContain("storageClassName: bucketmount");
  expect(notes("static-only")).toContain("Nothing is provisioned");
  expect(notes("everything")).not.toContain("has no keys of its own");
});
