// Kubernetes' own storage tests against the driver: node -C source test/e2e-storage/run.ts COUNTS-FILE
//
// Brings up the cluster of test/cluster with the chart installed, runs every test that Kubernetes has for a CSI driver described by a
// file, and writes the counts as JSON. Exits with 0 when all tests that apply passed.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bringUp } from "../cluster/bring-up.ts";
import { Cluster } from "../cluster/cluster.ts";
import { printState } from "../cluster/diagnosis.ts";
import { type GinkgoReport, type StorageResults, storageResults } from "./report.ts";

const DRIVER = join(import.meta.dirname, "driver.yaml");

const PROGRESS_INTERVAL_MS = 60_000;

/** What this machine cannot run, and why. The kernel's support is asked of the kernel. */
const LEFT_OUT = [
  { pattern: /\[Feature:SELinux\]/, reason: "needs SELinux in the node's kernel", applies: !existsSync("/sys/fs/selinux/enforce") },
  {
    pattern: /any volume data source/,
    reason: "needs the images hello-populator and volume-data-source-validator, whose modules are not to be had",
    applies: true,
  },
].filter(({ applies }) => applies);

async function main([countsFile]: readonly string[]): Promise<number> {
  if (countsFile === undefined) throw new Error("usage: run.ts COUNTS-FILE");
  const kept = process.env["BUCKETMOUNT_CLUSTER"];
  const cluster = new Cluster(kept ?? (await mkdtemp(join(tmpdir(), "bucketmount-cluster-"))));
  if (kept === undefined) cluster.removeOnSignal();
  try {
    if (!existsSync(join(cluster.work, "init.pid"))) await bringUp(cluster);
    const results = await runTests(cluster);
    print(results);
    writeFileSync(countsFile, JSON.stringify(results.counts));
    if (results.counts.failed > 0) await printState(cluster, "tests failed");
    return results.counts.failed === 0 && results.counts.passed > 0 ? 0 : 1;
  } finally {
    if (kept === undefined) await cluster.remove();
  }
}

async function runTests(cluster: Cluster): Promise<StorageResults> {
  const name = "storage-tests.json";
  const report = join(cluster.work, name);
  await rm(report, { force: true });
  const flags = [`--json-report=${name}`, `--output-dir=${cluster.work}`, ...LEFT_OUT.map(({ pattern }) => `--skip=${pattern.source}`)];
  const progress = setInterval(() => printProgress(cluster), PROGRESS_INTERVAL_MS);
  const { stdout, stderr } = await cluster.tryScript("e2e", DRIVER, ...flags);
  clearInterval(progress);
  // Without a report the tests did not even begin: their output tells why.
  if (!existsSync(report)) throw new Error(`the tests ended without a report:\n${(stdout + stderr).slice(-3000)}`);
  return storageResults(JSON.parse(readFileSync(report, "utf8")) as readonly GinkgoReport[], (name) => {
    return LEFT_OUT.find(({ pattern }) => pattern.test(name))?.reason ?? "not chosen";
  });
}

/** Each test that ended has its mark in the output; most of the others, which were not chosen, have another. */
function printProgress(cluster: Cluster): void {
  const log = join(cluster.work, "log/e2e.log");
  const ended = existsSync(log) ? readFileSync(log, "utf8").split("•").length - 1 : 0;
  console.log(`  ${new Date().toISOString().slice(11, 19)} ${ended} tests have ended`);
}

function print({ passed, failed, skipped, counts }: StorageResults): void {
  for (const name of passed) console.log(`  passed  ${name}`);
  for (const name of failed) console.log(`  FAILED  ${name}`);
  console.log(`  skipped ${counts.skipped}, by reason:`);
  for (const [reason, tests] of skipped) console.log(`  ${String(tests).padStart(4)}  ${reason}`);
}

process.exitCode = await main(process.argv.slice(2));
