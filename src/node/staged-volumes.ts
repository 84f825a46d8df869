/**
 * The volumes that are staged on this node. Those of this process's life have a supervisor here. Those that an earlier plugin process
 * staged have none any more, but their engines may serve on: the kernel's mount table, the volume's record and `owner.json` in its
 * folder tell which mount is whose.
 */
import { DriverError, isFault } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import type { EngineConfig } from "#fuse/engine/protocol.ts";
import type { StoreAccess } from "#s3/store-config.ts";
import { accessOf } from "./credentials.ts";
import type { EngineCommand } from "./engine-process.ts";
import type { KernelMounts } from "./kernel-mounts.ts";
import { livenessOf } from "./liveness.ts";
import type { SuperviseOptions } from "./mount-start.ts";
import { isOurs, type MountRow, readMounts, topMount } from "./mounts.ts";
import { readOwner, StateFolder } from "./state-folder.ts";
import { type LiveConnection, type MountEnd, type MountSupervisor, resumeMount, superviseMount } from "./supervisor.ts";
import type { VolumeRecord, VolumeRecords } from "./volume-records.ts";

export interface StagedVolumesOptions {
  readonly records: VolumeRecords;
  readonly mounts: KernelMounts;
  readonly command: EngineCommand;
  readonly env: NodeJS.ProcessEnv;
  /** The engines' standard output and error. */
  readonly logFd: number;
  readonly log: Logger;
  readonly onTrouble?: ((volumeId: string, report: TroubleReport) => void) | undefined;
  readonly custody?: Custody | undefined;
}

/** Who gets a copy of every mount's descriptor, so that a later process can go on with it. Neither call fails. */
export interface Custody {
  /** Of a new mount, or one whose configuration changed. */
  keep(mount: Supervised): Promise<void>;
  letGo(mount: { readonly volumeId: string; readonly device: string }): Promise<void>;
}

export interface VolumeMount extends Pick<VolumeRecord, "volumeId" | "fingerprint" | "view" | "keys"> {
  /** With the keys: kept in memory only. */
  readonly config: Omit<EngineConfig, "takeover">;
}

export interface Supervised {
  readonly mount: VolumeMount;
  readonly supervisor: MountSupervisor;
  /** As the supervisor's `ended`, after the record says so too. */
  readonly settled: Promise<MountEnd>;
}

/** What is at a volume's staging path. */
export type Located =
  | { readonly state: "absent" }
  /** A mount of ours whose connection has ended: every access is ENOTCONN. */
  | { readonly state: "dead"; readonly row: MountRow }
  /** This volume's mount; `record` is that of its staging. */
  | { readonly state: "live"; readonly row: MountRow; readonly record: VolumeRecord };

/** A LIST shows whether new keys are good; an engine that crashes meanwhile has a successor in this time. */
const ADJUST_MS = 40_000;

export class StagedVolumes {
  readonly #options: StagedVolumesOptions;
  readonly #supervised = new Map<string, Supervised>();
  /** Mounts that ended and were not unstaged since: what another attempt needs. */
  readonly #ended = new Map<string, { readonly mount: VolumeMount; readonly uploaded: boolean }>();

  constructor(options: StagedVolumesOptions) {
    this.#options = options;
  }

  supervised(volumeId: string): Supervised | undefined {
    return this.#supervised.get(volumeId);
  }

  /** All that have a supervisor here. */
  all(): readonly Supervised[] {
    return [...this.#supervised.values()];
  }

  /** What a mount was that ended with data in its spool. */
  leftover(volumeId: string): VolumeMount | undefined {
    const ended = this.#ended.get(volumeId);
    return ended?.uploaded === false ? ended.mount : undefined;
  }

  /** With what the volume is mounted, or was before its mount ended by itself. Undefined after a restart of this process. */
  lastMount(volumeId: string): VolumeMount | undefined {
    return this.#supervised.get(volumeId)?.mount ?? this.#ended.get(volumeId)?.mount;
  }

  /** The volume is unstaged: nothing of it is needed any more, its keys least of all. */
  forget(volumeId: string): void {
    this.#ended.delete(volumeId);
  }

  /** How the volume's engine reaches the store. Undefined without a supervisor here. */
  accessOf(volumeId: string): StoreAccess | undefined {
    const config = this.#supervised.get(volumeId)?.supervisor.config;
    return config && accessOf(config.store);
  }

  /**
   * Gives the volume's engine and its successors other keys, and says whose they are. Throws the store's fault when it refuses them:
   * then the old ones stay. Fault `precondition` without a supervisor here.
   */
  renewAccess(volumeId: string, access: StoreAccess, keys: NonNullable<VolumeMount["keys"]>): Promise<void> {
    return this.#adjust(volumeId, (supervisor) => supervisor.renewAccess(access, ADJUST_MS), { keys });
  }

  /** Shows the volume to this group. Fault `precondition` without a supervisor here. */
  showToGroup(volumeId: string, group: number | undefined): Promise<void> {
    return this.#adjust(volumeId, (supervisor) => supervisor.showToGroup(group, ADJUST_MS));
  }

  async #adjust(
    volumeId: string,
    change: (supervisor: MountSupervisor) => Promise<void>,
    facts: Partial<Pick<VolumeMount, "keys">> = {},
  ): Promise<void> {
    const supervised = this.#supervised.get(volumeId);
    if (supervised === undefined) {
      throw new DriverError(
        "precondition",
        `the engine of volume ${volumeId} belongs to an earlier plugin process and cannot be told anything`,
      );
    }
    await change(supervised.supervisor);
    const { supervisor, mount } = supervised;
    if (this.#supervised.get(volumeId) === supervised) {
      await this.#custody(this.#enter({ ...supervised, mount: { ...mount, ...facts, config: supervisor.config } }));
    }
  }

