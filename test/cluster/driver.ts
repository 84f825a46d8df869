/** The driver in the cluster: its chart, installed with helm, and its processes. */
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";
import { isReady, Kubectl, type KubeObject } from "./kubectl.ts";
import { STORE_ENDPOINT, STORE_KEYS } from "./object-store.ts";
import { until } from "./until.ts";

const CHART = join(import.meta.dirname, "../../deploy/helm/bucketmount");
const RELEASE = "bucketmount";
export const DRIVER_NAMESPACE = "bucketmount";
export const DRIVER_NAME = "s3.csi.bucketmount.dev";
/** The class that the chart makes by itself. */
export const STORAGE_CLASS = "bucketmount";

export const COMPONENTS = ["controller", "node", "keeper"] as const;
export type Component = (typeof COMPONENTS)[number];

/** What a newcomer gives: where the store is, and the keys. */
const VALUES = {
  "s3.endpoint": STORE_ENDPOINT,
  "secret.create": "true",
  "secret.accessKeyID": STORE_KEYS.accessKeyId,
  "secret.secretAccessKey": STORE_KEYS.secretAccessKey,
  // There is no name server in the cluster.
  "controller.dnsPolicy": "Default",
  "node.dnsPolicy": "Default",
} as const;

/** Installs the chart, or moves the release to other values; resolves when its pods are ready. */
export async function installChart(cluster: Cluster, values: Readonly<Record<string, string>> = {}): Promise<void> {
  const sets = Object.entries({ ...VALUES, ...values }).map(([name, value]) => `--set-string=${name}=${value}`);
  const bools = sets.map((set) => (/=(true|false)$/.test(set) ? set.replace("--set-string", "--set") : set));
  await cluster.inside(["helm", "upgrade", "--install", RELEASE, CHART, "--namespace", DRIVER_NAMESPACE, "--create-namespace", ...bools]);
  await driverReady(cluster);
}

/** Waits until each component has its pods, of the release's current revision, and all are ready. */
export async function driverReady(cluster: Cluster): Promise<void> {
  const kubectl = new Kubectl(cluster, DRIVER_NAMESPACE);
  await kubectl.run("rollout", "status", `deployment/${RELEASE}-controller`, "--timeout=5m");
  await kubectl.run("rollout", "status", `daemonset/${RELEASE}-node`, "--timeout=5m");
  await until("ready pods of the driver", async () => (await driverPods(cluster)).every(isReady));
  await until("the driver's registration", async () => cluster.inside(["kubectl", "get", "csinode", "-o", "json"]).then(isRegistered));
}

function isRegistered(csiNodes: string): boolean {
  const { items } = JSON.parse(csiNodes) as { items: readonly { spec: { drivers?: readonly { name: string }[] } }[] };
  return items.some(({ spec }) => spec.drivers?.some(({ name }) => name === DRIVER_NAME));
}

export async function driverPods(cluster: Cluster, component?: Component): Promise<readonly KubeObject[]> {
  const selector = component === undefined ? "app.kubernetes.io/name=bucketmount" : `app.kubernetes.io/component=${component}`;
  return new Kubectl(cluster, DRIVER_NAMESPACE).list("pod", `--selector=${selector}`);
}

/** Deletes a component's pods and resolves when others are ready in their place. */
export async function replacePods(cluster: Cluster, component: Component): Promise<void> {
  const before = new Set((await driverPods(cluster, component)).map(({ metadata }) => metadata.uid));
  await new Kubectl(cluster, DRIVER_NAMESPACE).remove("pod", `--selector=app.kubernetes.io/component=${component}`);
  await until(`a new pod of the ${component}`, async () => {
    const pods = await driverPods(cluster, component);
    return pods.length === before.size && pods.every((pod) => isReady(pod) && !before.has(pod.metadata.uid));
  });
}

/** The processes of a mode, by their numbers inside of the cluster. */
export async function driverProcesses(cluster: Cluster, mode: Component | "engine"): Promise<readonly number[]> {
  const script = `
    for p in /proc/[0-9]*; do
      case $(readlink $p/exe) in */node) ;; *) continue ;; esac
      case $(tr '\\0' ' ' < $p/cmdline) in *"cli/main.js ${mode} "*) echo \${p#/proc/} ;; esac
    done 2> /dev/null`;
  return (await cluster.shell(script)).split("\n").filter(Boolean).map(Number);
}

/** Ends processes with SIGKILL. One that ended by itself since it was listed (its pod was being deleted, say) has what it was to have. */
export async function killProcesses(cluster: Cluster, pids: readonly number[]): Promise<void> {
  await cluster.shell(`for p in ${pids.join(" ")}; do kill -KILL $p || [ ! -e /proc/$p ]; done`);
}

/** The chart's ports of /healthz, /readyz and /metrics. */
const HTTP_PORTS = { controller: 9808, node: 9809, keeper: 9810 } as const;

/** Asks a pod's HTTP endpoint, as a probe or Prometheus would. */
export async function httpGet(cluster: Cluster, { status }: KubeObject, component: Component, path: string) {
  const url = `http://${status?.podIP ?? ""}:${HTTP_PORTS[component]}${path}`;
  const script = "const r = await fetch(process.argv[1]); console.log(JSON.stringify({ code: r.status, body: await r.text() }));";
  const answer = await cluster.inside([process.execPath, "--input-type=module", "--eval", script, url]);
  return JSON.parse(answer) as { readonly code: number; readonly body: string };
}
