/**
 * NodeStageVolume and NodeUnstageVolume: one engine and one mount per volume and node.
 *
 * Both may be repeated at any point, and after a crash of this process or of the engine: what is there is looked at first, and what
 * is missing is done.
 */
import type { Cause } from "#core/causes.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { isServed } from "#fuse/engine/index.ts";
import { pollUntil, within } from "./deadline.ts";
import type { KernelMounts, SealingMounts } from "./kernel-mounts.ts";
import { livenessOf } from "./liveness.ts";
import { isOurs, type MountRow, mountsOn, readMounts, topMount } from "./mounts.ts";
import { isAlive } from "./process-identity.ts";
import type { StagePlan } from "./stage-plan.ts";
import type { StagedVolumes } from "./staged-volumes.ts";
import { readOwner } from "./state-folder.ts";
import { requireDirectory } from "./target-path.ts";
import type { VolumeRecord, VolumeRecords } from "./volume-records.ts";
import type { VolumeSharing } from "./volume-sharing.ts";

export interface StagingParts {
  readonly staged: StagedVolumes;
  readonly records: VolumeRecords;
  readonly sharing: VolumeSharing;
  readonly mounts: SealingMounts;
  readonly log: Logger;
}

/** Where a volume is staged. `stagingPath` is canonical. */
export interface StagingPlace {
  readonly volumeId: string;
  readonly stagingPath: string;
}

/** Taking a mount away is a matter of milliseconds, unless its users keep it. */
const UNMOUNT_MS = 30_000;
/** Less would give up before an engine could answer at all. */
const SHORTEST_MS = 5000;

/**
 * Mounts the volume, or finds it mounted as asked. Faults: `exists` when it is staged with other parameters, `in_use` when the path or
 * the volume is taken, `precondition` for a path that is no directory, and the engine's own (`no_bucket`, `unauthenticated`, ...).
 */
export async function stageVolume(parts: StagingParts, place: StagingPlace, plan: StagePlan): Promise<void> {
  const located = await parts.staged.locate(place.volumeId, place.stagingPath);
  if (located.state === "live") return takeAsItIs(parts, located.record, plan);
  try {
    await mountVolume(parts, place, plan);
  } catch (error) {
    if (!isWithoutKeys(error, plan)) throw error;
    parts.log.info({ volumeId: place.volumeId, error }, "there are no keys for the volume yet: the first publication has to bring them");
    const { fingerprint, view, keys } = plan;
    const record = { ...place, fingerprint, view, keys, targets: [], phase: "deferred" } as const;
    await parts.records.change(place.volumeId, () => record);
  }
}

/** Neither the request nor the driver has keys. A secret may come with NodePublishVolume alone (nodePublishSecretRef). */
function isWithoutKeys(error: unknown, { keys }: StagePlan): boolean {
  return keys === "driver" && isFault(error, "unauthenticated") && error.context.cause === ("no_credentials" satisfies Cause);
}

/** Mounts what is not mounted, or dead, and mends the publications of a mount that was there before. Faults as stageVolume's. */
export async function mountVolume(parts: StagingParts, place: StagingPlace, plan: StagePlan): Promise<void> {
  const { volumeId, stagingPath } = place;
  if ((await parts.staged.locate(volumeId, stagingPath)).state === "dead") await takeDeadAway(parts.mounts, stagingPath);
  await refuseSecondPlace(parts.staged, place);
  await requireDirectory(stagingPath, "staging_target_path");
  const { fingerprint, view, keys, ...settings } = plan;
  const config = { ...settings, mountPoint: stagingPath, stateDir: parts.records.folder(volumeId) };
  await parts.staged.start({ volumeId, fingerprint, view, keys, config }).catch((error: unknown) => {
    throw withOwner(error, keys);
  });
  await mendTargets(parts, place);
}

/** Says whose keys were refused: there are several places to look for them. */
function withOwner(thrown: unknown, keys: StagePlan["keys"]): DriverError {
  const error = DriverError.from(thrown);
  if (!isFault(error, "unauthenticated", "denied")) return error;
  const whose =
    keys === "secret" ? "the keys are those of the volume's secret" : "the keys are the driver's own: the volume's secret has none";
  return new DriverError(error.fault, `${error.message}; ${whose}`, { context: error.context, cause: error });
}

