/**
 * Kubernetes' own conformance suite, csi-sanity, whole: Identity, Controller and Node, with a real S3 server and real mounts behind them. Once
 * with a bucket for each volume, once with volumes that are prefixes in a shared bucket.
 */
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import { createBucketAdmin } from "#s3/index.ts";
import { outputOf } from "../support/child-output.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { availableServers, findBinary } from "../support/s3-servers.ts";
import { type CsiWorld, startCsiWorld } from "./csi-world.ts";

const program = findBinary("csi-sanity");
if (program === undefined)
  console.log("csi-sanity: not run: not installed (go install github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0)");
const runnable = program !== undefined && !skipMounts("csi-sanity");

/** What the declared capabilities cover. Fewer means that one was lost: csi-sanity skips what is not declared. */
const LEAST_PASSED = 38;

interface Report {
  readonly SpecReports: readonly {
    readonly State: string;
    readonly LeafNodeType: string;
    readonly LeafNodeText: string;
    readonly ContainerHierarchyTexts: readonly string[] | null;
    readonly Failure?: { readonly Message: string };
  }[];
}

interface Outcome {
  readonly exitCode: number | null;
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  /** Reason to number of specs. */
  readonly skipped: ReadonlyMap<string, number>;
  readonly output: string;
}

/** Not spawnSync: the plugins that answer are in this process. */
async function runSanity(file: string, { node }: CsiWorld, parameters: Readonly<Record<string, string>>): Promise<Outcome> {
  const [report, parameterFile] = [join(node.dir, "report.json"), join(node.dir, "parameters.yaml")];
  await writeFile(parameterFile, JSON.stringify(parameters));
  const child = spawn(
    file,
    [
      ...["--csi.endpoint", `unix://${node.socketPath}`],
      ...["--csi.mountdir", join(node.dir, "target"), "--csi.stagingdir", join(node.dir, "staging")],
      ...["--csi.testvolumeparameters", parameterFile],
      ...["--ginkgo.no-color", "--ginkgo.json-report", report],
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const { code: exitCode, said: output } = await outputOf(child);
  const [{ SpecReports: specs }] = JSON.parse(await readFile(report, "utf8")) as [Report];
  const named = (state: string) =>
    specs
      .filter(({ State, LeafNodeType }) => State === state && LeafNodeType === "It")
      .map(({ ContainerHierarchyTexts, LeafNodeText }) => [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(" > "));
  const skipped = new Map<string, number>();
  for (const { State, Failure } of specs) {
    const reason = Failure?.Message || "pending in csi-sanity itself";
    if (State === "skipped" || State === "pending") skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
  }
  return { exitCode, passed: named("passed"), failed: [...named("failed"), ...named("panicked")], skipped, output };
}

/** What the volumes of the suite are. */
const VOLUMES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "buckets of their own": {},
  "prefixes in a shared bucket": { bucket: "shared" },
};

/** With a client of its own. */
async function onStore<T>({ s3 }: CsiWorld, ask: (admin: BucketAdmin) => Promise<T>): Promise<T> {
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const admin = createBucketAdmin({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
  try {
    return await ask(admin);
  } finally {
    await admin.close();
  }
}

const cases = availableServers().flatMap((kind) => Object.entries(VOLUMES).map(([volumes, parameters]) => ({ kind, volumes, parameters })));

test.runIf(runnable).each(cases)("csi-sanity passes on $kind with volumes that are $volumes", { timeout: 600_000 }, async (one) => {
  const world = await startCsiWorld(one.kind);
  try {
    await onStore(world, (admin) => admin.createBucket("shared"));
    const { exitCode, passed, failed, skipped, output } = await runSanity(program ?? "", world, one.parameters);
    const skips = [...skipped].toSorted().map(([reason, count]) => `\n  ${count} skipped: ${reason}`);
    console.log(`csi-sanity on ${one.kind}, ${one.volumes}: ${passed.length} passed, ${failed.length} failed${skips.join("")}`);
    expect(failed, output.slice(-6000)).toEqual([]);
    expect(exitCode).toBe(0);
    expect(passed.length).toBeGreaterThanOrEqual(LEAST_PASSED);
    expect((await onStore(world, (admin) => admin.listKeys("shared"))).items).toEqual([]);
    expect(await world.node.mounts()).toEqual([]);
    expect(await world.node.engines()).toEqual([]);
  } finally {
    await world.stop();
  }
});
