/** A mount that is known to `status` and `umount`: its entry in the registry and its control socket. */
import { DriverError } from "#core/errors.ts";
import { identify } from "#node/process-identity.ts";
import type { MountSupervisor } from "#node/supervisor.ts";
import { type ControlStatus, serveControl } from "./control.ts";
import type { MountRegistry } from "./registry.ts";

export interface Registration {
  /** Takes entry and socket away. */
  withdraw(): Promise<void>;
}

export interface RegisteredMount {
  readonly id: string;
  readonly supervisor: MountSupervisor;
  readonly logFile?: string;
}

/** An engine that is asked for its status answers between two requests. */
const STATUS_MS = 5000;
/** Uploading what is left takes as long as it takes; these are for links that are dead. */
const STOP_MS = { flushMs: 60 * 60_000, endMs: 60 * 60_000 };
/** `--force` is for those who cannot wait. */
const FORCED_MS = { flushMs: 20_000, endMs: 5_000 };

export async function registerMount(registry: MountRegistry, { id, supervisor, logFile }: RegisteredMount): Promise<Registration> {
  const { store, mountPoint, stateDir } = supervisor.config;
  const self = await identify(process.pid);
  if (self === undefined) throw new DriverError("internal", "/proc does not show this process");
  await registry.prepare(process.getuid?.() ?? 0);
  const server = await serveControl(registry.socketPath(id), {
    status: () => statusOf(supervisor),
    stop: (force) => supervisor.stop({ force, ...(force ? FORCED_MS : STOP_MS) }),
  });
  const source = `s3://${store.bucket}${store.prefix === "" ? "" : `/${store.prefix.slice(0, -1)}`}`;
  await registry.put({
    id,
    source,
    mountPoint,
    device: supervisor.device,
    supervisor: self,
    stateDir,
    ...(logFile === undefined ? {} : { logFile }),
  });
  return {
    withdraw: async () => {
      server.close();
      await registry.remove(id);
    },
  };
}

async function statusOf(supervisor: MountSupervisor): Promise<ControlStatus> {
  try {
    const engine = await supervisor.status(STATUS_MS);
    return { health: supervisor.health, engine };
  } catch (error) {
    return { health: supervisor.health, problem: DriverError.from(error).message };
  }
}