/** Pods that had the dead mount see the new one in containers that are started from now on, and where mounts propagate. */
async function mendTargets({ records, mounts, log }: StagingParts, { volumeId, stagingPath }: StagingPlace): Promise<void> {
  const rows = await readMounts();
  for (const target of (await records.read(volumeId))?.targets ?? []) {
    const row = topMount(rows, target);
    if (row === undefined || !isOurs(row) || (await livenessOf(target)) !== "dead") continue;
    const has = (option: string) => row.options.includes(option);
    const flags = { readOnly: has("ro"), noSuid: has("nosuid"), noDev: has("nodev"), noExec: has("noexec") };
    try {
      await takeDeadAway(mounts, target);
      await within(UNMOUNT_MS, `mounting "${target}"`, mounts.bindMount(stagingPath, target, flags));
      log.info({ volumeId, target }, "a dead mount of a pod is mended");
    } catch (error) {
      log.warn({ volumeId, target, error }, "a dead mount of a pod could not be mended; the next NodePublishVolume tries again");
    }
  }
}

/**
 * Takes the mount away and resolves when everything is in the bucket and the engine is gone; what is not there is fine. Faults: `in_use`
 * while it is published or open, `timed_out` while uploads go on, the upload's own, `precondition` when data is left that
 * nobody here can upload.
 */
export async function unstageVolume(parts: StagingParts, place: StagingPlace, deadlineAt: number): Promise<void> {
  const { volumeId, stagingPath } = place;
  const leftMs = Math.max(SHORTEST_MS, deadlineAt - Date.now());
  const record = await parts.records.read(volumeId);
  await refuseWhilePublished(record);
  const supervised = parts.staged.supervised(volumeId);
  const row = topMount(await readMounts(), stagingPath);
  if (supervised !== undefined && (row === undefined || row.device === supervised.supervisor.device)) {
    requirePlace(place, supervised.supervisor.config.mountPoint);
    await supervised.supervisor.stop({ flushMs: leftMs, endMs: leftMs });
    await supervised.settled;
  } else if (row !== undefined) {
    await unmountOurs(parts, place, row);
  }
  await awaitEarlierEngine(parts.records.folder(volumeId), leftMs);
  await requireUploaded(parts, volumeId, leftMs);
  await parts.records.change(volumeId, (now) => (now?.stagingPath === stagingPath ? undefined : now));
  parts.staged.forget(volumeId);
  parts.sharing.forget(volumeId);
}

/** Every mount on the path goes, the topmost first, if all are ours. Fault `in_use` for others, and while files are open. */
export async function unmountAll(mounts: KernelMounts, path: string, options: { readonly lazy?: boolean } = {}): Promise<void> {
  for (let rows = mountsOn(await readMounts(), path); rows.length > 0; rows = mountsOn(await readMounts(), path)) {
    const foreign = rows.find((row) => !isOurs(row));
    if (foreign !== undefined)
      throw new DriverError("in_use", `a file system of type ${foreign.fsType} is mounted on "${path}"; it is left as it is`);
    await within(UNMOUNT_MS, `unmounting "${path}"`, mounts.unmount(path, options));
  }
}

/** Its connection has ended, so nothing in it can be lost. Lazily: processes that still stand in it do not keep us. */
export function takeDeadAway(mounts: KernelMounts, path: string): Promise<void> {
  return unmountAll(mounts, path, { lazy: true });
}

