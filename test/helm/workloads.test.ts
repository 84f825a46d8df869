// How the pods run: where, with which folders of the node, how they are replaced.
import { describe, expect, it } from "vitest";
import { containers, only, render, VALUES_FILES, type Workload, workload, workloads } from "../support/helm-chart.ts";

interface Mount {
  readonly name: string;
  readonly mountPath: string;
  readonly mountPropagation?: string;
}

/** Path in the container -> path on the node, with the propagation. */
function folders({ pod }: Workload): Record<string, string> {
  const paths = new Map<string, string>(
    pod.volumes.flatMap((volume: { name: string; hostPath?: { path: string } }) =>
      volume.hostPath ? [[volume.name, volume.hostPath.path]] : [],
    ),
  );
  const mounts = (pod.containers[0].volumeMounts as Mount[]).filter(({ name }) => paths.has(name));
  return Object.fromEntries(
    mounts.map(({ name, mountPath, mountPropagation = "" }) => [mountPath, `${paths.get(name)} ${mountPropagation}`.trim()]),
  );
}

describe.each(VALUES_FILES)("values %s", (values) => {
  const manifests = render(values);

  it("selectors choose the pods of their own component and no others", () => {
    for (const { component, manifest } of workloads(manifests)) {
      const chosen = manifest["spec"].selector.matchLabels;
      expect(manifest["spec"].template.metadata.labels).toMatchObject(chosen);
      for (const other of workloads(manifests).filter((one) => one.component !== component))
        expect(other.manifest["spec"].template.metadata.labels).not.toMatchObject(chosen);
    }
  });

  it("containers say what they need, and are asked how they are where they can tell", () => {
    for (const { component, name, resources, ...container } of containers(manifests)) {
      expect(resources.requests, `${component} ${name}`).toMatchObject({ cpu: expect.any(String), memory: expect.any(String) });
      if (name === "provisioner") continue;
      const ports = container["ports"] as { name: string; containerPort: number }[];
      expect(container["livenessProbe"].httpGet).toEqual({ path: "/healthz", port: ports[0]?.name });
      expect(container.args?.find((arg) => arg.startsWith("--http-endpoint="))?.endsWith(`:${ports[0]?.containerPort}`)).toBe(true);
    }
  });

  it("liveness does not ask for the store: only /readyz may depend on it", () => {
    for (const { name, livenessProbe, readinessProbe } of containers(manifests).filter((one) => one.name === "plugin")) {
      expect([livenessProbe.httpGet.path, readinessProbe.httpGet.path], name).toEqual(["/healthz", "/readyz"]);
    }
  });

  it("no two ports of pods on the node's network are the same", () => {
    const ports = workloads(manifests)
      .filter(({ pod }) => pod.hostNetwork)
      .flatMap(({ pod }) =>
        pod.containers.flatMap((one: { ports: { containerPort: number }[] }) => one.ports.map((port) => port.containerPort)),
      );
    expect(new Set(ports).size).toBe(ports.length);
  });
});

describe("the node plugin", () => {
  it("has the kubelet's folders under their own names, mounts there show on the node, and none lies in another", () => {
    const found = folders(workload(render("defaults"), "node"));
    expect(found).toEqual({
      "/var/lib/kubelet/plugins": "/var/lib/kubelet/plugins Bidirectional",
      "/var/lib/kubelet/pods": "/var/lib/kubelet/pods Bidirectional",
      "/var/lib/kubelet/plugins_registry": "/var/lib/kubelet/plugins_registry",
      "/csi": "/var/lib/kubelet/plugins/s3.csi.bucketmount.dev",
      "/var/lib/bucketmount": "/var/lib/bucketmount",
    });
    const paths = Object.keys(found);
    for (const path of paths) expect(paths.filter((other) => other.startsWith(`${path}/`))).toEqual([]);
  });

  it("follows kubeletDir and stateDir", () => {
    const found = Object.values(folders(workload(render("everything"), "node"))).join(" ");
    expect(found).not.toContain("/var/lib");
    expect(found).toContain("/data/kubelet/pods Bidirectional");
    expect(found).toContain("/data/bucketmount");
  });

  it("runs on every linux node with a processor that the image has, whatever its taints", () => {
    for (const component of ["node", "keeper"]) {
      const { pod } = workload(render("defaults"), component);
      expect(pod.tolerations).toEqual([{ operator: "Exists" }]);
      expect(pod.priorityClassName).toBe("system-node-critical");
      expect(pod.nodeSelector).toEqual({ "kubernetes.io/os": "linux" });
      expect(JSON.stringify(pod.affinity)).toContain('"values":["amd64","arm64"]');
    }
  });

  it("the keeper stands wherever the node plugin does", () => {
    const [node, keeper] = ["node", "keeper"].map((component) => workload(render("everything"), component).pod);
    for (const field of ["nodeSelector", "tolerations", "affinity", "hostNetwork", "dnsPolicy"]) expect(keeper[field]).toEqual(node[field]);
    expect(node).toMatchObject({ nodeSelector: { pool: "work" }, tolerations: [{ key: "work" }], dnsPolicy: "ClusterFirstWithHostNet" });
  });

  it("is replaced on a tenth of the nodes at a time", () => {
    expect(workload(render("defaults"), "node").manifest["spec"].updateStrategy).toEqual({
      type: "RollingUpdate",
      rollingUpdate: { maxUnavailable: "10%" },
    });
  });
});

