/**
 * NodePublishVolume and NodeUnpublishVolume: bind mounts of the staged volume, one per pod.
 *
 * What is published is always a mount that the kernel's table says is this volume's: never a local directory that happens to be where
 * the mount should be.
 */
import { DriverError } from "#core/errors.ts";
import { ACCESS_MODES, type MountCapability } from "#csi/capabilities.ts";
import type { StoreAccess } from "#s3/store-config.ts";
import { within } from "./deadline.ts";
import type { MountFlags } from "./kernel-mounts.ts";
import { livenessOf } from "./liveness.ts";
import { isOurs, type MountRow, readMounts, topMount } from "./mounts.ts";
import { ensureStaged } from "./restage.ts";
import { labelled, ONE_HANDLE, ONE_LABEL, type StagingParts, type StagingPlace, takeDeadAway, unmountAll } from "./stage.ts";
import { parseMountFlags, type StagePlan } from "./stage-plan.ts";
import { makeDirectory, removeDirectory } from "./target-path.ts";
import { seal, unseal } from "./under-mount.ts";
import type { VolumeRecord, VolumeView } from "./volume-records.ts";
import { isOursAt } from "./volume-sharing.ts";

export interface Publication extends StagingPlace {
  /** Canonical. */
  readonly targetPath: string;
  readonly flags: MountFlags & { readonly readOnly: boolean };
  /** No second target may have the volume. */
  readonly single: boolean;
  /** What the publication asks the whole mount to be. */
  readonly view: VolumeView;
  /** As if this were the staging, with the publication's own secret. Undefined when the request has no attributes. */
  readonly plan: StagePlan | undefined;
  /** What its secret brings. */
  readonly brought: StoreAccess | undefined;
}

const BIND_MS = 30_000;
const SHORTEST_FLUSH_MS = 5000;

/** The flags of one bind mount. Fault `bad_argument` naming a wrong mount flag. */
export function bindFlags(capability: MountCapability, readonly: boolean): Publication["flags"] {
  const { ro = false, nosuid = true, nodev = true, noexec = false } = parseMountFlags(capability.mountFlags);
  return { readOnly: readonly || ro || capability.readOnly, noSuid: nosuid, noDev: nodev, noExec: noexec };
}

/** True when the mode allows one target only. */
export function isSingle(capability: MountCapability): boolean {
  return ACCESS_MODES[capability.mode].targets === "one";
}

/**
 * Makes the volume appear at the target, or finds it there. Faults: `precondition` when it is not staged and cannot be mounted again, is
 * published elsewhere and `single`, or is shared with publications that ask for something else; `exists` when it is there read-only and
 * is asked writable, or the reverse; `in_use` when something else is mounted there; the store's when it refuses new keys.
 */
export async function publishVolume(parts: StagingParts, publication: Publication): Promise<void> {
  const { volumeId, targetPath } = publication;
  const staged = await parts.sharing.turn(volumeId, async () => {
    const row = await ensureStaged(parts, publication, publication.plan);
    await agree(parts, publication, row);
    return row;
  });
  if (await isPublished(parts, publication, staged)) return;
  try {
    await bind(parts, publication, staged);
  } catch (error) {
    await forgetTarget(parts, volumeId, targetPath);
    throw error;
  }
}

/** What all publications share is as this one wants it. In the volume's turn. */
async function agree(parts: StagingParts, publication: Publication, staged: MountRow): Promise<void> {
  const { volumeId, targetPath, single, view, plan, brought, flags } = publication;
  const record = await parts.records.read(volumeId);
  if (single) await refuseSecondTarget(record, targetPath);
  refuseOtherView(record, view);
  if (!flags.readOnly && staged.options.includes("ro")) {
    throw new DriverError(
      "precondition",
      `volume ${volumeId} is staged read-only (its access mode, or the mount option ro): it cannot be published writable`,
    );
  }
  await parts.sharing.joinGroup(volumeId, targetPath, view.group);
  if (brought !== undefined) await parts.sharing.bringKeys(volumeId, targetPath, brought);
  else if (plan !== undefined && record?.keys === "driver") await parts.sharing.useDriverKeys(volumeId, plan.store.credentials);
}

async function bind(parts: StagingParts, { volumeId, stagingPath, targetPath, flags }: Publication, staged: MountRow): Promise<void> {
  const { mounts } = parts;
  const undo = await makeDirectory(targetPath);
  try {
    // Noted first: a crash in between leaves a note too many, which says nothing without a mount.
    await noteTarget(parts, volumeId, targetPath);
    await seal(mounts, targetPath);
    await within(BIND_MS, `mounting "${targetPath}"`, mounts.bindMount(stagingPath, targetPath, flags));
  } catch (error) {
    await unseal(mounts, targetPath);
    await undo();
    throw error;
  }
  // The staged mount may have ended just before: then this is the directory under it.
  const row = topMount(await readMounts(), targetPath);
  if (row?.device === staged.device) return;
  if (row !== undefined) await within(BIND_MS, `unmounting "${targetPath}"`, mounts.unmount(targetPath, { lazy: true }));
  throw new DriverError("unavailable", `the mount of volume ${volumeId} ended while it was being published; try again`);
}

