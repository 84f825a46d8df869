// The arguments in the manifests are those of the program: they go through its own parser.
import { spawnSync } from "node:child_process";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { provisionerProgram } from "../../scripts/helm-program.ts";
import { createProgram } from "../../src/cli/program.ts";
import { containers, render, VALUES_FILES } from "../support/helm-chart.ts";
import type { Manifest } from "../support/kube-types.ts";

type Flags = Readonly<Record<string, string | boolean>>;

const CONTEXT = { env: {}, self: { file: "", args: [] }, out: () => undefined, err: () => undefined, onStopSignal: () => undefined };

/** The flags as the command's action would get them. Throws what the parser throws. */
async function parse(args: readonly string[]): Promise<Flags> {
  const program = createProgram(args, CONTEXT, () => undefined);
  let parsed: Flags | undefined;
  for (const command of program.commands as Command[]) {
    command.action((flags: Flags) => {
      parsed = flags;
    });
  }
  await program.parseAsync(args, { from: "user" });
  if (parsed === undefined) throw new Error(`no command in ${args.join(" ")}`);
  return parsed;
}

/** Component -> its flags. */
async function flagsOf(manifests: readonly Manifest[]): Promise<Readonly<Record<string, Flags>>> {
  const ours = containers(manifests).filter(({ name }) => name !== "provisioner");
  return Object.fromEntries(
    await Promise.all(
      ours.map(async ({ component, args = [] }) => {
        expect(args[0]).toBe(component);
        return [component, await parse(args)] as const;
      }),
    ),
  );
}

it.each(VALUES_FILES)("values %s: the program takes all arguments", async (values) => {
  const flags = await flagsOf(render(values));
  expect(Object.keys(flags)).toContain("node");
});

it("an argument that the program does not have is found", async () => {
  await expect(flagsOf(render("minimal", "--set", "node.additionalArgs={--no-such-flag}"))).rejects.toThrow("--no-such-flag");
});

it("defaults: the flags mean what the values say", async () => {
  const { controller, node, keeper } = await flagsOf(render("defaults"));
  const common = { driverName: "s3.csi.bucketmount.dev", logLevel: "info", kubeEvents: true };
  expect(controller).toEqual({ ...common, endpoint: "unix:///csi/csi.sock", httpEndpoint: expect.stringMatching(/:9808$/) });
  expect(node).toEqual({
    ...common,
    endpoint: "unix:///var/lib/kubelet/plugins/s3.csi.bucketmount.dev/csi.sock",
    nodeId: "$(NODE_NAME)",
    registrationDir: "/var/lib/kubelet/plugins_registry",
    stateDir: "/var/lib/bucketmount",
    keeper: "/var/lib/bucketmount/keeper/keeper.sock",
    httpEndpoint: expect.stringMatching(/:9809$/),
  });
  expect(keeper).toMatchObject({ socket: node?.["keeper"], httpEndpoint: expect.stringMatching(/:9810$/) });
});

it("everything: store, levels, cache and folders reach the program", async () => {
  const { controller, node, keeper } = await flagsOf(render("everything"));
  const store = { s3Endpoint: "http://10.0.0.5:9000", pathStyle: true, caFile: "/etc/bucketmount/ca/ca.crt", driverName: "s3.example.com" };
  // The last one wins: additionalArgs can overrule.
  expect(controller).toMatchObject({ ...store, region: "eu-west-1", logLevel: "warn", httpEndpoint: expect.stringMatching(/:19808$/) });
  expect(node).toMatchObject({
    ...store,
    logLevel: "debug",
    cacheSize: "50GiB",
    stateDir: "/data/bucketmount",
    endpoint: "unix:///data/kubelet/plugins/s3.example.com/csi.sock",
    registrationDir: "/data/kubelet/plugins_registry",
  });
  expect(keeper).toMatchObject({ socket: "/data/bucketmount/keeper/keeper.sock" });
});

it("minimal: no keeper, no Events", async () => {
  const { node, keeper } = await flagsOf(render("minimal"));
  expect(keeper).toBeUndefined();
  expect(node).not.toHaveProperty("keeper");
  expect(node).not.toHaveProperty("kubeEvents");
});

describe("the provisioner", () => {
  const args = (values: string) => containers(render(values)).find(({ name }) => name === "provisioner")?.args ?? [];

  it("elects a leader, tells the claim's names and shares the plugin's socket", () => {
    expect(args("defaults")).toEqual(
      expect.arrayContaining([
        "--csi-address=/csi/csi.sock",
        "--leader-election",
        "--leader-election-namespace=bucketmount",
        "--extra-create-metadata",
        "--timeout=120s",
      ]),
    );
  });

  const program = provisionerProgram();
  if (program === undefined) console.warn("no csi-provisioner (npm run cluster:tools builds it): its own parser is not asked");

  it.skipIf(program === undefined).each(VALUES_FILES)("values %s: takes all arguments", (values) => {
    const run = spawnSync(program ?? "", [...args(values), "--version"], { encoding: "utf8" });
    expect(run.status, run.stderr).toBe(0);
    expect(spawnSync(program ?? "", ["--no-such-flag", "--version"]).status).not.toBe(0);
  });

  it("elects none where that is switched off, which two replicas refuse", () => {
    expect(args("single-replica").join(" ")).not.toContain("leader-election");
    expect(() => render("single-replica", "--set", "controller.replicaCount=2")).toThrow("controller.replicaCount=1");
  });
});
