/**
 * NodePublishVolume and NodeUnpublishVolume: bind mounts of the staged volume, one per pod.
 *
 * What is published is always a mount that the kernel's table says is this volume's: never a local directory that happens to be where
 * the mount should be.
 */
import { DriverError } from "#core/errors.ts";
import { ACCESS_MODES, type MountCapability } from "#csi/capabilities.ts";
import { within } from "./deadline.ts";
import type { MountFlags } from "./kernel-mounts.ts";
import { livenessOf } from "./liveness.ts";
import { isOurs, type MountRow, readMounts, topMount } from "./mounts.ts";
import { type StagingParts, type StagingPlace, takeDeadAway, unmountAll } from "./stage.ts";
import { parseMountFlags } from "./stage-plan.ts";
import { makeDirectory, removeDirectory } from "./target-path.ts";

export interface Publication extends StagingPlace {
  /** Canonical. */
  readonly targetPath: string;
  readonly flags: MountFlags & { readonly readOnly: boolean };
  /** No second target may have the volume. */
  readonly single: boolean;
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
 * Makes the volume appear at the target, or finds it there. Faults: `precondition` when it is not staged, or published elsewhere and
 * `single`; `exists` when it is there read-only and is asked writable, or the reverse; `in_use` when something else is mounted there.
 */
export async function publishVolume(parts: StagingParts, publication: Publication): Promise<void> {
  const { volumeId, stagingPath, targetPath, flags } = publication;
  const staged = await requireStaged(parts, publication);
  if (publication.single) await refuseSecondTarget(parts, publication);
  if (await isPublished(parts, publication, staged)) return;
  const undo = await makeDirectory(targetPath);
  try {
    // Noted first: a crash in between leaves a note too many, which says nothing without a mount.
    await noteTargets(parts, volumeId, (targets) => [...targets.filter((path) => path !== targetPath), targetPath]);
    await within(BIND_MS, `mounting "${targetPath}"`, parts.mounts.bindMount(stagingPath, targetPath, flags));
  } catch (error) {
    await undo();
    await noteTargets(parts, volumeId, (targets) => targets.filter((path) => path !== targetPath));
    throw error;
  }
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
  await removeDirectory(targetPath);
  await noteTargets(parts, volumeId, (targets) => targets.filter((path) => path !== targetPath));
}

async function requireStaged(parts: StagingParts, { volumeId, stagingPath }: StagingPlace): Promise<MountRow> {
  const located = await parts.staged.locate(volumeId, stagingPath);
  if (located.state === "live") return located.row;
  const why = located.state === "dead" ? "its engine is gone for good" : "nothing is mounted there";
  throw new DriverError("precondition", `volume ${volumeId} is not staged on "${stagingPath}": ${why}; stage it first`);
}

async function refuseSecondTarget({ records }: StagingParts, { volumeId, targetPath }: Publication): Promise<void> {
  const [record, mounts] = await Promise.all([records.read(volumeId), readMounts()]);
  const other = record?.targets.find((path) => path !== targetPath && isOursAt(mounts, path));
  if (other !== undefined) {
    throw new DriverError(
      "precondition",
      `volume ${volumeId} allows one target at a time (SINGLE_NODE_SINGLE_WRITER) and is published on "${other}"`,
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

function isOursAt(mounts: readonly MountRow[], path: string): boolean {
  const row = topMount(mounts, path);
  return row !== undefined && isOurs(row);
}

async function noteTargets(
  { records }: StagingParts,
  volumeId: string,
  change: (targets: readonly string[]) => readonly string[],
): Promise<void> {
  await records.change(volumeId, (record) => record && { ...record, targets: change(record.targets) });
}
