/** `bucketmount status`: what the registry knows, and what each mount's engine says. */
import { DriverError } from "#core/errors.ts";
import { isDead } from "#node/liveness.ts";
import { readMounts } from "#node/mounts.ts";
import { askStatus } from "./control.ts";
import { findMount } from "./known-mount.ts";
import type { MountStatus } from "./mount-status.ts";
import type { ProcessContext } from "./process-context.ts";
import { type KnownMount, type MountRegistry, openRegistry } from "./registry.ts";
import { describeMount } from "./status-text.ts";

export interface StatusRequest {
  readonly dir: string | undefined;
  readonly json: boolean;
}

/** Longer than the supervisor waits for its engine (mount-registration.ts). */
const ASK_MS = 15_000;

export async function runStatus({ dir, json }: StatusRequest, context: ProcessContext): Promise<number> {
  const registry = openRegistry(context.env);
  const wanted = dir === undefined ? await registry.list(await readMounts()) : [await knownMount(dir, registry)];
  const all = await Promise.all(wanted.map((known) => statusOf(known, registry)));
  if (json) context.out(JSON.stringify(all, undefined, 2));
  else context.out(all.length === 0 ? "no mounts" : all.map(describeMount).join("\n\n"));
  return 0;
}

async function knownMount(dir: string, registry: MountRegistry): Promise<KnownMount> {
  const { known } = await findMount(dir, registry);
  if (known !== undefined) return known;
  throw new DriverError(
    "precondition",
    `the mount on "${dir}" was not made by \`bucketmount mount\` of this user: its status is with who made it`,
  );
}

async function statusOf(known: KnownMount, registry: MountRegistry): Promise<MountStatus> {
  const { mountPoint, source, stateDir, logFile, supervisor } = known;
  const base = { mountPoint, source, stateDir, ...(logFile === undefined ? {} : { logFile }) };
  if (!known.supervised)
    return { ...base, state: (await isDead(mountPoint)) ? "dead" : "unsupervised", problem: "its supervisor has ended" };
  try {
    const { health, engine, problem } = await askStatus(registry.socketPath(known.id), ASK_MS);
    const state = health.engine === "ended" ? "ending" : engine === undefined ? "restarting" : health.engine;
    return {
      ...engine,
      ...base,
      state,
      supervisorPid: supervisor.pid,
      restarts: health.restarts,
      ...(problem === undefined ? {} : { problem }),
    };
  } catch (error) {
    return { ...base, state: "ending", supervisorPid: supervisor.pid, problem: DriverError.from(error).message };
  }
}
