/**
 * Which calls and troubles become Events, and on what: a volume that cannot be staged on its claim, one that cannot be published on the pod,
 * trouble of a mounted volume on the claim and on the pods that use it here. What was reported and is over is said, too.
 */
import { CAUSES, causeOf, explain } from "#core/causes.ts";
import { type Fault, isFault } from "#core/errors.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import type { FinishedCall } from "#csi/interceptors.ts";
import type { StringMap } from "#csi/messages.ts";
import type { ClaimFinder } from "#kube/claims.ts";
import type { EventNote, EventRecorder, EventTarget } from "#kube/event-recorder.ts";

export interface VolumeEventsOptions {
  readonly recorder: Pick<EventRecorder, "record">;
  readonly claims: Pick<ClaimFinder, "find" | "known">;
  readonly nodeId: string;
}

/** What a request of the kubelet may say. */
interface NodeRequest {
  readonly volumeId?: string;
  readonly targetPath?: string;
  readonly volumeContext?: StringMap;
}

type Told = Omit<EventNote, "about">;

interface CallRow {
  readonly about: "claim" | "pod";
  /** Of an Event, where the cause has none. */
  readonly reason: string;
  /** What the volume is when it works. */
  readonly done: string;
}

/** The kubelet makes no Event of an unmount that fails: the pod would hang in Terminating without a word. */
const CALLS: Readonly<Record<string, CallRow>> = {
  NodeStageVolume: { about: "claim", reason: "StageFailed", done: "is mounted" },
  NodeUnstageVolume: { about: "claim", reason: "UnstageFailed", done: "is unmounted, and everything is in the bucket" },
  NodePublishVolume: { about: "pod", reason: "PublishFailed", done: "is mounted" },
  NodeUnpublishVolume: { about: "pod", reason: "UnpublishFailed", done: "is unmounted, and everything is in the bucket" },
};

/** The kubelet comes back: nothing has failed yet. */
const PASSING: readonly Fault[] = ["conflict", "interrupted"];

/** Of the pods that use a volume in trouble, so many hear of it; the claim always does. */
const PODS_TOLD = 5;

export class VolumeEvents {
  readonly #options: VolumeEventsOptions;
  /** The pods that use a volume, by volume and target path. */
  readonly #pods = new Map<string, Map<string, EventTarget>>();
  /** What was said to be failing, by method and object. */
  readonly #failing = new Set<string>();

  constructor(options: VolumeEventsOptions) {
    this.#options = options;
  }

  /** The claim of a volume, as far as it is known; it is looked up for the next time. */
  claimOf(volumeId: string): { readonly namespace: string; readonly name: string } | undefined {
    void this.#options.claims.find(volumeId);
    return this.#options.claims.known(volumeId);
  }

  /** For startCsiServer's `onCall`. Returns at once. */
  onCall(call: FinishedCall): void {
    const row = CALLS[call.method];
    const { volumeId = "", targetPath = "", volumeContext = {} } = (call.request ?? {}) as NodeRequest;
    if (row === undefined || volumeId === "") return;
    const pod = podOf(volumeContext) ?? this.#pods.get(volumeId)?.get(targetPath);
    this.#follow(call, volumeId, targetPath, pod);
    const key = `${call.method}/${volumeId}/${row.about === "pod" ? targetPath : ""}`;
    const told = this.#toldOf(call, row, key);
    if (told === undefined) return;
    if (row.about === "claim") void this.#tellClaim(volumeId, told);
    else if (pod !== undefined) this.#tell(pod, volumeId, told);
  }

  /** What is wrong with a mounted volume, or not any more. Returns at once. */
  onTrouble(volumeId: string, report: TroubleReport): void {
    const { reason } = CAUSES[report.cause];
    const told: Told =
      report.type === "trouble"
        ? { type: "Warning", reason, message: explain(report.message, report.cause) }
        : { type: "Normal", reason: "Recovered", message: `${reason} is over` };
    void this.#tellClaim(volumeId, told);
    const pods = new Map([...(this.#pods.get(volumeId)?.values() ?? [])].map((pod) => [pod.uid, pod]));
    for (const pod of [...pods.values()].slice(0, PODS_TOLD)) this.#tell(pod, volumeId, told);
  }

  /** Which pods use the volume. */
  #follow({ method, failure }: FinishedCall, volumeId: string, targetPath: string, pod: EventTarget | undefined): void {
    if (method === "NodePublishVolume" && pod !== undefined) {
      const pods = this.#pods.get(volumeId) ?? new Map<string, EventTarget>();
      this.#pods.set(volumeId, pods.set(targetPath, pod));
    }
    if (failure !== undefined) return;
    if (method === "NodeUnpublishVolume") this.#pods.get(volumeId)?.delete(targetPath);
    if (method !== "NodeUnstageVolume") return;
    this.#pods.delete(volumeId);
    for (const key of this.#failing) if (key.startsWith(`NodePublishVolume/${volumeId}/`)) this.#failing.delete(key);
  }

  #toldOf({ failure }: FinishedCall, row: CallRow, key: string): Told | undefined {
    if (failure === undefined) {
      return this.#failing.delete(key) ? { type: "Normal", reason: "Recovered", message: `the volume ${row.done}` } : undefined;
    }
    if (isFault(failure.error, ...PASSING)) return undefined;
    this.#failing.add(key);
    const cause = causeOf(failure.error);
    return { type: "Warning", reason: cause === undefined ? row.reason : CAUSES[cause].reason, message: failure.details };
  }

  async #tellClaim(volumeId: string, told: Told): Promise<void> {
    const claim = await this.#options.claims.find(volumeId);
    if (claim !== undefined) this.#tell({ kind: "PersistentVolumeClaim", ...claim }, volumeId, told);
  }

  /** A pod may have several volumes, and a claim be mounted on several nodes. */
  #tell(about: EventTarget, volumeId: string, { message, ...told }: Told): void {
    const { claims, nodeId, recorder } = this.#options;
    const name = claims.known(volumeId)?.name ?? volumeId;
    recorder.record({ about, ...told, message: `${name} on ${nodeId}: ${message}` });
  }
}

/** With podInfoOnMount of the CSIDriver object. */
function podOf(volumeContext: StringMap): EventTarget | undefined {
  const namespace = volumeContext["csi.storage.k8s.io/pod.namespace"];
  const name = volumeContext["csi.storage.k8s.io/pod.name"];
  const uid = volumeContext["csi.storage.k8s.io/pod.uid"];
  return namespace && name ? { kind: "Pod", namespace, name, uid } : undefined;
}
