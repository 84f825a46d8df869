/**
 * Everything of the driver is replaced, killed and upgraded while pods create, rename and read by path: the mounts go on, and no pod sees
 * an error.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BusyPod } from "./busy-pod.ts";
import {
  type Component,
  DRIVER_NAMESPACE,
  driverPods,
  driverProcesses,
  driverReady,
  installChart,
  killProcesses,
  replacePods,
} from "./driver.ts";
import { TAGS } from "./images.ts";
import { Kubectl } from "./kubectl.ts";
import { claim, pod } from "./manifests.ts";
import { useScenario } from "./scenario.ts";

const { cluster, kubectl } = useScenario("disruption");

const busy = [new BusyPod(kubectl, "busy-shared"), new BusyPod(kubectl, "busy-alone")];
let connections: string;

/** The mounts' devices as the pods see them: a new mount would have a new one. */
async function mountedDevices(): Promise<string> {
  return (await Promise.all(busy.map(({ name }) => kubectl.exec(name, "stat -c %d /volume")))).join("");
}

async function allGoOn(): Promise<void> {
  await Promise.all(busy.map((pod) => pod.goesOn()));
  expect(await mountedDevices()).toBe(connections);
}

async function imagesOf(component: Component): Promise<readonly string[]> {
  const pods = await driverPods(cluster, component);
  return pods.map(({ spec }) => spec?.containers?.[0]?.image ?? "");
}

describe("mounts in running pods go on", () => {
  beforeAll(async () => {
    await kubectl.apply(claim("shared"), claim("alone", { modes: ["ReadWriteOnce"] }));
    await Promise.all([busy[0]?.start("shared"), busy[1]?.start("alone")]);
    connections = await mountedDevices();
  });

  afterAll(async () => {
    for (const pod of busy) console.log(`  ${pod.name}: longest pause ${((await pod.longestPauseMs()) / 1000).toFixed(1)} s`);
    await kubectl.remove("pod", ...busy.map(({ name }) => name));
  });

  it("when an engine is killed", async () => {
    const engines = await driverProcesses(cluster, "engine");
    expect(engines.length).toBeGreaterThanOrEqual(2);
    await killProcesses(cluster, engines);
    await allGoOn();
    expect(await driverProcesses(cluster, "engine")).toHaveLength(engines.length);
  });

  it("when the node plugin's pod is deleted", async () => {
    await replacePods(cluster, "node");
    await allGoOn();
  });

  it("when the keeper's pod is deleted, and then the node plugin's again", async () => {
    await replacePods(cluster, "keeper");
    await allGoOn();
    await replacePods(cluster, "node");
    await allGoOn();
  });

  it("when the node plugin is killed", async () => {
    await killProcesses(cluster, await driverProcesses(cluster, "node"));
    await allGoOn();
  });

  it("when helm upgrade moves to another image, and back", async () => {
    await installChart(cluster, { "image.tag": TAGS.second });
    expect(await imagesOf("node")).toEqual([`bucketmount/bucketmount:${TAGS.second}`]);
    await allGoOn();
    await installChart(cluster);
    expect(await imagesOf("node")).toEqual([`bucketmount/bucketmount:${TAGS.first}`]);
    await allGoOn();
  });
});

describe("keeper and node plugin gone at once, which nobody is to do", () => {
  it("ends mounts, but no pod waits for ever: the old ones end, and new ones have their files", async () => {
    await kubectl.apply(claim("lost"), pod("old", { claim: "lost" }));
    await kubectl.ready("old");
    await kubectl.exec("old", "echo text > /volume/file; sync /volume/file");
    const driver = new Kubectl(cluster, DRIVER_NAMESPACE);
    await driver.run("delete", "pod", "--selector=app.kubernetes.io/component in (keeper, node)", "--force", "--grace-period=0");
    await driverReady(cluster);
    // Never the directory below: what is written there is on the node's disk.
    expect(await kubectl.exec("old", "echo lost > /volume/lost 2>&1 && cat /volume/lost || echo refused")).not.toBe("");
    await kubectl.apply(pod("new", { claim: "lost" }));
    await kubectl.ready("new");
    expect(await kubectl.exec("new", "cat /volume/file")).toBe("text\n");
    await kubectl.remove("pod", "old", "new");
  });
});
