import { setImmediate as settle } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { DriverError, type Fault } from "#core/errors.ts";
import type { FinishedCall } from "#csi/interceptors.ts";
import type { EventNote } from "#kube/event-recorder.ts";
import { VolumeEvents } from "#node/volume-events.ts";

const CLAIM = { namespace: "team", name: "maven", uid: "claim-uid" };
const POD = {
  "csi.storage.k8s.io/pod.namespace": "team",
  "csi.storage.k8s.io/pod.name": "builder",
  "csi.storage.k8s.io/pod.uid": "pod-uid",
};

function world({ claim }: { claim: typeof CLAIM | undefined } = { claim: CLAIM }) {
  const notes: EventNote[] = [];
  const claims = { find: async () => claim, known: () => claim };
  const events = new VolumeEvents({ recorder: { record: (note) => void notes.push(note) }, claims, nodeId: "node-1" });
  /** What was recorded, after what is looked up has been found. */
  const told = async () => {
    await settle();
    return notes.splice(0).map(({ about, type, reason, message }) => `${type} ${reason} ${about.kind}/${about.name}: ${message}`);
  };
  return { events, notes, told };
}

function failed(method: string, fault: Fault, more: { cause?: string; request?: object } = {}): FinishedCall {
  const error = new DriverError(fault, "it failed", { context: { cause: more.cause } });
  const request = { volumeId: "v1", ...more.request };
  return {
    ...{ method, path: `/csi.v1.Node/${method}`, seconds: 1, code: "X", request },
    failure: { error, details: "it failed. Mend it." },
  };
}

const done = (method: string, request: object = {}): FinishedCall => ({
  ...{ method, path: `/csi.v1.Node/${method}`, seconds: 1, code: "OK" },
  request: { volumeId: "v1", ...request },
});

describe("VolumeEvents", () => {
  it("tells the claim why its volume cannot be staged, and when it is", async () => {
    const { events, told } = world();
    events.onCall(failed("NodeStageVolume", "denied", { cause: "access_denied" }));
    expect(await told()).toEqual(["Warning AccessDenied PersistentVolumeClaim/maven: maven on node-1: it failed. Mend it."]);
    events.onCall(done("NodeStageVolume"));
    events.onCall(done("NodeStageVolume"));
    expect(await told()).toEqual(["Normal Recovered PersistentVolumeClaim/maven: maven on node-1: the volume is mounted"]);
  });

  it("names an error without a known cause by what did not work", async () => {
    const { events, told } = world();
    events.onCall(failed("NodeStageVolume", "bad_argument"));
    expect(await told()).toEqual([expect.stringMatching(/^Warning StageFailed /)]);
  });

  it("tells the pod why its volume cannot be published, and when it is", async () => {
    const { events, told, notes } = world();
    const request = { targetPath: "/pods/pod-uid/mount", volumeContext: POD };
    events.onCall(failed("NodePublishVolume", "precondition", { request }));
    expect(notes[0]?.about).toEqual({ kind: "Pod", namespace: "team", name: "builder", uid: "pod-uid" });
    expect(await told()).toEqual([expect.stringMatching(/^Warning PublishFailed Pod\/builder: /)]);
    events.onCall(done("NodePublishVolume", request));
    expect(await told()).toEqual(["Normal Recovered Pod/builder: maven on node-1: the volume is mounted"]);
  });

  it("tells the pod that was published there why its volume cannot be unpublished: nobody else does", async () => {
    const { events, told } = world();
    const target = { targetPath: "/pods/pod-uid/mount" };
    events.onCall(done("NodePublishVolume", { ...target, volumeContext: POD }));
    events.onCall(failed("NodeUnpublishVolume", "unavailable", { cause: "connection_refused", request: target }));
    expect(await told()).toEqual([expect.stringMatching(/^Warning ConnectionRefused Pod\/builder: /)]);
    events.onCall(done("NodeUnpublishVolume", target));
    expect(await told()).toEqual([
      "Normal Recovered Pod/builder: maven on node-1: the volume is unmounted, and everything is in the bucket",
    ]);
    events.onCall(failed("NodeUnpublishVolume", "in_use", { request: target }));
    expect(await told()).toEqual([]);
  });

  it.each(["conflict", "interrupted"] as const)("says nothing of %s: the kubelet comes back", async (fault) => {
    const { events, told } = world();
    events.onCall(failed("NodeStageVolume", fault));
    events.onCall(done("NodeStageVolume"));
    expect(await told()).toEqual([]);
  });

  it("says nothing of calls that nobody waits for, of volumes without a claim, and of pods that it does not know", async () => {
    const { events, told } = world({ claim: undefined });
    events.onCall(failed("NodeGetVolumeStats", "timed_out"));
    events.onCall(failed("NodeStageVolume", "denied"));
    events.onCall(failed("NodePublishVolume", "denied", { request: { targetPath: "/x" } }));
    events.onCall({ ...failed("NodeStageVolume", "bad_argument"), request: {} });
    expect(await told()).toEqual([]);
  });

  it("tells claim and pods of trouble, with what to do, and of its end", async () => {
    const { events, told } = world();
    events.onCall(done("NodePublishVolume", { targetPath: "/a", volumeContext: POD }));
    // The same pod, twice.
    events.onCall(done("NodePublishVolume", { targetPath: "/b", volumeContext: POD }));
    events.onTrouble("v1", { type: "trouble", cause: "disk_full", message: "3 MiB are left" });
    const message = "maven on node-1: 3 MiB are left. Free space on this node's disk";
    expect(await told()).toEqual([
      expect.stringContaining(`Warning CacheDiskFull Pod/builder: ${message}`),
      expect.stringContaining(`Warning CacheDiskFull PersistentVolumeClaim/maven: ${message}`),
    ]);
    events.onTrouble("v1", { type: "recovered", cause: "disk_full" });
    expect(await told()).toEqual([
      "Normal Recovered Pod/builder: maven on node-1: CacheDiskFull is over",
      "Normal Recovered PersistentVolumeClaim/maven: maven on node-1: CacheDiskFull is over",
    ]);
  });

  it("tells five pods of a volume at most, and none that has left", async () => {
    const { events, told } = world();
    for (let i = 0; i < 9; i++) {
      const volumeContext = { ...POD, "csi.storage.k8s.io/pod.uid": `uid-${i}`, "csi.storage.k8s.io/pod.name": `pod-${i}` };
      events.onCall(done("NodePublishVolume", { targetPath: `/${i}`, volumeContext }));
    }
    for (let i = 0; i < 3; i++) events.onCall(done("NodeUnpublishVolume", { targetPath: `/${i}` }));
    events.onTrouble("v1", { type: "trouble", cause: "throttled", message: "slow down" });
    const pods = (await told()).flatMap((line) => /Pod\/(pod-\d)/.exec(line)?.[1] ?? []);
    expect(pods).toEqual(["pod-3", "pod-4", "pod-5", "pod-6", "pod-7"]);
    events.onCall(done("NodeUnstageVolume"));
    events.onTrouble("v1", { type: "trouble", cause: "throttled", message: "slow down" });
    expect(await told()).toEqual([expect.stringContaining("PersistentVolumeClaim/maven")]);
  });

  it("gives the metrics the claim that is known, and looks for it for the next time", () => {
    const { events } = world();
    expect(events.claimOf("v1")).toEqual(CLAIM);
  });
});
