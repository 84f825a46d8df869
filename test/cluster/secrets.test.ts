/** Wrong keys: the event says so, and the repaired secret heals what waits, with nothing else done. */
import { afterAll, describe, expect, it } from "vitest";
import { claim, keysSecret, pod, secretParameters, staticVolume, storageClass } from "./manifests.ts";
import { newBucketName, STORE_ENDPOINT, STORE_KEYS } from "./object-store.ts";
import { useScenario } from "./scenario.ts";

const { kubectl, store } = useScenario("secrets");

const WRONG = { ...STORE_KEYS, secretAccessKey: "typing-error" };
const CLASS = "own-secret";
const VOLUME = "static-secret";
const BUCKET = newBucketName("guarded");

afterAll(async () => {
  await kubectl.remove("storageclass", CLASS);
  await kubectl.remove("pv", VOLUME);
});

/** What any wording of the cause names. */
const WRONG_KEYS = /secret|key|signature|credential/i;

/** Events are shown to many: they name what is wrong, never a key. */
function expectNoKeys(message: string): void {
  expect(message).not.toContain(WRONG.secretAccessKey);
  expect(message).not.toContain(STORE_KEYS.secretAccessKey);
}

describe("a wrong secret", () => {
  it("of a StorageClass: the claim's event names the cause, and the repaired secret binds it", async () => {
    await kubectl.apply(
      keysSecret("keys", WRONG),
      storageClass(CLASS, secretParameters(kubectl.namespace, "keys")),
      claim("guarded", { storageClass: CLASS }),
    );
    expectNoKeys(await kubectl.warning("guarded", WRONG_KEYS));
    expect((await kubectl.find("pvc", "guarded"))?.status?.phase).toBe("Pending");
    await kubectl.apply(keysSecret("keys", STORE_KEYS));
    await kubectl.untilObject("pvc", "guarded", ({ status }) => status?.phase === "Bound");
    await kubectl.remove("pvc", "guarded");
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
