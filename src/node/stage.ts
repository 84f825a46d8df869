/**
 * NodeStageVolume and NodeUnstageVolume: one engine and one mount per volume and node.
 *
 * Both may be repeated at any point, and after a crash of this process or of the engine: what is there is looked at first, and what
 * is missing is done.
 */
import { DriverError } from "#core/errors.ts";
import { pollUntil, within } from "./deadline.ts";
import type { KernelMounts } from "./kernel-mounts.ts";
import { isOurs, type MountRow, mountsOn, readMounts, topMount } from "./mounts.ts";
import { isAlive } from "./process-identity.ts";
import type { StagePlan } from "./stage-plan.ts";
import type { StagedVolumes } from "./staged-volumes.ts";
import { readOwner } from "./state-folder.ts";
import { requireDirectory } from "./target-path.ts";
import type { VolumeRecord, VolumeRecords } from "./volume-records.ts";

export interface StagingParts {
  readonly staged: StagedVolumes;
  readonly records: VolumeRecords;
  readonly mounts: KernelMounts;
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
  const { volumeId, stagingPath } = place;
  const located = await parts.staged.locate(volumeId, stagingPath);
  if (located.state === "live") return requireSame(located.record, plan);
  if (located.state === "dead") await takeDeadAway(parts.mounts, stagingPath);
  await refuseSecondPlace(parts.staged, place);
  await requireDirectory(stagingPath, "staging_target_path");
  const { fingerprint, ...settings } = plan;
  const config = { ...settings, mountPoint: stagingPath, stateDir: parts.records.folder(volumeId) };
  await parts.staged.start({ volumeId, fingerprint, config });
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

function requireSame(record: VolumeRecord, plan: StagePlan): void {
  if (record.fingerprint === plan.fingerprint) return;
  throw new DriverError(
    "exists",
    `volume ${record.volumeId} is staged on "${record.stagingPath}" with other attributes or mount options; unstage it first`,
  );
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

/** The engine that an earlier plugin process started uploads what is left when its mount is gone, and ends. */
async function awaitEarlierEngine(folder: string, ms: number): Promise<void> {
  const engine = (await readOwner(folder))?.engine;
  if (engine === undefined || (await pollUntil(ms, 50, async () => !(await isAlive(engine))))) return;
  throw new DriverError("timed_out", `engine ${engine.pid} is unmounted and still uploads what is left`);
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
  await parts.records.change(volumeId, (now) => now && { ...now, phase: "uploaded" });
}
