/** The controller dies while it makes volumes, and while it deletes them: each claim has one bucket in the end, and then none. */
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { DRIVER_NAMESPACE, driverProcesses, driverReady, killProcesses } from "./driver.ts";
import { Kubectl } from "./kubectl.ts";
import { claim } from "./manifests.ts";
import { signalObjectStore } from "./object-store.ts";
import { useScenario } from "./scenario.ts";
import { until } from "./until.ts";

const { cluster, kubectl, store } = useScenario("controller-kill");

const CLAIMS = Array.from({ length: 12 }, (_, index) => `claim-${index}`);
/** Moments at which it dies: the store's answers to its first requests are still to come, or some have come. */
const KILLS_AFTER_MS = [300, 700, 1500];

/** Ends all controllers where they are. New pods start at once, the old ones' next containers would wait longer from time to time. */
async function killControllers(): Promise<void> {
  await killProcesses(cluster, await driverProcesses(cluster, "controller"));
  const pods = new Kubectl(cluster, DRIVER_NAMESPACE);
  await pods.run("delete", "pod", "--selector=app.kubernetes.io/component=controller", "--force", "--grace-period=0");
  await until("new controllers", async () => (await driverProcesses(cluster, "controller")).length > 0);
}

/** Kills them several times: each time at another moment, once with every request unanswered. */
async function killRepeatedly(): Promise<void> {
  for (const wait of KILLS_AFTER_MS) {
    await sleep(wait);
    await killControllers();
  }
  await signalObjectStore(cluster, "STOP");
  try {
    await sleep(1000);
    await killControllers();
  } finally {
    await signalObjectStore(cluster, "CONT");
  }
}

describe("a controller that dies", () => {
  let before: readonly string[];

  beforeAll(async () => {
    before = await store.buckets();
  });

  it("while it makes volumes leaves no claim without a bucket and none with two", async () => {
    await kubectl.apply(...CLAIMS.map((name) => claim(name)));
    await killRepeatedly();
    await until("all claims to be bound", async () => (await kubectl.list("pvc")).every(({ status }) => status?.phase === "Bound"));
    const volumes = (await kubectl.list("pvc")).map(({ spec }) => spec?.volumeName ?? "");
    expect(new Set(volumes).size).toBe(CLAIMS.length);
    const added = (await store.buckets()).filter((name) => !before.includes(name));
    expect(added.toSorted()).toEqual(volumes.toSorted());
    await driverReady(cluster);
  });

  it("while it deletes them leaves no bucket and no volume", async () => {
    const volumes = (await kubectl.list("pvc")).map(({ spec }) => spec?.volumeName ?? "");
    await kubectl.run("delete", "pvc", ...CLAIMS, "--wait=false");
    await killRepeatedly();
    await until("the end of all buckets", async () => (await store.buckets()).every((name) => before.includes(name)));
    await until("the end of all volumes", async () => {
      const left = (await kubectl.list("pv")).map(({ metadata }) => metadata.name);
      return volumes.every((name) => !left.includes(name));
    });
    await driverReady(cluster);
  });
});
