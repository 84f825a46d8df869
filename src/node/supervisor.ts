/**
 * `MountSupervisor`: keeps one mount alive. It holds /dev/fuse open, so the connection outlives any engine, and starts a
 * successor whenever an engine crashes: applications see a pause, not an error.
 *
 *   opens /dev/fuse, mount(2) -> engine (fd 3) answers INIT -> ready
 *   engine crashes           -> successor with `takeover`, at once, then after 100 ms, 200 ms ... 5 s, as long as it is mounted
 *   somebody unmounts        -> engine reads ENODEV, uploads what is left, exits 0 (or 3: data stays in the spool) -> ended
 *
 * This process must never hold a file open on a mount that it supervises: starting a successor closes the copy of that descriptor
 * in the new process, the kernel asks the engine to flush it, and there is none.
 *
 * If the supervisor itself dies, its engine serves on until the unmount; only restarts and reports are lost. If both die, and somebody
 * has kept a copy of the descriptor (adoption.ts), `resumeMount` goes on with it.
 */
import { closeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import type { EngineConfig, EngineStatus } from "#fuse/engine/protocol.ts";
import type { StoreAccess } from "#s3/store-config.ts";
import { within } from "./deadline.ts";
import { describeExit, type EngineExit, type EngineProcess } from "./engine-process.ts";
import { isDead } from "./liveness.ts";
import { deviceWhenMounted, type ServedMount, type SuperviseOptions, startEngine, startMount } from "./mount-start.ts";
import { readMounts, topMount } from "./mounts.ts";
import { identify } from "./process-identity.ts";
import type { StateFolder } from "./state-folder.ts";

/** How a mount ended. */
export interface MountEnd {
  /** Everything is in the bucket; otherwise `spool` still has data and a later mount with the same state folder uploads it. */
  readonly uploaded: boolean;
}

export interface MountHealth {
  readonly engine: "serving" | "restarting" | "ended";
  readonly enginePid: number;
  readonly restarts: number;
}

/** An engine that lived this long was no part of a crash loop. */
const STABLE_MS = 30_000;
/** Without a mount there is nobody to wait for us: so many successors may try to upload what is left. */
const ATTEMPTS_UNMOUNTED = 5;
/** An engine that says "the mount is gone" sooner than this while the table still shows it read from a dead connection. */
const DEAD_CONNECTION_MS = 10_000;

/** How long to wait before the n-th restart in a row (0: the first): 0, 100, 200, 400 ... 5,000 ms. */
export function restartDelayMs(attempt: number): number {
  return attempt === 0 ? 0 : Math.min(5000, 100 * 2 ** Math.min(attempt - 1, 10));
}

/**
 * Mounts and resolves when the mount answers. Throws the engine's own fault (wrong bucket, key, endpoint), `timed_out`, or that of
 * mount(2); nothing is left behind then: no mount, no process, no folder that this call made.
 */
export async function superviseMount(options: SuperviseOptions): Promise<MountSupervisor> {
  const supervisor = new MountSupervisor(options, await startMount(options));
  await supervisor.recordEngine();
  return supervisor;
}

export interface LiveConnection {
  /** Of /dev/fuse, mounted and initialised; whoever served it is gone. It is the supervisor's from then on. */
  readonly deviceFd: number;
  /** `major:minor` of the mount. */
  readonly device: string;
}

/**
 * Goes on with a mount that was made by an earlier supervisor: starts a successor engine on its connection. Returns at once; what the
 * engine does is seen in `health` and `ended`, as after a crash.
 */
export function resumeMount(options: SuperviseOptions, { deviceFd, device }: LiveConnection): MountSupervisor {
  return new MountSupervisor(options, { deviceFd, device, engine: startEngine(options, deviceFd, true) });
}

export class MountSupervisor {
  /** Resolves once the mount and its engine are gone. Never rejects. */
  readonly ended: Promise<MountEnd>;
  /** Changes when an engine that mounts by itself is replaced. */
  device: string;

  #options: SuperviseOptions;
  readonly #folder: StateFolder;
  /** Undefined when the engine has the only one. */
  readonly #deviceFd: number | undefined;
  readonly #log: Logger;

  #engine: EngineProcess;
  #ready: Promise<void>;
  #restarts = 0;
  #failuresInRow = 0;
  #ended = false;

  constructor(options: SuperviseOptions, { deviceFd, device, engine }: ServedMount) {
    this.#options = options;
    this.#folder = options.folder;
    this.#deviceFd = deviceFd;
    this.#engine = engine;
    this.#ready = engine.ready;
    this.#log = options.log.child({ mountPoint: options.config.mountPoint });
    this.device = device;
    this.ended = this.#watch();
  }

  get config(): Omit<EngineConfig, "takeover"> {
    return this.#options.config;
  }

  get health(): MountHealth {
    const engine = this.#ended ? "ended" : this.#engine.alive ? "serving" : "restarting";
    return { engine, enginePid: this.#engine.pid, restarts: this.#restarts };
  }

  /** The supervisor's own descriptor of the connection, for a copy to be made at once; undefined after the end. */
  get deviceFd(): number | undefined {
    return this.#ended ? undefined : this.#deviceFd;
  }

  /** Resolves when all that was dirty is in the bucket; goes on with a successor when the engine crashes meanwhile. */
  flush(ms: number): Promise<void> {
    return within(
      ms,
      `flushing "${this.config.mountPoint}"`,
      this.#retrying((engine) => engine.flush()),
    );
  }

  status(ms = 5000): Promise<EngineStatus> {
    return within(
      ms,
      `the engine of "${this.config.mountPoint}"`,
      this.#retrying((engine) => engine.status()),
    );
  }

  /** Gives this engine and its successors other keys. Throws the store's fault when it refuses them: then the old ones stay. */
  async renewAccess(access: StoreAccess, ms: number): Promise<void> {
    await within(
      ms,
      `the engine of "${this.config.mountPoint}"`,
      this.#retrying((engine) => engine.renewAccess(access)),
    );
    const { caBundle: _ca, proxy: _proxy, ...location } = this.config.store;
    this.#options = { ...this.#options, config: { ...this.config, store: { ...location, ...access } } };
  }

  /** Shows everything to this group, by this engine and its successors. */
  async showToGroup(group: number | undefined, ms: number): Promise<void> {
    await within(
      ms,
      `the engine of "${this.config.mountPoint}"`,
      this.#retrying((engine) => engine.showToGroup(group)),
    );
    const { group: _before, ...options } = this.config.options;
    this.#options = {
      ...this.#options,
      config: { ...this.config, options: { ...options, ...(group === undefined ? {} : { group }) } },
    };
  }

  /**
   * Flushes, unmounts and waits until engine and mount are gone. Throws `in_use` while somebody uses the mount, and the upload's fault
   * when not everything could be stored; the mount then stays as it was. `force` unmounts all the same: the directory is free at
   * once, what could not be uploaded stays in the spool, and the engine ends when the last user does.
   */
  async stop({ force = false, flushMs, endMs }: { force?: boolean; flushMs: number; endMs: number }): Promise<MountEnd> {
    if (this.#ended) return this.ended;
    await this.flush(flushMs).catch((error: unknown) => {
      if (!force) throw error;
      this.#log.warn({ error }, "unmounting although not everything is uploaded");
    });
    await this.#unmount(force);
    return within(endMs, `the engine of "${this.config.mountPoint}", which is unmounted and uploads what is left`, this.ended);
  }

  /** Writes the engine that serves now into the state folder. */
  async recordEngine(): Promise<void> {
    const engine = await identify(this.#engine.pid);
    await this.#folder.record({ mountPoint: this.config.mountPoint, device: this.device, ...(engine === undefined ? {} : { engine }) });
  }

  async #unmount(lazy: boolean): Promise<void> {
    const { mounts, config } = this.#options;
    const row = topMount(await readMounts(), config.mountPoint);
    // Gone already, or something else was mounted over it: not ours to take away.
    if (row?.device !== this.device) {
      if (await this.#isMounted()) throw new DriverError("in_use", `another file system is mounted over "${config.mountPoint}"`);
      return;
    }
    await mounts.unmount(config.mountPoint, { lazy });
  }

  /** Follows the engine and its successors to the end. */
  async #watch(): Promise<MountEnd> {
    let uploaded = false;
    for (;;) {
      const exit = await this.#engine.exited;
      if (await this.#isOver(exit)) {
        uploaded = exit.code === 0;
        break;
      }
      const next = await this.#restart(exit);
      if (!next) break;
    }
    this.#ended = true;
    await this.#cleanUp();
    this.#log.info({ uploaded, restarts: this.#restarts }, "the mount has ended");
    return { uploaded };
  }

  /** True when the engine ended because the mount is gone, and not from a crash. */
  async #isOver(exit: EngineExit): Promise<boolean> {
    if (exit.code !== 0 && exit.code !== 3) return false;
    if (!(await this.#isMounted())) return true;
    // Either a slip of the engine or a connection that was aborted: the successor will see.
    return this.#restarts > 0 && Date.now() - this.#engine.startedMs < DEAD_CONNECTION_MS;
  }

  /** Starts a successor; false when there is no mount any more and enough of them have failed. */
  async #restart(exit: EngineExit): Promise<boolean> {
    this.#failuresInRow = Date.now() - this.#engine.startedMs > STABLE_MS ? 0 : this.#failuresInRow;
    const delayMs = restartDelayMs(this.#failuresInRow);
    this.#failuresInRow += 1;
    this.#restarts += 1;
    this.#log.error(
      { exit: describeExit(exit), enginePid: this.#engine.pid, restarts: this.#restarts, delayMs },
      "the engine crashed, a successor takes over",
    );
    this.#options.onTrouble?.({ type: "trouble", cause: "engine_crashed", message: `the engine ended (${describeExit(exit)})` });
    if (this.#failuresInRow > ATTEMPTS_UNMOUNTED && !(await this.#isMounted())) return false;
    await sleep(delayMs);
    this.#ready = (await this.#startSuccessor()).ready;
    this.#ready.then(
      () => {
        this.#log.info({ enginePid: this.#engine.pid }, "the successor serves the mount");
        this.#options.onTrouble?.({ type: "recovered", cause: "engine_crashed" });
      },
      (error: unknown) => this.#log.error({ error }, "the successor could not take over"),
    );
    await this.recordEngine().catch((error: unknown) => this.#log.warn({ error }, "cannot record the engine in the state folder"));
    return true;
  }

  /** Starts the next engine. Resolves when it runs; `ready` resolves when it serves. */
  async #startSuccessor(): Promise<{ readonly ready: Promise<void> }> {
    const { config, mounts } = this.#options;
    if (this.#deviceFd === undefined) {
      // The connection died with its engine. Lazily: who has files open there keeps the dead one.
      const row = topMount(await readMounts(), config.mountPoint);
      if (row?.device === this.device && (await isDead(config.mountPoint))) await mounts.unmount(config.mountPoint, { lazy: true });
    }
    this.#engine = startEngine(this.#options, this.#deviceFd, this.#deviceFd !== undefined);
    return { ready: this.#deviceFd === undefined ? this.#knowNewMount(this.#engine) : this.#engine.ready };
  }

  async #knowNewMount(engine: EngineProcess): Promise<void> {
    this.device = await deviceWhenMounted(this.#options, engine);
    await this.recordEngine();
  }

  /** Runs `call` on the engine that serves, and again on its successor when it ended meanwhile. */
  async #retrying<T>(call: (engine: EngineProcess) => Promise<T>): Promise<T> {
    while (!this.#ended) {
      const engine = this.#engine;
      try {
        await this.#ready;
        return await call(engine);
      } catch (error) {
        if (engine.alive) throw error;
        await Promise.race([this.ended, sleep(50)]);
      }
    }
    throw new DriverError("unavailable", `the mount on "${this.config.mountPoint}" has ended`);
  }

  async #isMounted(): Promise<boolean> {
    // The device's number may be another mount's by now. Where we hold the connection a successor would find it dead; elsewhere it would mount anew.
    const isOurs = (mountPoint: string) => this.#deviceFd !== undefined || mountPoint === this.config.mountPoint;
    return (await readMounts()).some((row) => row.device === this.device && isOurs(row.mountPoint));
  }

  /** The descriptor goes, and with it a dead connection that is still in the table (aborted through /sys/fs/fuse). */
  async #cleanUp(): Promise<void> {
    try {
      if (this.#deviceFd !== undefined) closeSync(this.#deviceFd);
      const row = topMount(await readMounts(), this.config.mountPoint);
      // The number may be that of a new mount by now: only one that says ENOTCONN is the dead one.
      if (row?.device === this.device && (await isDead(this.config.mountPoint))) {
        await this.#options.mounts.unmount(this.config.mountPoint, { lazy: true });
      }
      await this.#folder.release();
    } catch (error) {
      this.#log.warn({ error }, "cannot clean up after the mount");
    }
  }
}
