/**
 * What all publications of a volume on this node share, since one engine serves them: the group that everything belongs to, and the keys.
 *
 * - **Group** (fsGroup): the one that the living publications ask for. Who asks for none has no objection. While none of them asks for
 *   another one it may change; two at once are refused.
 * - **Keys**: those of the last publication that brought other ones than it had, if the store takes them: so a rotated secret reaches the
 *   engine when the kubelet repeats NodePublishVolume, without a remount. A publication that comes back with what it had, while
 *   another's newer keys are in use, has another secret: it is refused, or the two would take turns for ever.
 */
import { DriverError } from "#core/errors.ts";
import { Mutex } from "#core/mutex.ts";
import type { CredentialSource, StoreAccess } from "#s3/store-config.ts";
import { accessOf, isSameAccess } from "./credentials.ts";
import { isOurs, type MountRow, readMounts, topMount } from "./mounts.ts";
import type { StagePlan } from "./stage-plan.ts";
import type { StagedVolumes } from "./staged-volumes.ts";
import type { VolumeRecord, VolumeRecords } from "./volume-records.ts";

interface Shared {
  /** Publications come at once, and what they share is decided one after the other. */
  readonly turns: Mutex;
  /** The keys that publications brought, by target. In memory only. */
  readonly brought: Map<string, StoreAccess>;
}

export class VolumeSharing {
  readonly #staged: StagedVolumes;
  readonly #records: VolumeRecords;
  readonly #shared = new Map<string, Shared>();

  constructor(staged: StagedVolumes, records: VolumeRecords) {
    this.#staged = staged;
    this.#records = records;
  }

  /** Runs the sections of one volume one after the other. */
  turn<T>(volumeId: string, section: () => Promise<T>): Promise<T> {
    return this.#of(volumeId).turns.run(section);
  }

  /**
   * Makes the volume belong to the group that a publication asks for; undefined asks for nothing. In its volume's turn. Fault `precondition`
   * while another publication has another group.
   */
  async joinGroup(volumeId: string, targetPath: string, group: number | undefined): Promise<void> {
    if (group === undefined) return;
    const mounts = await readMounts();
    let before: VolumeRecord | undefined;
    await this.#records.change(volumeId, (record) => {
      before = record;
      return record && inGroup(record, targetPath, group, mounts);
    });
    if (before === undefined || before.view?.group === group) return;
    try {
      await this.#staged.showToGroup(volumeId, group);
    } catch (error) {
      const { view = {}, grouped = [] } = before;
      await this.#records.change(volumeId, (record) => record && { ...record, grouped, view });
      throw error;
    }
  }

  /**
   * Has the engine go on with what a publication brings; the rest stays. In its volume's turn. Faults: the store's when it refuses them,
   * `precondition` when another publication's newer keys are in use.
   */
  async bringKeys(volumeId: string, targetPath: string, access: StoreAccess): Promise<void> {
    const { brought } = this.#of(volumeId);
    const current = this.#staged.accessOf(volumeId);
    // An engine of an earlier plugin process: it works with what it has.
    if (current === undefined) return;
    const inUse = (one: StoreAccess) => isSameAccess({ ...current, ...one }, current);
    if (!inUse(access)) {
      const had = brought.get(targetPath);
      const newer = [...brought].find(([path, theirs]) => path !== targetPath && inUse(theirs));
      if (had !== undefined && newer !== undefined && isSameAccess(had, access)) throw twoSecrets(volumeId, newer[0]);
      await this.#staged.renewAccess(volumeId, { ...current, ...access }, "secret");
    }
    brought.set(targetPath, access);
  }

  /** Has the engine go on as a repeated staging says. Faults: the store's when it refuses the keys. */
  async useStaged(volumeId: string, { store, keys }: Pick<StagePlan, "store" | "keys">): Promise<void> {
    const current = this.#staged.accessOf(volumeId);
    // Keys that publications brought go before these, and a provider chain renews its own.
    if (current === undefined || store.credentials.kind === "chain" || this.#hasBrought(volumeId)) return;
    if (!isSameAccess(store, current)) await this.#staged.renewAccess(volumeId, accessOf(store), keys);
  }

  /** Has the engine go on with the driver's own keys of today: they may be others than at the staging. Faults: the store's. */
  async useDriverKeys(volumeId: string, credentials: CredentialSource): Promise<void> {
    const current = this.#staged.accessOf(volumeId);
    if (current === undefined || credentials.kind === "chain" || this.#hasBrought(volumeId)) return;
    const access = { ...current, credentials };
    if (!isSameAccess(access, current)) await this.#staged.renewAccess(volumeId, access, "driver");
  }

  /** The target is unpublished. */
  leave(volumeId: string, targetPath: string): void {
    this.#shared.get(volumeId)?.brought.delete(targetPath);
  }

  /** The volume is unstaged. */
  forget(volumeId: string): void {
    this.#shared.delete(volumeId);
  }

  #hasBrought(volumeId: string): boolean {
    return this.#of(volumeId).brought.size > 0;
  }

  #of(volumeId: string): Shared {
    const shared = this.#shared.get(volumeId) ?? { turns: new Mutex(), brought: new Map() };
    this.#shared.set(volumeId, shared);
    return shared;
  }
}

/** The record with the target in the group. Throws while another living target is in another one. */
export function inGroup(record: VolumeRecord, targetPath: string, group: number, mounts: readonly MountRow[]): VolumeRecord {
  const others = (record.grouped ?? []).filter((path) => path !== targetPath);
  if (record.view?.group === group) return { ...record, grouped: [...others, targetPath] };
  const holder = others.find((path) => isOursAt(mounts, path));
  if (holder === undefined) return { ...record, view: { ...record.view, group }, grouped: [targetPath] };
  throw new DriverError(
    "precondition",
    `volume ${record.volumeId} is published for group ${record.view?.group} (fsGroup) on "${holder}" and cannot belong to group ${group} as well on this node: give its pods one fsGroup, or none, or name the owning group for all of them among the PersistentVolume's mountOptions (gid=..., file_mode=0666, dir_mode=0777)`,
  );
}

function twoSecrets(volumeId: string, other: string): DriverError {
  return new DriverError(
    "precondition",
    `the publication of volume ${volumeId} on "${other}" brought newer keys, which are in use: all pods that have a volume on one node share its engine, so give them one secret (nodePublishSecretRef)`,
  );
}

/** True when a mount of an engine is at the path, dead or alive. */
export function isOursAt(mounts: readonly MountRow[], path: string): boolean {
  const row = topMount(mounts, path);
  return row !== undefined && isOurs(row);
}
