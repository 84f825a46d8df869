/** Volumes as prefixes of one bucket, with names that begin alike: `pvc-1` is not the beginning of `pvc-10`. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Kubectl } from "./kubectl.ts";
import { claim, pod, storageClass } from "./manifests.ts";
import { newBucketName } from "./object-store.ts";
import { useScenario } from "./scenario.ts";
import { until } from "./until.ts";

const { cluster, kubectl, store } = useScenario("prefix-volumes");

const BUCKET = newBucketName("shared-by-teams");
const CLASSES = { plain: "prefix-plain", archive: "prefix-archive", retain: "prefix-retain", careful: "prefix-only-if-empty" } as const;

/** Keys of users: what lies below a folder of the driver's is its marks. */
async function keys(prefix = ""): Promise<readonly string[]> {
  return (await store.keys(BUCKET, prefix)).filter((key) => !key.includes(".bucketmount/") && !key.endsWith("/"));
}

/** A claim with one file in it, and no pod any more. */
async function filled(name: string, storageClassName: string): Promise<void> {
  await kubectl.apply(claim(name, { storageClass: storageClassName }), pod(name, { claim: name }));
  await kubectl.ready(name);
  await kubectl.exec(name, `mkdir /volume/folder && echo ${name} > /volume/folder/file`);
  await kubectl.remove("pod", name);
}

async function boundVolume(name: string): Promise<string> {
  const { spec } = await kubectl.untilObject("pvc", name, ({ status }) => status?.phase === "Bound");
  return spec?.volumeName ?? "";
}

/** Deletes a claim and waits until its volume is gone, which the controller has then agreed to. */
async function deleteClaim(name: string): Promise<void> {
  const volume = await boundVolume(name);
  await kubectl.remove("pvc", name);
  await until(`the end of volume ${volume}`, async () => (await kubectl.find("pv", volume)) === undefined);
}

describe("prefix volumes", () => {
  beforeAll(async () => {
    await store.createBucket(BUCKET);
    await store.put(BUCKET, "somebody-elses", "not ours");
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the driver fills it in.
    const common = { bucket: BUCKET, nameTemplate: "${pvc.namespace}/${pvc.name}" };
    await kubectl.apply(
      storageClass(CLASSES.plain, common),
      storageClass(CLASSES.archive, { ...common, onDelete: "archive" }),
      storageClass(CLASSES.retain, { ...common, onDelete: "retain" }),
      storageClass(CLASSES.careful, { ...common, onDelete: "only-if-empty" }),
    );
  });

  afterAll(async () => {
    await kubectl.remove("storageclass", ...Object.values(CLASSES));
  });

  it("are named by the template, each below its own name", async () => {
    await filled("pvc-1", CLASSES.plain);
    await filled("pvc-10", CLASSES.plain);
    expect(await keys()).toEqual(["prefix-volumes/pvc-1/folder/file", "prefix-volumes/pvc-10/folder/file", "somebody-elses"]);
  });

  it("go alone: the deletion of pvc-1 leaves pvc-10", async () => {
    await deleteClaim("pvc-1");
    expect(await keys()).toEqual(["prefix-volumes/pvc-10/folder/file", "somebody-elses"]);
    await kubectl.apply(pod("reader", { claim: "pvc-10" }));
    await kubectl.ready("reader");
    expect(await kubectl.exec("reader", "cat /volume/folder/file")).toBe("pvc-10\n");
    await kubectl.remove("pod", "reader");
    await deleteClaim("pvc-10");
    expect(await keys()).toEqual(["somebody-elses"]);
  });

  it("are kept, archived or only removed when empty, as the class says", async () => {
    await filled("kept", CLASSES.retain);
    await deleteClaim("kept");
    expect(await keys()).toEqual(["prefix-volumes/kept/folder/file", "somebody-elses"]);

    await filled("archived", CLASSES.archive);
    await deleteClaim("archived");
    const left = (await keys()).filter((key) => !["prefix-volumes/kept/folder/file", "somebody-elses"].includes(key));
    expect(left).toHaveLength(1);
    expect(left[0]).toMatch(/archive.*folder\/file$/);
    expect(await store.get(BUCKET, left[0] ?? "")).toBe("archived\n");

    await filled("careful", CLASSES.careful);
    const volume = await boundVolume("careful");
    await kubectl.remove("pvc", "careful");
    // What happens to objects without a namespace is told in this one.
    await new Kubectl(cluster, "default").warning(volume, /not empty/);
    expect(await store.get(BUCKET, "prefix-volumes/careful/folder/file")).toBe("careful\n");
    for (const key of await store.keys(BUCKET, "prefix-volumes/careful/")) await store.remove(BUCKET, key);
    await until("the deletion of the emptied volume", async () => (await kubectl.find("pv", volume)) === undefined);
  });
});
