/** csi-sanity on the whole driver as it is deployed: controller and node plugin as processes, real engines, real mounts. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Cluster, startCluster } from "../../scripts/demo/cluster.ts";
import { outputOf } from "../support/child-output.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { availableServers, findBinary } from "../support/s3-servers.ts";

const program = findBinary("csi-sanity");
if (program === undefined)
  console.log("SKIPPED csi-sanity: not installed (go install github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0)");
const skip = skipMounts("csi-sanity on the whole driver") || program === undefined;

interface Outcome {
  readonly exitCode: number | null;
  /** "Ran 60 of 92 Specs in 3 seconds ... 60 Passed | 0 Failed | 0 Pending | 32 Skipped" */
  readonly closing: string;
  readonly output: string;
}

async function runSanity(cluster: Cluster): Promise<Outcome> {
  const flags = {
    "csi.endpoint": `unix://${cluster.socket("node")}`,
    "csi.controllerendpoint": `unix://${cluster.socket("controller")}`,
    "csi.mountdir": join(cluster.dir, "sanity-target"),
    "csi.stagingdir": join(cluster.dir, "sanity-staging"),
  };
  const args = [...Object.entries(flags).map(([name, value]) => `--${name}=${value}`), "--ginkgo.no-color"];
  const child = spawn(program ?? "", args, { stdio: ["ignore", "pipe", "pipe"] });
  const { code: exitCode, said: output } = await outputOf(child);
  return { exitCode, closing: /Ran [\s\S]*Skipped/.exec(output)?.[0].replace(/\s+/g, " ") ?? "", output };
}

test.skipIf(skip).each(availableServers())("csi-sanity passes on the whole driver with %s", { timeout: 600_000 }, async (kind) => {
  const cluster = await startCluster(kind);
  try {
    await cluster.addNode("node");
    const { exitCode, closing, output } = await runSanity(cluster);
    console.log(`csi-sanity with ${kind}: ${closing}`);
    expect(exitCode, output.slice(-8000)).toBe(0);
    // Fewer would mean that a declared capability went away.
    expect(Number(/(\d+) Passed/.exec(closing)?.[1])).toBeGreaterThanOrEqual(30);
    expect(cluster.leftovers().filter((one) => one.startsWith("mount "))).toEqual([]);
  } finally {
    await cluster.destroy();
  }
});