  /**
   * What the volume's staging path shows. Faults: `in_use` when something else is mounted there, `timed_out` when the mount does not
   * answer, which is no proof that it is dead.
   */
  async locate(volumeId: string, stagingPath: string): Promise<Located> {
    const row = topMount(await readMounts(), stagingPath);
    if (row === undefined) return { state: "absent" };
    if (!isOurs(row))
      throw new DriverError("in_use", `a file system of type ${row.fsType} is mounted on "${stagingPath}"; it is left as it is`);
    const liveness = await livenessOf(stagingPath);
    if (liveness === "dead") return { state: "dead", row };
    if (liveness === "silent") {
      throw new DriverError("timed_out", `the mount of volume ${volumeId} on "${stagingPath}" does not answer now; it is left as it is`);
    }
    const record = await this.#options.records.read(volumeId);
    if (record?.stagingPath !== stagingPath || (await this.deviceOf(volumeId)) !== row.device) {
      throw new DriverError("in_use", `another mount (${row.source}) is on "${stagingPath}"; it is left as it is`);
    }
    return { state: "live", row, record };
  }

  /** `major:minor` of the volume's mount, from whoever started it. */
  async deviceOf(volumeId: string): Promise<string | undefined> {
    const device = this.#supervised.get(volumeId)?.supervisor.device;
    return device ?? (await readOwner(this.#options.records.folder(volumeId)))?.device;
  }

  /**
   * Mounts, and resolves when the mount answers. Throws what kept it from that, and leaves nothing then: no mount, no process, no
   * folder that was not there.
   */
  async start(mount: VolumeMount): Promise<Supervised> {
    const { records } = this.#options;
    const { config, ...facts } = mount;
    const { volumeId } = facts;
    const folder = await StateFolder.claim(config.stateDir, config.mountPoint);
    const before = await records.read(volumeId);
    try {
      await records.change(volumeId, () => {
        const grouped = before?.view?.group === facts.view?.group ? { grouped: before?.grouped ?? [] } : {};
        return { ...facts, ...grouped, stagingPath: config.mountPoint, targets: before?.targets ?? [], phase: "staged" };
      });
    } catch (error) {
      await folder.discard();
      throw error;
    }
    const supervisor = await superviseMount(this.#superviseOptions(mount, folder)).catch(async (error: unknown) => {
      await records.change(volumeId, () => before);
      throw error;
    });
    this.#ended.delete(volumeId);
    return this.#custody(this.#enter({ mount, supervisor, settled: this.#settle(mount, supervisor) }));
  }

  /**
   * Goes on with a mount that an earlier process made, by a successor engine on its connection. Faults, and then the connection stays the
   * caller's: `in_use` while that process or its engine has the state folder, `precondition` when what is there is of another mount.
   */
  async resume(mount: VolumeMount, connection: LiveConnection): Promise<Supervised> {
    const { volumeId, config } = mount;
    const folder = await StateFolder.claim(config.stateDir, config.mountPoint, (before) => {
      if (before?.device === connection.device) return { device: before.device };
      throw new DriverError(
        "precondition",
        `the state of volume ${volumeId} is that of mount ${before?.device}, not of ${connection.device}`,
      );
    });
    const supervisor = resumeMount(this.#superviseOptions(mount, folder), connection);
    const supervised = this.#enter({ mount, supervisor, settled: this.#settle(mount, supervisor) });
    await supervisor
      .recordEngine()
      .catch((error: unknown) => this.#options.log.warn({ error, volumeId }, "cannot record the engine in the state folder"));
    return this.#custody(supervised);
  }

  #superviseOptions({ volumeId, config }: VolumeMount, folder: StateFolder): SuperviseOptions {
    const { mounts, command, env, logFd, log } = this.#options;
    const onTrouble = (report: TroubleReport) => this.#options.onTrouble?.(volumeId, report);
    return { config, folder, mounts, command, env, logFd, onTrouble, log: log.child({ volumeId }) };
  }

  #enter(supervised: Supervised): Supervised {
    this.#supervised.set(supervised.mount.volumeId, supervised);
    return supervised;
  }

  async #custody(supervised: Supervised): Promise<Supervised> {
    await this.#options.custody?.keep(supervised);
    return supervised;
  }

  /**
   * Resolves when all that was written to the volume is in the bucket. Without a supervisor there is nobody to ask: then what was
   * closed is in the bucket already, and open files are their users' business.
   */
  async flush(volumeId: string, ms: number): Promise<void> {
    const supervised = this.#supervised.get(volumeId);
    if (supervised === undefined) return;
    await supervised.supervisor.flush(ms).catch(async (error: unknown) => {
      // The mount ended meanwhile, by itself: its end says whether everything was uploaded.
      if (isFault(error, "unavailable") && supervised.supervisor.health.engine === "ended" && (await supervised.settled).uploaded) return;
      throw error;
    });
  }

  async #settle(mount: VolumeMount, supervisor: MountSupervisor): Promise<MountEnd> {
    const { records, log } = this.#options;
    const end = await supervisor.ended;
    await records
      .change(mount.volumeId, (record) => record && { ...record, phase: end.uploaded ? "uploaded" : "left" })
      .catch((error: unknown) => log.warn({ error, volumeId: mount.volumeId }, "cannot write down how the mount ended"));
    this.#ended.set(mount.volumeId, { mount: this.#supervised.get(mount.volumeId)?.mount ?? mount, uploaded: end.uploaded });
    await this.#options.custody?.letGo({ volumeId: mount.volumeId, device: supervisor.device });
    this.#supervised.delete(mount.volumeId);
    return end;
  }
}
