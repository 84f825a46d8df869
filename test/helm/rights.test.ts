// What the pods may do, who sees the keys, and what the API lets them do.
import { describe, expect, it } from "vitest";
import { containers, only, render, VALUES_FILES, workload, workloads } from "../support/helm-chart.ts";
import type { Manifest } from "../support/kube-types.ts";

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** "events: create patch" for each rule of all roles. */
function rights(manifests: readonly Manifest[], end: string): string[] {
  return manifests
    .filter(({ kind, metadata }) => /^(Cluster)?Role$/.test(kind) && metadata.name.endsWith(end))
    .flatMap((role) => role["rules"] as Rule[])
    .flatMap(({ apiGroups, resources, verbs }) => resources.map((resource) => `${apiGroups[0]}/${resource}: ${verbs.join(" ")}`))
    .toSorted();
}

describe.each(VALUES_FILES)("values %s", (values) => {
  const manifests = render(values);

  it("only the node plugin is privileged", () => {
    for (const { component, name, securityContext } of containers(manifests)) {
      expect(securityContext.readOnlyRootFilesystem, `${component} ${name}`).toBe(true);
      if (component === "node") continue;
      expect(securityContext, `${component} ${name}`).toMatchObject({ allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } });
      expect(securityContext.privileged ?? false).toBe(false);
      expect(securityContext.capabilities.add).toBeUndefined();
    }
  });

  it("the controller's containers run as one user that is not root, whose the socket is", () => {
    for (const { pod } of workloads(manifests).filter(({ component }) => component === "controller")) {
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: "RuntimeDefault" } });
      for (const { securityContext } of pod.containers) expect(securityContext.runAsUser).toBeUndefined();
    }
  });

  it("no pod shares the node's processes", () => {
    for (const { pod } of workloads(manifests)) {
      expect(pod.hostPID ?? false).toBe(false);
      expect(pod.hostIPC ?? false).toBe(false);
    }
  });

  it("no role has a wildcard", () => {
    for (const rule of manifests.flatMap((manifest) => (manifest["rules"] ?? []) as Rule[]))
      expect([...rule.apiGroups, ...rule.resources, ...rule.verbs]).not.toContain("*");
  });

  it("every binding names a role and an account that are there", () => {
    const accounts = workloads(manifests).map(({ pod }) => pod.serviceAccountName);
    for (const { roleRef, subjects, metadata } of manifests.filter(({ kind }) => kind.endsWith("Binding"))) {
      const role = manifests.find(
        ({ kind, metadata: { name, namespace } }) => kind === roleRef.kind && name === roleRef.name && namespace === metadata.namespace,
      );
      expect(role, metadata.name).toBeDefined();
      for (const { name } of subjects) expect(accounts).toContain(name);
    }
  });
});

it("the API lets the controller do the provisioner's work and write Events, and no more", () => {
  expect(rights(render("defaults"), "-controller")).toEqual([
    "/events: create patch",
    "/persistentvolumeclaims: get list watch update",
    "/persistentvolumes: get list watch create patch delete",
    "coordination.k8s.io/leases: get create update",
    "storage.k8s.io/storageclasses: get list watch",
  ]);
});

it("the API lets the node plugin write Events and read volumes, and no more", () => {
  expect(rights(render("defaults"), "-node")).toEqual(["/events: create patch", "/persistentvolumes: get list"]);
});

it("the keeper has no account and no token; without Events the node plugin has no token either", () => {
  const { pod } = workload(render("defaults"), "keeper");
  expect(pod.serviceAccountName).toBeUndefined();
  expect(pod.automountServiceAccountToken).toBe(false);
  expect(workload(render("defaults"), "node").pod.automountServiceAccountToken).toBe(true);
  expect(workload(render("minimal"), "node").pod.automountServiceAccountToken).toBe(false);
});

