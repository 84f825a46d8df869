/** Kubernetes' own conformance suite, csi-sanity, on Identity and Controller, with a real S3 server behind them. */
import { spawn } from "node:child_process";
import { expect, test } from "vitest";
import { availableServers, findBinary } from "../support/s3-servers.ts";
import { startControllerWorld } from "./controller-world.ts";

const program = findBinary("csi-sanity");
if (program === undefined)
  console.log("csi-sanity: not run: not installed (go install github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0)");

interface Outcome {
  readonly exitCode: number | null;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly output: string;
}

/** Not spawnSync: the server that answers is in this process. */
function runSanity(file: string, socketPath: string): Promise<Outcome> {
  const parameters = [
    "--csi.endpoint",
    `unix://${socketPath}`,
    "--ginkgo.focus",
    "Identity Service|Controller Service",
    "--ginkgo.no-color",
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(file, parameters, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    child.once("error", reject);
    child.once("close", (exitCode) => {
      const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(output.slice(output.lastIndexOf("Ran ")))?.[1] ?? 0);
      resolve({ exitCode, passed: count("Passed"), failed: count("Failed"), skipped: count("Skipped"), output });
    });
  });
}

for (const kind of availableServers()) {
  test.runIf(program !== undefined)(`csi-sanity's Identity and Controller suites pass on ${kind}`, { timeout: 300_000 }, async () => {
    const world = await startControllerWorld(kind);
    try {
      const { output, ...outcome } = await runSanity(program ?? "", world.socketPath);
      console.log(`csi-sanity on ${kind}: ${outcome.passed} passed, ${outcome.failed} failed, ${outcome.skipped} skipped`);
      expect(outcome, output.slice(-4000)).toMatchObject({ exitCode: 0, failed: 0 });
      // Fewer means that the focus no longer finds the suites.
      expect(outcome.passed).toBeGreaterThanOrEqual(18);
    } finally {
      await world.stop();
    }
  });
}
