/** What the files of the suite begin with: the cluster that is up, and a namespace of their own in it. */
import { afterAll, afterEach, beforeAll, inject } from "vitest";
import { Cluster } from "./cluster.ts";
import { printState } from "./diagnosis.ts";
import { Kubectl } from "./kubectl.ts";
import { StoreView } from "./object-store.ts";

export interface Scenario {
  readonly cluster: Cluster;
  /** For the namespace. */
  readonly kubectl: Kubectl;
  readonly store: StoreView;
}

/** Makes the namespace before the file's tests and removes it, with all that is in it, afterwards. A failed test prints the state. */
export function useScenario(namespace: string): Scenario {
  const cluster = new Cluster(inject("cluster"));
  const kubectl = new Kubectl(cluster, namespace);
  const store = new StoreView(cluster);
  beforeAll(async () => {
    await kubectl.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") await printState(cluster, task.name);
  });
  afterAll(async () => {
    store.close();
    if (namespace !== "default") await kubectl.remove("namespace", namespace);
  });
  return { cluster, kubectl, store };
}
