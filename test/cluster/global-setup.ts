/**
 * One cluster for all files of the suite: brought up, filled with images, the object store and the installed chart; ended afterwards.
 * BUCKETMOUNT_CLUSTER=FOLDER keeps it: what is up there is used as it is, and stays up.
 */
import { existsSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { bringUp } from "./bring-up.ts";
import { Cluster } from "./cluster.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The cluster's work folder. */
    cluster: string;
  }
}

const kept = process.env["BUCKETMOUNT_CLUSTER"];
let work: string | undefined;

export async function setup(project: TestProject): Promise<void> {
  work = kept ?? (await mkdtemp(join(tmpdir(), "bucketmount-cluster-")));
  project.provide("cluster", work);
  if (kept !== undefined && existsSync(join(kept, "init.pid"))) return;
  const cluster = new Cluster(work);
  if (kept === undefined) cluster.removeOnSignal();
  try {
    await bringUp(cluster);
  } catch (error) {
    await teardown();
    throw error;
  }
}

export async function teardown(): Promise<void> {
  if (work === undefined || kept !== undefined) return;
  await new Cluster(work).remove();
}
