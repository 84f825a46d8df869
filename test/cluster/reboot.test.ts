/** The node's reboot: every process and mount is gone at once, the disks stay. */
import { describe, expect, it } from "vitest";
import { driverReady } from "./driver.ts";
import { isReady, type KubeObject } from "./kubectl.ts";
import { claim, pod } from "./manifests.ts";
import { resumeObjectStore } from "./object-store.ts";
import { useScenario } from "./scenario.ts";
import { until } from "./until.ts";

const { cluster, kubectl } = useScenario("reboot");

const PODS = ["shared-one", "shared-two", "alone"] as const;

/** Its only container's id, a new one at each start. */
function containerOf({ status }: KubeObject): string {
  return status?.containerStatuses?.[0]?.containerID ?? "";
}

describe("a node that reboots", () => {
  it("starts its pods again, with all that was acknowledged before", async () => {
    await kubectl.apply(claim("shared"), claim("alone", { modes: ["ReadWriteOnce"] }));
    const objects = PODS.map((name) => pod(name, { claim: name === "alone" ? "alone" : "shared" }) as { spec: object });
    await kubectl.apply(...objects.map((object) => ({ ...object, spec: { ...object.spec, restartPolicy: "Always" } })));
    await Promise.all(PODS.map((name) => kubectl.ready(name)));
    for (const name of PODS) await kubectl.exec(name, `echo ${name} > /volume/${name}; sync /volume/${name}`);

    const before = (await kubectl.list("pod")).map(containerOf);
    await cluster.script("down");
    await cluster.script("up");
    await resumeObjectStore(cluster);
    await driverReady(cluster);
    // Until the kubelet has looked, their status is that of before.
    await until("the pods", async () =>
      (await kubectl.list("pod")).every((object) => isReady(object) && !before.includes(containerOf(object))),
    );

    for (const name of PODS) expect(await kubectl.exec(name, `cat /volume/${name}`)).toBe(`${name}\n`);
    await kubectl.exec("shared-one", "echo after > /volume/after");
    expect(await kubectl.exec("shared-two", "cat /volume/after")).toBe("after\n");
  });

  it("lets go of them as ever", async () => {
    await kubectl.remove("pod", ...PODS);
    // The kubelet unstages when nobody waits for it any more.
    await until("the end of all mounts", async () => !(await cluster.shell("cat /proc/self/mountinfo")).includes("fuse.bucketmount"));
    await kubectl.remove("pvc", "shared", "alone");
  });
});
