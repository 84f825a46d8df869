/**
 * From nothing to a mount that answers: the connection, the mount, its first engine. `supervisor.ts` watches over what comes out.
 */
import { closeSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { storeUrl } from "#core/store-url.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import type { EngineConfig } from "#fuse/engine/protocol.ts";
import { pollUntil, within } from "./deadline.ts";
import { type EngineCommand, EngineProcess, engineEnvironment } from "./engine-process.ts";
import type { FuseMountRequest, KernelMounts } from "./kernel-mounts.ts";
import { isDead } from "./liveness.ts";
import { FS_TYPE, isOurs, readMounts, topMount } from "./mounts.ts";
import type { StateFolder } from "./state-folder.ts";

export interface SuperviseOptions {
  readonly config: Omit<EngineConfig, "takeover">;
  /** The claimed `config.stateDir`: let go at the end, discarded when the first start fails. */
  readonly folder: StateFolder;
  readonly command: EngineCommand;
  readonly mounts: KernelMounts;
  readonly log: Logger;
  /** The engine's standard output and error. */
  readonly logFd: number;
  readonly env?: NodeJS.ProcessEnv;
  /** How long the first engine may take until the mount answers. */
  readonly readyMs?: number;
  /** Gives the start up; afterwards it has no effect. */
  readonly signal?: AbortSignal;
  /** Hears what is wrong with the mount, and when it is over. After a crash, what the engine reported before is void. */
  readonly onTrouble?: ((report: TroubleReport) => void) | undefined;
}

/** A mount that answers. */
export interface ServedMount {
  /** Of /dev/fuse; undefined when the engine has the only one (`channel=fuse-native`). */
  readonly deviceFd: number | undefined;
  /** `major:minor`; it names the connection wherever it is mounted. */
  readonly device: string;
  readonly engine: EngineProcess;
}

/** A cold start of Node, the store's probe and a recovery of the journal take seconds on a busy machine. */
const READY_MS = 60_000;
/**
 * How far the kernel reads ahead. Its default of 128 KiB is also the largest READ it then sends; measured on a cold 512 MiB file:
 * 1.4 s with 128 KiB, 1.03 s with 1 MiB, 0.96 s with 4 MiB and with 8 MiB.
 */
const READ_AHEAD_BYTES = 4 << 20;
/**
 * Mounts and resolves when the mount answers. Throws the engine's own fault (wrong bucket, key, endpoint), `timed_out`, or that of
 * mount(2); nothing is left behind then: no mount, no process, no folder that this call made.
 */
export async function startMount(options: SuperviseOptions): Promise<ServedMount> {
  const { config, mounts, folder } = options;
  if (config.options.channel === "fuse-native") return startLibfuse(options);
  let deviceFd: number | undefined;
  let mounted = false;
  let engine: EngineProcess | undefined;
  try {
    deviceFd = mounts.openFuseDevice();
    await mounts.mountFuse(deviceFd, config.mountPoint, mountRequest(config));
    mounted = true;
    const device = await deviceOf(config.mountPoint);
    engine = startEngine(options, deviceFd, false);
    await untilAnswering(options, device, engine);
    return { deviceFd, device, engine };
  } catch (error) {
    engine?.kill();
    if (mounted) await mounts.unmount(config.mountPoint, { lazy: true });
    if (deviceFd !== undefined) closeSync(deviceFd);
    await engine?.exited;
    await folder.discard();
    throw DriverError.from(error);
  }
}

/** The engine mounts by itself, through libfuse. */
async function startLibfuse(options: SuperviseOptions): Promise<ServedMount> {
  const { config, mounts, folder } = options;
  const engine = startEngine(options, undefined, false);
  try {
    const device = await deviceWhenMounted(options, engine);
    await untilAnswering(options, device, engine);
    return { deviceFd: undefined, device, engine };
  } catch (error) {
    engine.kill();
    await engine.exited;
    const row = topMount(await readMounts(), config.mountPoint);
    if (row !== undefined && isOurs(row) && (await isDead(config.mountPoint))) await mounts.unmount(config.mountPoint, { lazy: true });
    await folder.discard();
    throw DriverError.from(error);
  }
}

/** Its mount is in the table some time after it is ready. */
export async function deviceWhenMounted({ config, readyMs = READY_MS }: SuperviseOptions, engine: EngineProcess): Promise<string> {
  await within(readyMs, `the engine of "${config.mountPoint}"`, engine.ready);
  const isThere = async () => !engine.alive || topMount(await readMounts(), config.mountPoint)?.fsType === FS_TYPE;
  await pollUntil(readyMs, 20, isThere);
  return deviceOf(config.mountPoint);
}

async function untilAnswering(options: SuperviseOptions, device: string, engine: EngineProcess): Promise<void> {
  const { mountPoint } = options.config;
  const readyMs = options.readyMs ?? READY_MS;
  const { signal = new AbortController().signal } = options;
  const givenUp = new Promise<never>((_, reject) => {
    const giveUp = () => reject(new DriverError("interrupted", `mounting on "${mountPoint}" was given up before it was ready`));
    if (signal.aborted) giveUp();
    else signal.addEventListener("abort", giveUp, { once: true });
  });
  await within(readyMs, `the engine of "${mountPoint}"`, Promise.race([engine.ready, givenUp]));
  raiseReadAhead(options, device);
  await within(readyMs, `the mount on "${mountPoint}"`, Promise.race([statfs(mountPoint), givenUp]));
}

/** A mount works without it, only slower: in a container /sys may be read-only. */
function raiseReadAhead({ mounts, log }: SuperviseOptions, device: string): void {
  try {
    mounts.setReadAhead({ device }, READ_AHEAD_BYTES);
  } catch (error) {
    log.info({ error, device }, "the kernel's read-ahead stays at its default");
  }
}

/** Starts an engine: the first of the connection, or one that takes it over. */
export function startEngine(options: SuperviseOptions, deviceFd: number | undefined, takeover: boolean): EngineProcess {
  const { command, config, logFd, onTrouble } = options;
  const env = engineEnvironment(options.env ?? process.env, config.store.credentials.kind);
  return new EngineProcess({ command, deviceFd, config: { ...config, takeover }, env, logFd, onTrouble });
}

function mountRequest({ store, options }: Pick<EngineConfig, "store" | "options">): FuseMountRequest {
  return {
    source: storeUrl(store),
    allowOther: options.allowOther,
    readOnly: options.readOnly,
    noSuid: options.noSuid,
    noDev: options.noDev,
    noExec: options.noExec,
    extra: options.kernelOptions,
  };
}

/** The mount's `major:minor`; it names the connection wherever it is mounted. */
async function deviceOf(mountPoint: string): Promise<string> {
  const row = topMount(await readMounts(), mountPoint);
  if (row === undefined || !isOurs(row)) throw new DriverError("internal", `the new mount on "${mountPoint}" is not in the mount table`);
  return row.device;
}
