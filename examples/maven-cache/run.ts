// Two builds, two nodes, one Maven repository in a bucket. `run` beside this file starts it.
//
// The first runner downloads what the build needs and so fills the volume. Then its engine ends, and the second runner starts on
// another node with an empty cache: it builds offline, so whatever it uses comes from the bucket.
import { spawn } from "node:child_process";
import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { viewBuckets } from "../../scripts/demo/bucket-view.ts";
import { type Cluster, startCluster, type Volume } from "../../scripts/demo/cluster.ts";
import { createReporter, type Reporter } from "../../scripts/demo/report.ts";
import { unfitForMounts } from "../../scripts/suites.ts";

const PROJECT = import.meta.dirname;

/** Runs Maven in a runner's own checkout of the project; throws unless it says BUILD SUCCESS. */
async function build(checkout: string, repository: string, flags: readonly string[]): Promise<void> {
  await mkdir(checkout, { recursive: true });
  await cp(join(PROJECT, "pom.xml"), join(checkout, "pom.xml"));
  await cp(join(PROJECT, "src"), join(checkout, "src"), { recursive: true });
  const args = ["--batch-mode", "--no-transfer-progress", `-Dmaven.repo.local=${repository}`, ...flags, "verify"];
  const maven = spawn("mvn", args, { cwd: checkout, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  maven.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    maven.once("error", reject);
    maven.once("close", resolve);
  });
  const told = output.split("\n").filter((line) => /Tests run:.*Time|BUILD|Building jar|ERROR/.test(line));
  for (const line of told) console.log(`  ${line}`);
  if (code !== 0 || !output.includes("BUILD SUCCESS")) throw new Error(`mvn ${args.join(" ")}: exit code ${code}\n${output.slice(-2000)}`);
}

/** One runner: a node of its own, the volume staged and published, a build, everything undone. */
async function runner(cluster: Cluster, volume: Volume, name: string, flags: readonly string[], report: Reporter): Promise<void> {
  const node = await report.step(`${name}: start a node plugin with an empty cache`, () => cluster.addNode(name));
  const path = await report.step(`${name}: NodeStageVolume, NodePublishVolume`, async () => {
    await node.stage(volume);
    return node.publish(volume, "runner");
  });
  await report.step(`${name}: mvn ${[...flags, "verify"].join(" ")}`, () =>
    build(join(cluster.dir, `${name}-checkout`), join(path, "repository"), flags),
  );
  await report.step(`${name}: NodeUnpublishVolume, NodeUnstageVolume`, async () => {
    await node.unpublish(volume, "runner");
    await node.unstage(volume);
  });
}

/** Plain keys: the bucket is a Maven repository for anybody. */
async function showJars(cluster: Cluster, bucket: string): Promise<void> {
  const view = viewBuckets(cluster.s3);
  try {
    const keys: string[] = [];
    for await (const key of view.keys(bucket)) keys.push(key);
    const jars = keys.filter((key) => key.endsWith(".jar"));
    console.log(`  s3://${bucket}: ${keys.length} objects, ${jars.length} of them jars, such as`);
    const known = jars.filter((key) => /commons-lang3|jackson-databind|junit-jupiter-api/.test(key));
    for (const key of known) console.log(`    ${key}`);
    if (known.length < 3) throw new Error(`the bucket has no jars of the project's dependencies: ${jars.slice(0, 5).join(", ")}`);
  } finally {
    view.close();
  }
}

async function main(): Promise<void> {
  const unfit = unfitForMounts();
  if (unfit !== undefined) throw new Error(`cannot mount here: ${unfit}`);
  const report = createReporter(process.stdout);
  const cluster = await report.step("start the S3 server and the controller", () => startCluster());
  try {
    const volume = await report.step("CreateVolume", () => cluster.createVolume("maven-cache"));
    await runner(cluster, volume, "first", [], report);
    const view = viewBuckets(cluster.s3);
    const buckets = await view.buckets().finally(() => view.close());
    for (const bucket of buckets) await showJars(cluster, bucket);
    await runner(cluster, volume, "second", ["--offline"], report);
    await report.step("DeleteVolume", () => cluster.deleteVolume(volume));
    console.log(`\n${report.table()}\nmaven-cache: both builds succeeded, the second one offline`);
  } finally {
    await cluster.destroy();
  }
}

await main().catch((error: unknown) => {
  console.error(`maven-cache: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
