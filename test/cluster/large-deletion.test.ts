/** The end of a volume with more in it than one request, or one call of the provisioner, takes away. */
import { DeleteObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, describe, expect, it } from "vitest";
import { claim, storageClass } from "./manifests.ts";
import { useScenario } from "./scenario.ts";
import { until } from "./until.ts";

const { kubectl, store } = useScenario("large-deletion");

const CLASS = "versioned";
const OBJECTS = 10_000;
/** Every tenth has an older version, every tenth a delete marker. */
const PART = 10;
const PARALLEL = 16;

afterAll(async () => {
  await kubectl.remove("storageclass", CLASS);
});

/** Calls `work` for 0 to count - 1, some at a time. */
async function inParallel(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

describe("a versioned volume of 10,000 objects", () => {
  it("is deleted whole, with old versions and delete markers", async () => {
    const before = new Set(await store.buckets());
    await kubectl.apply(storageClass(CLASS, { versioning: "true" }), claim("large", { storageClass: CLASS }));
    await kubectl.untilObject("pvc", "large", ({ status }) => status?.phase === "Bound");
    const [bucket = ""] = (await store.buckets()).filter((name) => !before.has(name));

    const key = (index: number) => `folder-${index % 100}/file-${index}`;
    await inParallel(OBJECTS, (index) => store.put(bucket, key(index), "first"));
    await inParallel(OBJECTS / PART, (index) => store.put(bucket, key(index * PART), "second"));
    await inParallel(OBJECTS / PART, (index) => store.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key(index * PART + 1) })));
    expect(await store.keys(bucket, "folder-")).toHaveLength(OBJECTS - OBJECTS / PART);

    const started = Date.now();
    await kubectl.remove("pvc", "large");
    await until("the bucket's end", async () => !(await store.buckets()).includes(bucket));
    console.log(`  12,000 versions and delete markers deleted in ${((Date.now() - started) / 1000).toFixed(1)} s`);
    await until("the volume's end", async () => {
      const volumes = await kubectl.list("pv");
      return volumes.every(({ spec }) => spec?.claimRef?.name !== "large");
    });
  });
});