/** Staged already: with what is asked for, save for keys that were changed since. */
async function takeAsItIs({ sharing }: StagingParts, record: VolumeRecord, plan: StagePlan): Promise<void> {
  const { volumeId, stagingPath, view } = record;
  const isStaged = `volume ${volumeId} is staged on "${stagingPath}"`;
  if (view?.source !== plan.view.source) throw new DriverError("exists", `${isStaged} with other attributes: ${ONE_HANDLE}`);
  if (view?.context !== plan.view.context) {
    throw new DriverError(
      "exists",
      `${isStaged} ${labelled(view?.context)}, and is asked for ${labelled(plan.view.context)}: ${ONE_LABEL}`,
    );
  }
  if (record.fingerprint !== plan.fingerprint) {
    throw new DriverError("exists", `${isStaged} with other mount options, or another endpoint or region in its secret; unstage it first`);
  }
  await sharing.useStaged(volumeId, plan);
}

export const ONE_HANDLE = "two PersistentVolumes must not have the same volumeHandle";
export const ONE_LABEL = "a volume has one SELinux label on a node, so its pods need the same seLinuxOptions";

export function labelled(context: string | undefined): string {
  return context === undefined ? "without an SELinux label" : `with the SELinux label ${context}`;
}

/** One volume, one engine. One whose mount is gone still uploads, or has users in other places: the volume is free when it has ended. */
async function refuseSecondPlace(staged: StagedVolumes, { volumeId }: StagingPlace): Promise<void> {
  const supervised = staged.supervised(volumeId);
  if (supervised === undefined) return;
  const { device, config } = supervised.supervisor;
  if (topMount(await readMounts(), config.mountPoint)?.device === device) {
    throw new DriverError("in_use", `volume ${volumeId} is staged already, on "${config.mountPoint}"`);
  }
  await within(UNMOUNT_MS, `the engine of volume ${volumeId}, which is unmounted and has not ended yet`, supervised.settled);
}

async function refuseWhilePublished(record: VolumeRecord | undefined): Promise<void> {
  const mounts = await readMounts();
  const target = record?.targets.find((path) => mountsOn(mounts, path).some(isOurs));
  if (target !== undefined) throw new DriverError("in_use", `volume ${record?.volumeId} is still published on "${target}"`);
}

function requirePlace({ volumeId, stagingPath }: StagingPlace, real: string): void {
  if (real !== stagingPath) throw new DriverError("precondition", `volume ${volumeId} is staged on "${real}", not on "${stagingPath}"`);
}

/** A mount of an earlier plugin process, or a dead one. */
async function unmountOurs(parts: StagingParts, { volumeId, stagingPath }: StagingPlace, row: MountRow): Promise<void> {
  const located = await parts.staged.locate(volumeId, stagingPath);
  await unmountAll(parts.mounts, stagingPath, { lazy: located.state === "dead" && isOurs(row) });
}

/**
 * The engine that an earlier plugin process started uploads what is left when its mount is gone, and ends. Its lock tells whether it is
 * there, in whatever container it runs; its process id, in ours, whether it has ended altogether.
 */
async function awaitEarlierEngine(folder: string, ms: number): Promise<void> {
  const engine = (await readOwner(folder))?.engine;
  const isThere = async () => isServed(folder) || (engine !== undefined && (await isAlive(engine)));
  if (await pollUntil(ms, 50, async () => !(await isThere()))) return;
  throw new DriverError("timed_out", "the engine of an earlier plugin process is unmounted and still uploads what is left");
}

/**
 * An engine that left data behind gets a successor while its configuration is known; after a restart of this process, the spool alone
 * tells whether something is left, and without keys it has to wait for the next stage.
 */
async function requireUploaded(parts: StagingParts, volumeId: string, ms: number): Promise<void> {
  const leftover = parts.staged.leftover(volumeId);
  if (leftover !== undefined) {
    const { supervisor, settled } = await parts.staged.start(leftover);
    await supervisor.stop({ flushMs: ms, endMs: ms });
    await settled;
  }
  const record = await parts.records.read(volumeId);
  if (record === undefined || record.phase === "uploaded") return;
  // The engine's own word counts; where nobody heard it, the spool tells.
  if (record.phase === "left" || (await parts.records.unsentFiles(volumeId)) > 0) {
    throw new DriverError(
      "precondition",
      `volume ${volumeId} has data that is not uploaded; it is kept in "${parts.records.folder(volumeId)}" and goes to the bucket when the volume is staged on this node again`,
    );
  }
}