/**
 * Uploads what is dirty, then takes every mount at the target away, and the directory. What is not there is fine. Faults: the upload's,
 * `in_use` while files are open or for a mount of somebody else, `precondition` for a directory that is not empty.
 */
export async function unpublishVolume(
  parts: StagingParts,
  { volumeId, targetPath }: Pick<Publication, "volumeId" | "targetPath">,
  deadlineAt: number,
): Promise<void> {
  const row = topMount(await readMounts(), targetPath);
  if (row !== undefined) {
    if (row.device === parts.staged.supervised(volumeId)?.supervisor.device) {
      await parts.staged.flush(volumeId, Math.max(SHORTEST_FLUSH_MS, deadlineAt - Date.now()));
    }
    await refuseOtherVolume(parts, volumeId, targetPath, row);
    await unmountAll(parts.mounts, targetPath);
  }
  await unseal(parts.mounts, targetPath);
  await removeDirectory(targetPath);
  await forgetTarget(parts, volumeId, targetPath);
}

async function refuseSecondTarget(record: VolumeRecord | undefined, targetPath: string): Promise<void> {
  const mounts = await readMounts();
  const other = record?.targets.find((path) => path !== targetPath && isOursAt(mounts, path));
  if (other === undefined) return;
  throw new DriverError(
    "precondition",
    `volume ${record?.volumeId} allows one target at a time (SINGLE_NODE_SINGLE_WRITER) and is published on "${other}"`,
  );
}

function refuseOtherView(record: VolumeRecord | undefined, { source, context }: VolumeView): void {
  if (record === undefined) return;
  const { volumeId, view = {} } = record;
  if (source !== undefined && view.source !== undefined && source !== view.source) {
    throw new DriverError("precondition", `volume ${volumeId} is staged with other attributes: ${ONE_HANDLE}`);
  }
  if (context !== undefined && context !== view.context) {
    throw new DriverError(
      "precondition",
      `volume ${volumeId} is staged ${labelled(view.context)}, and is asked for ${labelled(context)}: ${ONE_LABEL}`,
    );
  }
}

/** True when it is there as asked. A dead mount at the target is taken away. */
async function isPublished(parts: StagingParts, { targetPath, flags }: Publication, staged: MountRow): Promise<boolean> {
  const row = topMount(await readMounts(), targetPath);
  if (row === undefined) return false;
  if (row.device === staged.device) {
    const isReadOnly = row.options.includes("ro");
    if (isReadOnly === (flags.readOnly || staged.options.includes("ro"))) return true;
    throw new DriverError("exists", `"${targetPath}" is published ${isReadOnly ? "read-only" : "writable"} already; unpublish it first`);
  }
  if (isOurs(row) && (await livenessOf(targetPath)) === "dead") {
    await takeDeadAway(parts.mounts, targetPath);
    return false;
  }
  throw new DriverError("in_use", `something else (${row.source}) is mounted on "${targetPath}"; it is left as it is`);
}

/** A living mount of another volume is nothing that this call was meant for. */
async function refuseOtherVolume(parts: StagingParts, volumeId: string, targetPath: string, row: MountRow): Promise<void> {
  const device = await parts.staged.deviceOf(volumeId);
  const record = await parts.records.read(volumeId);
  if (row.device === device || record?.targets.includes(targetPath) || !isOurs(row)) return;
  if ((await livenessOf(targetPath)) === "dead") return;
  throw new DriverError("in_use", `another volume (${row.source}) is mounted on "${targetPath}"; it is left as it is`);
}

async function forgetTarget({ records, sharing }: StagingParts, volumeId: string, targetPath: string): Promise<void> {
  const without = (targets: readonly string[] = []) => targets.filter((path) => path !== targetPath);
  await records.change(volumeId, (record) => record && { ...record, targets: without(record.targets), grouped: without(record.grouped) });
  sharing.leave(volumeId, targetPath);
}

async function noteTarget({ records }: StagingParts, volumeId: string, targetPath: string): Promise<void> {
  const withIt = (targets: readonly string[]) => [...targets.filter((path) => path !== targetPath), targetPath];
  await records.change(volumeId, (record) => record && { ...record, targets: withIt(record.targets) });
}
