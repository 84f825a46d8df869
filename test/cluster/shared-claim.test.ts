/** What most users do: a claim, and pods that share it. */
import { describe, expect, it } from "vitest";
import { claim, pod } from "./manifests.ts";
import { useScenario } from "./scenario.ts";
import { until } from "./until.ts";

const { kubectl, store } = useScenario("shared-claim");

describe("a claim", () => {
  let bucket = "";

  it("is bound to a bucket of its own", async () => {
    const before = new Set(await store.buckets());
    await kubectl.apply(claim("shared"));
    await kubectl.untilObject("pvc", "shared", ({ status }) => status?.phase === "Bound");
    const added = (await store.buckets()).filter((name) => !before.has(name));
    expect(added).toHaveLength(1);
    bucket = added[0] ?? "";
  });

  it("is shared by two pods, and each file is an object", async () => {
    await kubectl.apply(pod("one", { claim: "shared" }), pod("two", { claim: "shared" }));
    await Promise.all([kubectl.ready("one"), kubectl.ready("two")]);
    await kubectl.exec("one", "mkdir /volume/folder && echo hello > /volume/folder/file");
    expect(await kubectl.exec("two", "cat /volume/folder/file")).toBe("hello\n");
    await kubectl.exec("two", "mv /volume/folder/file /volume/folder/renamed");
    expect(await kubectl.exec("one", "ls /volume/folder")).toBe("renamed\n");
    expect(await store.get(bucket, "folder/renamed")).toBe("hello\n");
  });

  it("keeps its files when its pods are gone", async () => {
    await kubectl.remove("pod", "one", "two");
    await kubectl.apply(pod("three", { claim: "shared" }));
    await kubectl.ready("three");
    expect(await kubectl.exec("three", "cat /volume/folder/renamed")).toBe("hello\n");
    await kubectl.remove("pod", "three");
  });

  it("takes its bucket with it when it is deleted", async () => {
    await kubectl.remove("pvc", "shared");
    await until("the bucket's end", async () => !(await store.buckets()).includes(bucket));
  });
});
