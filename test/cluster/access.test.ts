/** Who may do what in a volume: groups, read-only pods, claims for one pod. */
import { describe, expect, it } from "vitest";
import { claim, pod } from "./manifests.ts";
import { useScenario } from "./scenario.ts";

const { kubectl } = useScenario("access");

describe("fsGroup", () => {
  it("lets a pod that is not root write, and shows its group on all files", async () => {
    await kubectl.apply(claim("group"), pod("owner", { claim: "group" }));
    await kubectl.ready("owner");
    await kubectl.exec("owner", "echo before > /volume/before");
    await kubectl.remove("pod", "owner");
    const securityContext = { runAsUser: 1001, runAsGroup: 1001, runAsNonRoot: true, fsGroup: 2002 };
    await kubectl.apply(pod("member", { claim: "group", securityContext }));
    await kubectl.ready("member");
    await kubectl.exec("member", "mkdir /volume/folder && echo own > /volume/folder/own && echo more >> /volume/before");
    expect(await kubectl.exec("member", "stat -c %g /volume /volume/folder /volume/folder/own /volume/before")).toBe("2002\n".repeat(4));
    expect(await kubectl.exec("member", "cat /volume/before")).toBe("before\nmore\n");
    await kubectl.remove("pod", "member");
  });
});

describe("readOnly", () => {
  it("holds for the pod that asks for it, and for no other", async () => {
    await kubectl.apply(claim("both"), pod("writer", { claim: "both" }));
    const reader = pod("reader", { claim: "both" }) as { spec: { volumes: { persistentVolumeClaim: object }[] } };
    // The volume itself, and not only its place in a container: the driver is told.
    Object.assign(reader.spec.volumes[0]?.persistentVolumeClaim ?? {}, { readOnly: true });
    await kubectl.apply(reader);
    await Promise.all([kubectl.ready("writer"), kubectl.ready("reader")]);
    await kubectl.exec("writer", "echo text > /volume/file");
    expect(await kubectl.exec("reader", "cat /volume/file")).toBe("text\n");
    expect(await kubectl.exec("reader", "rm /volume/file 2>&1 || echo refused")).toMatch(/Read-only file system\nrefused\n$/);
    await kubectl.exec("writer", "rm /volume/file");
    await kubectl.remove("pod", "writer", "reader");
  });
});

describe("access modes", () => {
  it("ReadWriteOncePod lets a second pod in when the first is gone", async () => {
    await kubectl.apply(claim("single", { modes: ["ReadWriteOncePod"] }), pod("first", { claim: "single" }));
    await kubectl.ready("first");
    await kubectl.exec("first", "echo first > /volume/file");
    await kubectl.apply(pod("second", { claim: "single" }));
    await kubectl.warning("second", /ReadWriteOncePod/);
    await kubectl.remove("pod", "first");
    await kubectl.ready("second");
    expect(await kubectl.exec("second", "cat /volume/file")).toBe("first\n");
    await kubectl.remove("pod", "second");
  });

  it("a raw block volume is refused, and the event says what to ask for", async () => {
    const block = claim("block") as { spec: object };
    await kubectl.apply({ ...block, spec: { ...block.spec, volumeMode: "Block" } });
    expect(await kubectl.warning("block", /block/i)).toMatch(/volumeMode|filesystem|file system/i);
  });
});