describe("the keeper", () => {
  it("is never replaced by an upgrade: keeper and node plugin would be away together", () => {
    expect(workload(render("defaults"), "keeper").manifest["spec"].updateStrategy).toEqual({ type: "OnDelete" });
  });

  it("has time to hand over what it holds when it is asked to end while no node plugin runs; not when it hangs", () => {
    const { pod } = workload(render("defaults"), "keeper");
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(300);
    expect(pod.containers[0].livenessProbe.terminationGracePeriodSeconds).toBeLessThanOrEqual(60);
  });

  it("has the folder of its socket, and nothing else of the node", () => {
    const keeper = workload(render("defaults"), "keeper");
    expect(folders(keeper)).toEqual({ "/var/lib/bucketmount/keeper": "/var/lib/bucketmount/keeper" });
    expect(keeper.pod.volumes).toHaveLength(1);
  });

  it("has an image of its own where it is given one", () => {
    const image = (...args: string[]) => workload(render("defaults", ...args), "keeper").pod.containers[0].image;
    expect(image()).toBe("bucketmount/bucketmount:0.1.0");
    expect(image("--set-string", "image.tag=9")).toBe("bucketmount/bucketmount:9");
    expect(image("--set-string", "image.tag=9,keeper.image.tag=8")).toBe("bucketmount/bucketmount:8");
    expect(workload(render("everything"), "keeper").pod.containers[0].image).toBe("registry.example.com/bucketmount:1.2.0");
    expect(workload(render("everything"), "node").pod.containers[0].image).toMatch(/^registry.example.com\/bucketmount:1.2.3@sha256:0123/);
  });
});

describe("the controller", () => {
  it("has two replicas on two nodes where there are two, and one of them at least during a drain", () => {
    const manifests = render("defaults");
    const { manifest, pod } = workload(manifests, "controller");
    expect(manifest["spec"].replicas).toBe(2);
    expect(pod.topologySpreadConstraints).toMatchObject([{ topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "ScheduleAnyway" }]);
    const budget = only(manifests, "PodDisruptionBudget")["spec"];
    expect(budget).toMatchObject({ maxUnavailable: 1, unhealthyPodEvictionPolicy: "AlwaysAllow" });
    expect(budget.selector.matchLabels).toEqual(manifest["spec"].selector.matchLabels);
  });

  it("alone has no budget, which would block every drain", () => {
    expect(render("single-replica").map(({ kind }) => kind)).not.toContain("PodDisruptionBudget");
  });

  it("shares its socket with the sidecars over a volume of the pod", () => {
    const { pod } = workload(render("defaults"), "controller");
    expect(pod.volumes).toEqual([{ name: "socket", emptyDir: {} }]);
    for (const { volumeMounts } of pod.containers) expect(volumeMounts).toContainEqual({ name: "socket", mountPath: "/csi" });
  });

  it("is left out with all that is only its own when nothing is provisioned", () => {
    const names = render("static-only").map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(names.filter((name) => /controller|secrets|StorageClass|test/.test(name))).toEqual([]);
    expect(names).toContain("CSIDriver s3.csi.bucketmount.dev");
  });
});

it("everything: what is passed through arrives", () => {
  const manifests = render("everything");
  for (const component of ["controller", "node"]) {
    const { pod, manifest } = workload(manifests, component);
    const [plugin] = pod.containers;
    expect(plugin.env).toContainEqual({ name: "FURTHER", value: "1" });
    expect(plugin.volumeMounts).toContainEqual({ name: "further", mountPath: "/further" });
    expect(pod.volumes).toContainEqual({ name: "further", emptyDir: {} });
    expect(pod.initContainers).toMatchObject([{ name: "first" }]);
    expect(pod.dnsConfig).toEqual({ nameservers: ["10.0.0.2"] });
    expect(pod.imagePullSecrets).toEqual([{ name: "registry" }]);
    expect(manifest["spec"].template.metadata.labels).toMatchObject({ "example.com/pod": component, team: "storage" });
    expect(manifest["spec"].template.metadata.annotations).toMatchObject({ "example.com/pod": component });
  }
  for (const { metadata } of manifests.filter((one) => one.metadata.annotations?.["helm.sh/hook"] === undefined))
    expect(metadata.annotations, metadata.name).toMatchObject({ "example.com/owner": "storage" });
  expect(only(manifests, "ServiceAccount", "-node").metadata.name).toBe("store-node");
});

it("helm test writes through a claim as a user that is not root, with our own image", () => {
  const manifests = render("defaults");
  const pod = only(manifests, "Pod")["spec"];
  const claim = only(manifests, "PersistentVolumeClaim");
  expect(claim["spec"]).toMatchObject({ storageClassName: "bucketmount", accessModes: ["ReadWriteMany"] });
  expect(pod.volumes).toEqual([{ name: "volume", persistentVolumeClaim: { claimName: claim.metadata.name } }]);
  expect(pod.containers[0]).toMatchObject({
    image: "bucketmount/bucketmount:0.1.0",
    command: ["/usr/local/bin/node", "--eval", expect.any(String)],
  });
  expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000 });
  expect(only(render("everything"), "PersistentVolumeClaim")["spec"].storageClassName).toBe("plain");
});
