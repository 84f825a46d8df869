/** What an operator looks at: `helm test`, health, metrics, events, and the release's end. */
import { afterEach, describe, expect, it } from "vitest";
import { type Component, DRIVER_NAMESPACE, driverPods, driverReady, httpGet } from "./driver.ts";
import { claim, pod } from "./manifests.ts";
import { signalObjectStore } from "./object-store.ts";
import { useScenario } from "./scenario.ts";
import { until } from "./until.ts";

const { cluster, kubectl } = useScenario("operations");

/** The answer of each pod of a component: its status code and its body. */
async function ask(component: Component, path: string): Promise<readonly { code: number; body: string }[]> {
  return Promise.all((await driverPods(cluster, component)).map((driverPod) => httpGet(cluster, driverPod, component, path)));
}

async function restarts(): Promise<number> {
  const statuses = (await driverPods(cluster)).flatMap(({ status }) => status?.containerStatuses ?? []);
  return statuses.reduce((sum, { restartCount }) => sum + restartCount, 0);
}

/** The largest value of the metric among the lines with these labels, in whatever order; undefined when there is none. */
function metric(page: string, name: string, labels: readonly string[]): number | undefined {
  const lines = page.split("\n").filter((line) => line.startsWith(`${name}{`) && labels.every((label) => line.includes(label)));
  return lines.length === 0 ? undefined : Math.max(...lines.map((line) => Number(line.slice(line.lastIndexOf(" ")))));
}

describe("an installed release", () => {
  it("passes helm test", async () => {
    expect(await cluster.inside(["helm", "test", "bucketmount", "--namespace", DRIVER_NAMESPACE])).toMatch(/Phase:\s+Succeeded/);
  });

  it("shows its calls and each volume in its metrics, by the claim's name", async () => {
    await kubectl.apply(claim("measured"), pod("measured", { claim: "measured" }));
    await kubectl.ready("measured");
    await kubectl.exec("measured", "echo text > /volume/file");
    // The plugin learns whose volume it is a little later.
    const body = await until("the claim's name in the metrics", async () => {
      const [answer] = await ask("node", "/metrics");
      return answer?.body.includes('pvc_name="measured"') && answer.body;
    });
    expect(metric(body, "csi_plugin_operations_seconds_count", ["NodePublishVolume", 'grpc_status_code="OK"'])).toBeGreaterThan(0);
    expect(metric(body, "bucketmount_volume_engine_state", ['pvc_name="measured"', 'state="serving"'])).toBe(1);
    expect(metric(body, "bucketmount_volume_s3_requests_total", ['pvc_name="measured"', 'operation="PutObject"'])).toBeGreaterThan(0);
    const controllers = (await ask("controller", "/metrics")).map((answer) => answer.body).join("");
    expect(metric(controllers, "csi_plugin_operations_seconds_count", ["CreateVolume", 'grpc_status_code="OK"'])).toBeGreaterThan(0);
  });
});

describe("a store that does not answer", () => {
  // Whatever fails: the others need it.
  afterEach(() => signalObjectStore(cluster, "CONT"));

  it("is told from a plugin that does not: no pod is started anew, and the volume's pod is told", async () => {
    const before = await restarts();
    await signalObjectStore(cluster, "STOP");
    await until("the controllers to be not ready", async () => (await ask("controller", "/readyz")).every(({ code }) => code === 503));
    for (const component of ["controller", "node"] as const) {
      for (const { code, body } of await ask(component, "/healthz")) {
        expect(code).toBe(200);
        expect(JSON.parse(body)).toMatchObject({ plugin: "ok", store: "down" });
      }
    }
    // Something has to be asked of the store before its silence is noticed.
    const write = kubectl.exec("measured", "echo late > /volume/late && cat /volume/late").catch((error: unknown) => String(error));
    const warning = await kubectl.warning("measured", /store/i);
    console.log(`  the pod's event: ${warning}`);
    await signalObjectStore(cluster, "CONT");
    expect(await write).toBe("late\n");
    await driverReady(cluster);
    expect(await restarts()).toBe(before);
    expect((await ask("controller", "/readyz")).map(({ code }) => code)).toEqual([200, 200]);
  });
});
