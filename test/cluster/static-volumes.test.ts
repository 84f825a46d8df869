/** PersistentVolumes made by hand on a bucket that is there already; several on one bucket. */
import { beforeAll, describe, expect, it } from "vitest";
import { claim, pod, staticVolume } from "./manifests.ts";
import { newBucketName, STORE_ENDPOINT } from "./object-store.ts";
import { useScenario } from "./scenario.ts";

const { kubectl, store } = useScenario("static-volumes");

const BUCKET = newBucketName("company-models");
const NAMES = ["static-whole", "static-part", "static-read-only"] as const;

describe("static volumes on one bucket", () => {
  beforeAll(async () => {
    await store.createBucket(BUCKET);
    await store.put(BUCKET, "models/small.bin", "small model");
    await store.put(BUCKET, "reports/2026.txt", "a report");
    const attributes = { bucket: BUCKET, endpoint: STORE_ENDPOINT };
    await kubectl.apply(
      staticVolume("static-whole", { handle: "static-whole", attributes }),
      staticVolume("static-part", { handle: "static-part", attributes: { ...attributes, prefix: "models/" } }),
      staticVolume("static-read-only", { handle: "static-read-only", attributes, modes: ["ReadOnlyMany"], mountOptions: ["ro"] }),
      ...NAMES.map((name) => claim(name, { volume: name, modes: [name === "static-read-only" ? "ReadOnlyMany" : "ReadWriteMany"] })),
      ...NAMES.map((name) => pod(name, { claim: name })),
    );
    await Promise.all(NAMES.map((name) => kubectl.ready(name)));
  });

  it("shows what others put there, and others see what a pod writes", async () => {
    expect(await kubectl.exec("static-whole", "cat /volume/models/small.bin /volume/reports/2026.txt")).toBe("small modela report");
    await kubectl.exec("static-whole", "echo new > /volume/reports/2027.txt");
    expect(await store.get(BUCKET, "reports/2027.txt")).toBe("new\n");
  });

  it("shows a prefix alone where one is named", async () => {
    expect(await kubectl.exec("static-part", "find /volume -type f")).toBe("/volume/small.bin\n");
    await kubectl.exec("static-part", "echo large > /volume/large.bin");
    expect(await store.get(BUCKET, "models/large.bin")).toBe("large\n");
  });

  it("refuses writes where the volume is read-only", async () => {
    expect(await kubectl.exec("static-read-only", "cat /volume/reports/2026.txt")).toBe("a report");
    expect(await kubectl.exec("static-read-only", "touch /volume/x 2>&1 || echo refused")).toMatch(/Read-only file system\nrefused\n$/);
    expect(await store.keys(BUCKET)).not.toContain("x");
  });

  it("leaves the bucket as it is when claims and volumes are deleted", async () => {
    const before = await store.keys(BUCKET);
    await kubectl.remove("pod", ...NAMES);
    await kubectl.remove("pvc", ...NAMES);
    await kubectl.remove("pv", ...NAMES);
    expect(await store.keys(BUCKET)).toEqual(before);
    expect(before).toEqual(["models/large.bin", "models/small.bin", "reports/2026.txt", "reports/2027.txt"]);
  });
});
