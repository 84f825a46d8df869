/** The chart as Helm renders it. Without a cluster: `lookup` finds nothing. */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { basename } from "node:path";
import { helmProgram } from "../../scripts/helm-program.ts";
import { type Manifest, parseManifests } from "./kube-types.ts";

export const CHART = "deploy/helm/bucketmount";

/** The values files that the suites render, by name. */
export const VALUES_FILES: readonly string[] = globSync("test/helm/values/*.yaml")
  .map((file) => basename(file, ".yaml"))
  .toSorted();

export interface HelmResult {
  readonly ok: boolean;
  readonly output: string;
}

/** Runs Helm; its failure is a result, too. */
export function helm(...args: readonly string[]): HelmResult {
  const program = helmProgram();
  if (program === undefined) throw new Error("no helm: scripts/suites.ts says how to get it");
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", env: { ...process.env, KUBECONFIG: "/dev/null" } });
  return { ok: status === 0, output: status === 0 ? stdout : stderr };
}

export const RELEASE = { name: "bucketmount", namespace: "bucketmount" } as const;

/** `helm template` with a values file of ours and further arguments (`--set a=b`). */
export function template(values: string, ...args: readonly string[]): HelmResult {
  const { name, namespace } = RELEASE;
  return helm("template", name, CHART, "--namespace", namespace, "--values", `test/helm/values/${values}.yaml`, ...args);
}

/** The objects. Throws Helm's words when it refuses. */
export function render(values: string, ...args: readonly string[]): Manifest[] {
  const { ok, output } = template(values, ...args);
  if (!ok) throw new Error(output);
  return parseManifests(output);
}

/** The one object of a kind whose name ends so. Throws when there is none, or more than one. */
export function only(manifests: readonly Manifest[], kind: string, end = ""): Manifest {
  const found = manifests.filter((manifest) => manifest.kind === kind && manifest.metadata.name.endsWith(end));
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} objects ${kind} *${end}`);
  return found[0];
}

export interface Workload {
  readonly component: string;
  readonly manifest: Manifest;
  // biome-ignore lint/suspicious/noExplicitAny: a PodSpec, into which tests look by path
  readonly pod: any;
}

/** Deployment and DaemonSets, by component. */
export function workloads(manifests: readonly Manifest[]): Workload[] {
  return manifests
    .filter(({ kind }) => kind === "Deployment" || kind === "DaemonSet")
    .map((manifest) => ({
      component: manifest.metadata.labels?.["app.kubernetes.io/component"] ?? "",
      manifest,
      pod: manifest["spec"].template.spec,
    }));
}

/** The workload of a component. Throws when there is none. */
export function workload(manifests: readonly Manifest[], component: string): Workload {
  const found = workloads(manifests).find((one) => one.component === component);
  if (found === undefined) throw new Error(`no workload ${component}`);
  return found;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: Readonly<Record<string, unknown>> }[];
  // biome-ignore lint/suspicious/noExplicitAny: the rest of a container, into which tests look by path
  readonly [field: string]: any;
}

export function containers(manifests: readonly Manifest[]): (Container & { readonly component: string })[] {
  return workloads(manifests).flatMap(({ component, pod }) =>
    (pod.containers as Container[]).map((container) => ({ ...container, component })),
  );
}
