/**
 * Mounts whose plugin and engines are gone, and whose descriptors the keeper kept: each gets a successor engine here.
 *
 * Never by the path alone. The descriptor says which connection it is, where the kernel tells (Linux 6.16); `owner.json`, written when the
 * engine had answered the kernel, says whose journal belongs to that connection; the volume's record says where it is staged. And never
 * two engines on one connection: the locks of the state folder say whether an engine that outlived its plugin still serves. Then its
 * descriptor is held here until that one ends.
 */
import { closeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { DriverError, isFault } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { type Deposit, type DepositName, hasEnded } from "#keeper/client.ts";
import type { CredentialSource } from "#s3/store-config.ts";
import { decodeKeptMount } from "./kept-mount.ts";
import { isOurs, readMounts } from "./mounts.ts";
import type { StagedVolumes } from "./staged-volumes.ts";
import type { VolumeGate } from "./volume-gate.ts";
import type { VolumeRecords } from "./volume-records.ts";

export interface AdoptionParts {
  readonly staged: () => StagedVolumes;
  readonly records: VolumeRecords;
  readonly gate: VolumeGate;
  /** The driver's own. */
  readonly credentials: CredentialSource;
  /** Tells the keeper that a mount is of no use to anybody. */
  readonly withdraw: (name: DepositName) => Promise<void>;
  readonly log: Logger;
  /** How often a mount that cannot be taken over yet is tried again. Default 1 s. */
  readonly retryMs?: number;
}

/** How long the volume's calls wait for the successor; it goes on by itself. */
const SERVING_MS = 60_000;

export class MountAdopter {
  readonly #parts: AdoptionParts;
  /** Descriptors without a supervisor here, by volume. */
  readonly #waiting = new Map<string, Deposit>();
  readonly #closing = new AbortController();

  constructor(parts: AdoptionParts) {
    this.#parts = parts;
  }

  /** What is held here until it can be taken over. */
  waiting(): readonly Deposit[] {
    return [...this.#waiting.values()];
  }

  /**
   * Takes the descriptor over, and goes after the mount until it is served or nobody can serve it. When this returns the volume's gate is
   * closed, if it was open: calls for the volume are told to come back.
   */
  take(found: Deposit): void {
    if (this.#waiting.has(found.volumeId)) closeSync(found.fd);
    else {
      this.#waiting.set(found.volumeId, found);
      void this.#pursue(found);
    }
  }

  /** Nothing more is taken over; what waits is let go. */
  close(): void {
    this.#closing.abort();
  }

  async #pursue(found: Deposit): Promise<void> {
    const { volumeId, device, fd } = found;
    const log = this.#parts.log.child({ volumeId, device });
    let said = "";
    while (!this.#closing.signal.aborted) {
      try {
        if (await this.#attempt(found, log)) return;
      } catch (error) {
        const { message } = DriverError.from(error);
        if (isFault(error, "in_use") && message !== said)
          log.info({ reason: message }, "an engine of before serves the mount: it gets a successor when it ends");
        else if (!isFault(error, "in_use", "conflict") && message !== said) log.warn({ error }, "the mount cannot be taken over yet");
        said = message;
      }
      await sleep(this.#parts.retryMs ?? 1000, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
    this.#waiting.delete(volumeId);
    closeSync(fd);
  }

  /** True when there is nothing left to do. Throws what may pass. */
  async #attempt(found: Deposit, log: Logger): Promise<boolean> {
    const { gate, staged } = this.#parts;
    if (hasEnded(found.fd)) return this.#drop(found, log, "the mount has ended meanwhile");
    if (staged().supervised(found.volumeId) !== undefined) return this.#drop(found, log, "the volume was mounted anew");
    return gate.alone(found.volumeId, async () => {
      try {
        await this.#adopt(found, log);
        return true;
      } catch (error) {
        if (!isFault(error, "precondition")) throw error;
        // Nobody can serve it. As long as the connection lives, its users wait for ever; without it, the volume can be mounted again.
        log.error({ error }, "the kept mount fits no volume here: it is given up, and fails until the volume is staged again");
        await this.#parts.withdraw(found).catch((failure: unknown) => log.warn({ error: failure }, "the keeper could not be told"));
        return this.#drop(found, log, "it fits no volume here");
      }
    });
  }

  #drop({ volumeId, fd }: Deposit, log: Logger, why: string): true {
    log.info({ why }, "a kept descriptor is let go");
    this.#waiting.delete(volumeId);
    closeSync(fd);
    return true;
  }

  /** Faults: `precondition` when it fits no volume here, `in_use` while an engine of before serves. */
  async #adopt(found: Deposit, log: Logger): Promise<void> {
    const { volumeId, device, fd } = found;
    const { staged, records, credentials } = this.#parts;
    const mount = decodeKeptMount(found.blob, { credentials, stateDir: records.folder(volumeId) });
    const record = await records.read(volumeId);
    const connection = await connectionOf(fd);
    const misfit = misfitOf(found, mount.volumeId, { connection, stagedOn: record?.stagingPath, mountedOn: mount.config.mountPoint });
    if (misfit !== undefined) throw new DriverError("precondition", `the kept mount of volume ${volumeId}: ${misfit}`);
    const rows = (await readMounts()).filter((row) => row.device === device && isOurs(row));
    if (rows.length === 0) log.warn({}, "the mount shows nowhere in this process's view; it is served for those who use it still");
    const { supervisor } = await staged().resume(mount, { deviceFd: fd, device });
    this.#waiting.delete(volumeId);
    log.info(
      { mountPoint: mount.config.mountPoint, enginePid: supervisor.health.enginePid },
      "a successor takes over a mount of an earlier plugin",
    );
    await supervisor
      .status(SERVING_MS)
      .catch((error: unknown) => log.error({ error }, "the successor does not serve yet; it goes on trying"));
  }
}

export interface AdoptionFacts {
  /** The number that the kernel gives the descriptor's connection, where it says one. */
  readonly connection: number | undefined;
  /** By the volume's record. */
  readonly stagedOn: string | undefined;
  /** By what the keeper held. */
  readonly mountedOn: string;
}

/** Why the descriptor is not that of the volume's mount; undefined when nothing speaks against it. */
export function misfitOf({ volumeId, device }: DepositName, keptFor: string, facts: AdoptionFacts): string | undefined {
  if (keptFor !== volumeId) return `it was kept for volume ${keptFor}`;
  if (facts.connection !== undefined && `0:${facts.connection}` !== device)
    return `its descriptor is of connection ${facts.connection}, not of ${device}`;
  if (facts.stagedOn === undefined) return "there is no record of the volume";
  if (facts.stagedOn !== facts.mountedOn) return `it is of "${facts.mountedOn}", and the volume is staged on "${facts.stagedOn}"`;
  return undefined;
}

/** The connection's number from a descriptor's fdinfo; undefined before Linux 6.16. */
async function connectionOf(fd: number): Promise<number | undefined> {
  const digits = /^fuse_connection:\s*(\d+)$/m.exec(await readFile(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];
  return digits === undefined ? undefined : Number(digits);
}
