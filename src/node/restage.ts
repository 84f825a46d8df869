/**
 * NodePublishVolume's repair of a staging whose mount is gone or dead: its engine, the plugin and the keeper all died, or it had to wait for
 * keys. The kubelet does not repeat NodeStageVolume while a pod has the volume, so nobody else would.
 *
 * A publication brings attributes, mount flags and perhaps a secret. Keys of the staging's secret it does not bring: they are in the
 * memory of this process, or not to be had; the driver's own are at hand.
 */
import { DriverError } from "#core/errors.ts";
import type { MountRow } from "./mounts.ts";
import { mountVolume, type StagingParts, type StagingPlace } from "./stage.ts";
import type { StagePlan } from "./stage-plan.ts";
import type { VolumeMount } from "./staged-volumes.ts";
import type { VolumeRecord } from "./volume-records.ts";

/**
 * The row of the volume's mount, which is made again where it has to be. Faults: `precondition` when the volume is not staged, or when
 * the keys for it are not to be had here; those of NodeStageVolume.
 */
export async function ensureStaged(parts: StagingParts, place: StagingPlace, plan: StagePlan | undefined): Promise<MountRow> {
  const { volumeId, stagingPath } = place;
  const located = await parts.staged.locate(volumeId, stagingPath);
  if (located.state === "live") return located.row;
  const record = await parts.records.read(volumeId);
  if (record?.stagingPath !== stagingPath) {
    throw new DriverError("precondition", `volume ${volumeId} is not staged on "${stagingPath}"; stage it first`);
  }
  await mountVolume(parts, place, repairPlan(parts.staged.lastMount(volumeId), record, plan));
  const again = await parts.staged.locate(volumeId, stagingPath);
  if (again.state === "live") return again.row;
  throw new DriverError("unavailable", `the new mount of volume ${volumeId} on "${stagingPath}" has ended already; try again`);
}

/**
 * How to mount again what was staged, from the publication's plan or from the last mount. The group stays that of the publications that
 * live. Fault `precondition`: the keys are not to be had here.
 */
export function repairPlan(last: VolumeMount | undefined, record: VolumeRecord, plan: StagePlan | undefined): StagePlan {
  const chosen = choosePlan(last, record, plan);
  const view = { ...chosen.view, ...record.view };
  return { ...chosen, view, options: view.group === undefined ? chosen.options : { ...chosen.options, group: view.group } };
}

function choosePlan(last: VolumeMount | undefined, record: VolumeRecord, plan: StagePlan | undefined): StagePlan {
  if (plan !== undefined && brings(plan, record)) return plan;
  if (last !== undefined) {
    const { fingerprint, view = {}, keys = "driver", config } = last;
    return { ...config, fingerprint, view, keys };
  }
  throw new DriverError("precondition", `volume ${record.volumeId} ${missing(record)}`);
}

/** True when the publication has all that is needed. */
function brings(plan: StagePlan, record: VolumeRecord): boolean {
  if (record.phase === "deferred") return plan.keys === "secret" && plan.view.source === record.view?.source;
  return plan.fingerprint === record.fingerprint && (plan.keys === "secret" || record.keys === "driver");
}

function missing({ phase }: VolumeRecord): string {
  if (phase === "deferred") {
    return "was staged without keys, and this publication brings none: name a secret with accessKeyID and secretAccessKey in nodeStageSecretRef or nodePublishSecretRef, or give the driver credentials of its own";
  }
  return "has lost its engine and cannot be mounted again by a publication: its keys came with NodeStageVolume only. Delete the pods that have it on this node; name the secret in nodePublishSecretRef too (in a StorageClass: csi.storage.k8s.io/node-publish-secret-name), and it is mended without that";
}
