// What Kubernetes does for a claim that two pods share, on this machine alone: npm run demo -- [--path DIR] [--keep]
//
// The embedded S3 server, the controller and the node plugin run as real processes. One pod copies a real tree into the volume, the
// other reads it back through its own mount point and compares every byte. Exit code 0 only if all was equal and nothing is left.
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { viewBuckets } from "./demo/bucket-view.ts";
import { type Cluster, type ClusterNode, startCluster, type Volume } from "./demo/cluster.ts";
import { count, createReporter, formatBytes, type Reporter } from "./demo/report.ts";
import { runPod } from "./demo/run-pod.ts";
import { unfitForMounts } from "./suites.ts";

interface Options {
  readonly path: string;
  readonly keep: boolean;
}

const DEFAULT_TREE = "node_modules";
const DIFFERENCES_SHOWN = 10;
/** An engine that was unmounted still has to notice and end. */
const LEFTOVERS_MS = 10_000;

async function copyAndCompare(node: ClusterNode, volume: Volume, path: string, report: Reporter): Promise<boolean> {
  const first = await report.step("NodePublishVolume for the first pod", () => node.publish(volume, "first"));
  const second = await report.step("NodePublishVolume for the second pod", () => node.publish(volume, "second"));
  await report.step(`first pod copies ${path} in`, (progress) => runPod("copy", path, first, progress));
  const { entries, bytes, differences } = await report.step("second pod compares every byte", (progress) =>
    runPod("compare", path, second, progress),
  );
  for (const difference of differences.slice(0, DIFFERENCES_SHOWN)) report.say(`  ${difference}`);
  const equal = differences.length === 0;
  report.say(
    equal
      ? `  equal: ${count(entries)} entries, ${formatBytes(bytes)}`
      : `  ${count(differences.length)} of ${count(entries)} entries differ`,
  );
  return equal;
}

async function showObjects(cluster: Cluster, report: Reporter): Promise<void> {
  const view = viewBuckets(cluster.s3);
  try {
    for (const bucket of await view.buckets()) {
      let objects = 0;
      for await (const _key of view.keys(bucket)) objects += 1;
      report.say(`  s3://${bucket}: ${count(objects)} objects, the first of them as S3 lists them`);
      for (const { key, size } of await view.sample(bucket, 6)) report.say(`  ${formatBytes(size).padStart(12)}  ${key}`);
    }
  } finally {
    view.close();
  }
}

/** Unmounts and deletes; answers what is left of it all. */
async function cleanUp(cluster: Cluster, node: ClusterNode, volume: Volume, report: Reporter): Promise<string[]> {
  await report.step("NodeUnpublishVolume, both pods", async () => {
    await node.unpublish(volume, "first");
    await node.unpublish(volume, "second");
  });
  await report.step("NodeUnstageVolume", () => node.unstage(volume));
  await report.step("DeleteVolume", () => cluster.deleteVolume(volume));
  const view = viewBuckets(cluster.s3);
  const buckets = (await view.buckets().finally(() => view.close())).map((bucket) => `bucket ${bucket}`);
  await report.step("stop the plugins and the S3 server", () => cluster.stop());
  const deadline = Date.now() + LEFTOVERS_MS;
  while (cluster.leftovers().length > 0 && Date.now() < deadline) await sleep(100);
  return [...buckets, ...cluster.leftovers()];
}

/** All steps; answers true when every byte was equal and nothing is left. */
async function walkThrough(cluster: Cluster, { path, keep }: Options, report: Reporter): Promise<boolean> {
  const node = await report.step("start the node plugin", () => cluster.addNode("node"));
  report.say(`  S3 at ${cluster.s3.endpoint}, sockets and logs in ${cluster.dir}`);
  const volume = await report.step("CreateVolume", () => cluster.createVolume("pvc-demo"));
  report.say(`  volume ${volume.volumeId}`);
  await report.step("NodeStageVolume: the engine mounts the bucket", () => node.stage(volume));
  const equal = await copyAndCompare(node, volume, path, report);
  await showObjects(cluster, report);
  const left = keep ? [] : await cleanUp(cluster, node, volume, report);
  report.say(`\n${report.table()}`);
  for (const one of left) report.say(`left behind: ${one}`);
  return equal && left.length === 0;
}

/** Resolves at Ctrl-C or SIGTERM. */
function untilAsked(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
}

async function demo(options: Options): Promise<number> {
  const report = createReporter(process.stdout);
  const cluster = await report.step("start the S3 server and the controller", () => startCluster());
  const asked = untilAsked();
  try {
    const good = await Promise.race([walkThrough(cluster, options, report), asked]);
    if (good === undefined) return 130;
    report.say(good ? `demo: all equal${options.keep ? "" : ", nothing left behind"}` : "demo: FAILED");
    if (!options.keep) return good ? 0 : 1;
    report.say(`Kept until Ctrl-C. The two pods' views: ${cluster.dir}/node/pods/first/mount and ${cluster.dir}/node/pods/second/mount`);
    await asked;
    return good ? 0 : 1;
  } finally {
    await cluster.destroy();
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { path: { type: "string", default: DEFAULT_TREE }, keep: { type: "boolean", default: false } } });
  const unfit = unfitForMounts();
  if (unfit === undefined) return demo(values);
  console.error(`demo: cannot mount here: ${unfit}`);
  return 1;
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
  return 1;
});