describe("secrets that StorageClasses name", () => {
  const places = (...args: readonly string[]) =>
    render("defaults", ...args)
      .filter(({ kind, metadata }) => kind.endsWith("Role") && metadata.name.endsWith("-secrets"))
      .map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}`.trim());

  it("are read in the release's namespace", () => {
    expect(places()).toEqual(["Role bucketmount"]);
    expect(rights(render("defaults"), "-secrets")).toEqual(["/secrets: get"]);
  });

  it("and in the namespaces that the values name", () => {
    expect(places("--set", "rbac.secretNamespaces={b,a}")).toEqual(["Role a", "Role b", "Role bucketmount"]);
    expect(places("--set-json", 'storageClasses=[{"name":"x","secret":{"name":"s","namespace":"team"}}]')).toEqual([
      "Role bucketmount",
      "Role team",
    ]);
  });

  it("or everywhere, when asked for", () => {
    expect(places("--set", "rbac.secretNamespaces={*}")).toEqual(["ClusterRole"]);
  });
});

describe("keys", () => {
  it("stand in the Secret alone: in no argument, environment, annotation or other object", () => {
    const manifests = render("everything");
    expect(only(manifests, "Secret")["stringData"]).toEqual({
      accessKeyID: "EXAMPLEKEY",
      secretAccessKey: "example-secret-access-key",
      sessionToken: "example-session-token",
    });
    const others = JSON.stringify(manifests.filter(({ kind }) => kind !== "Secret"));
    for (const text of ["EXAMPLEKEY", "example-secret-access-key", "example-session-token"]) expect(others).not.toContain(text);
  });

  it.each(["everything", "existing-secret"])("values %s: reach the two plugins by reference, and nobody else", (values) => {
    const key = values === "everything" ? "secretAccessKey" : "AWS_SECRET_ACCESS_KEY";
    const name = values === "everything" ? "driver-keys" : "keys-from-elsewhere";
    for (const { component, name: container, env = [] } of containers(render(values))) {
      const secrets = env.filter(({ valueFrom }) => valueFrom?.["secretKeyRef"] !== undefined);
      if (container !== "plugin") expect(secrets, `${component} ${container}`).toEqual([]);
      else expect(secrets).toContainEqual({ name: "AWS_SECRET_ACCESS_KEY", valueFrom: { secretKeyRef: { name, key } } });
    }
  });

  it("new ones in the chart's own Secret start new plugin pods, and leave the keeper alone", () => {
    const checksums = (key: string) =>
      workloads(render("everything", "--set-string", `secret.secretAccessKey=${key}`)).map(
        ({ component, manifest }) => `${component} ${manifest["spec"].template.metadata.annotations["checksum/secret"]}`,
      );
    const [before, after] = [checksums("one"), checksums("two")];
    expect(before.filter((line) => !after.includes(line)).map((line) => line.split(" ")[0])).toEqual(["node", "controller"]);
    expect(before).toContain("keeper undefined");
  });

  it("without a Secret the plugins' environment has none", () => {
    expect(JSON.stringify(containers(render("defaults")).map(({ env }) => env))).not.toContain("AWS_");
  });
});

it("proxies and certificate authorities are the plugins', not the sidecar's or the keeper's", () => {
  const manifests = render("proxy-and-ca");
  for (const { component, name, env = [], volumeMounts } of containers(manifests)) {
    const variables = Object.fromEntries(env.map((entry) => [entry.name, entry.value]));
    const has = name === "plugin";
    expect(variables["HTTPS_PROXY"], `${component} ${name}`).toBe(has ? "http://proxy.example.com:3128" : undefined);
    // The API server is not behind the proxy.
    if (has) expect(variables["NO_PROXY"]?.split(",")).toEqual(expect.arrayContaining(["10.0.0.0/8", "$(KUBERNETES_SERVICE_HOST)"]));
    expect(volumeMounts.some((mount: { name: string }) => mount.name === "ca")).toBe(has);
  }
  expect(workload(manifests, "node").pod.volumes).toContainEqual({ name: "ca", configMap: { name: "company-ca" } });
  expect(() => render("proxy-and-ca", "--set", "tls.caCertSecret=x")).toThrow("give one of them");
});

it("network policies: metrics in, the keeper nowhere", () => {
  const policies = render("everything").filter(({ kind }) => kind === "NetworkPolicy");
  expect(policies.map(({ metadata }) => metadata.name).toSorted()).toEqual(["store-controller", "store-keeper", "store-node"]);
  expect(only(policies, "NetworkPolicy", "-keeper")["spec"]).toMatchObject({ ingress: [], egress: [], policyTypes: ["Ingress", "Egress"] });
  expect(only(policies, "NetworkPolicy", "-controller")["spec"]).toMatchObject({
    ingress: [{ ports: [{ port: 19_808 }, { port: 9811 }], from: [{ namespaceSelector: {} }] }],
    egress: [{ ports: [{ port: 9000 }] }],
  });
});
