/** Wrong keys: the event says so, and the repaired secret heals what waits, with nothing else done. */
import { afterAll, describe, expect, it } from "vitest";
import { DRIVER_NAMESPACE } from "./driver.ts";
import { Kubectl } from "./kubectl.ts";
import { claim, keysSecret, pod, secretParameters, staticVolume, storageClass } from "./manifests.ts";
import { newBucketName, STORE_ENDPOINT, STORE_KEYS } from "./object-store.ts";
import { useScenario } from "./scenario.ts";
import { until } from "./until.ts";

const { cluster, kubectl, store } = useScenario("secrets");

const WRONG = { ...STORE_KEYS, secretAccessKey: "typing-error" };
const CLASS = "own-secret";
const VOLUME = "static-secret";
const BUCKET = newBucketName("guarded");

afterAll(async () => {
  await kubectl.remove("storageclass", CLASS);
  await kubectl.remove("pv", VOLUME);
});

/** What any wording of the cause names. */
const WRONG_KEYS = /signature|credential/i;

/** Events are shown to many: they name what is wrong, never a key. */
function expectNoKeys(message: string): void {
  expect(message).not.toContain(WRONG.secretAccessKey);
  expect(message).not.toContain(STORE_KEYS.secretAccessKey);
}

describe("a wrong secret", () => {
  it("of a StorageClass: the claim's event names the cause, and the repaired secret binds it", async () => {
    // The controller may read secrets of its own namespace, and of others that the chart's values name.
    const secrets = new Kubectl(cluster, DRIVER_NAMESPACE);
    await secrets.apply(keysSecret(CLASS, WRONG));
    await kubectl.apply(storageClass(CLASS, secretParameters(DRIVER_NAMESPACE, CLASS)), claim("guarded", { storageClass: CLASS }));
    expectNoKeys(await kubectl.warning("guarded", WRONG_KEYS));
    expect((await kubectl.find("pvc", "guarded"))?.status?.phase).toBe("Pending");
    await secrets.apply(keysSecret(CLASS, STORE_KEYS));
    await kubectl.untilObject("pvc", "guarded", ({ status }) => status?.phase === "Bound");
    await kubectl.remove("pvc", "guarded");
    await until("the volume's end", async () => (await kubectl.list("pv")).every(({ spec }) => spec?.claimRef?.name !== "guarded"));
    await secrets.remove("secret", CLASS);
  });

  it("of a PersistentVolume: the pod's event names the cause, and the repaired secret starts the pod", async () => {
    await store.createBucket(BUCKET);
    await store.put(BUCKET, "file", "text");
    await kubectl.apply(
      keysSecret("node-keys", WRONG),
      staticVolume(VOLUME, {
        handle: VOLUME,
        attributes: { bucket: BUCKET, endpoint: STORE_ENDPOINT },
        secret: { namespace: kubectl.namespace, name: "node-keys" },
      }),
      claim("static", { volume: VOLUME }),
      pod("reader", { claim: "static" }),
    );
    expectNoKeys(await kubectl.warning("reader", WRONG_KEYS));
    await kubectl.apply(keysSecret("node-keys", STORE_KEYS));
    await kubectl.ready("reader");
    expect(await kubectl.exec("reader", "cat /volume/file")).toBe("text");
    await kubectl.remove("pod", "reader");
    await kubectl.remove("pvc", "static");
  });
});
