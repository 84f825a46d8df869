import type { Cluster } from "./cluster.ts";
import { printState } from "./diagnosis.ts";
import { installChart } from "./driver.ts";
import { loadImages } from "./images.ts";
import { startObjectStore } from "./object-store.ts";

/** Brings the cluster up, with images, object store and the installed chart. Prints each step's time. Throws when a step fails. */
export async function bringUp(cluster: Cluster): Promise<void> {
  try {
    await step("up.sh: a new cluster", () => cluster.script("up"));
    await step("the images, made and loaded", () => loadImages(cluster));
    await step("versitygw", () => startObjectStore(cluster));
    await step("helm install, until all pods are ready", () => installChart(cluster));
  } catch (error) {
    await printState(cluster, "the set-up failed");
    throw error;
  }
}

async function step(name: string, run: () => Promise<unknown>): Promise<void> {
  const started = Date.now();
  await run();
  console.log(`  ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
}
