/** The kubelet and the container runtime die: they come back and find the volumes as they left them. */
import { afterAll, describe, expect, it } from "vitest";
import { BusyPod } from "./busy-pod.ts";
import { claim, pod } from "./manifests.ts";
import { useScenario } from "./scenario.ts";
import { until } from "./until.ts";

const { cluster, kubectl } = useScenario("kubelet");

describe("a node's own daemons", () => {
  const busy = new BusyPod(kubectl, "busy");

  afterAll(() => kubectl.remove("pod", "busy"));

  it("may be killed while pods use volumes", async () => {
    await kubectl.apply(claim("shared"));
    await busy.start("shared");
    for (const daemon of ["kubelet", "containerd"]) {
      await cluster.script("svc", "kill", daemon);
      await cluster.script("svc", "start", daemon);
    }
    const answers = () =>
      kubectl.run("logs", "busy", "--tail=1").then(
        () => true,
        () => false,
      );
    await until("the kubelet to show logs", answers);
    await busy.goesOn();
  });

  it("clean up after a pod that was deleted while the kubelet was away", async () => {
    await kubectl.apply(claim("left"), pod("left", { claim: "left" }));
    const { metadata } = await kubectl.ready("left");
    await kubectl.exec("left", "echo text > /volume/file; sync /volume/file");
    await cluster.script("svc", "stop", "kubelet");
    await kubectl.run("delete", "pod", "left", "--force", "--grace-period=0");
    await cluster.script("svc", "start", "kubelet");
    const mounts = async () => cluster.shell("cat /proc/self/mountinfo");
    await until("the deleted pod's volume to be unmounted", async () => !(await mounts()).includes(metadata.uid));
    await kubectl.apply(pod("next", { claim: "left" }));
    await kubectl.ready("next");
    expect(await kubectl.exec("next", "cat /volume/file")).toBe("text\n");
    await kubectl.remove("pod", "next");
  });
});
