/**
 * `bucketmount umount`: asks the mount's supervisor to upload, unmount and end, and waits until its processes are gone.
 * Without a supervisor (killed, or the mount is the node plugin's) it is umount(2), and the engine uploads and ends by itself.
 */
import { join } from "node:path";
import { DriverError, isFault } from "#core/errors.ts";
import { pollUntil } from "#node/deadline.ts";
import { isDead } from "#node/liveness.ts";
import { readMounts, topMount } from "#node/mounts.ts";
import { isAlive, type ProcessIdentity } from "#node/process-identity.ts";
import { readOwner } from "#node/state-folder.ts";
import { askStop } from "./control.ts";
import { kernelMounts } from "./kernel-mounts.ts";
import { findMount } from "./known-mount.ts";
import type { ProcessContext } from "./process-context.ts";
import { type KnownMount, openRegistry } from "./registry.ts";

/** Longer than the supervisor's own limits (mount-registration.ts), whose messages say more. */
const STOP_MS = 3 * 60 * 60_000;
/** After its last answer a supervisor has only to end. */
const EXIT_MS = 60_000;
/** For an engine alone, which may have much to upload. */
const ENGINE_EXIT_MS = 60 * 60_000;
const POLL_MS = 20;

export interface UmountRequest {
  readonly dir: string;
  readonly force: boolean;
}

export async function runUmount({ dir, force }: UmountRequest, context: ProcessContext): Promise<number> {
  const registry = openRegistry(context.env);
  const { mountPoint, known, row } = await findMount(dir, registry);
  if (known?.supervised) return stopSupervised(known, registry.socketPath(known.id), force, context);
  const owner = known === undefined ? undefined : await readOwner(known.stateDir);
  if (row !== undefined) await kernelMounts.unmount(mountPoint, { lazy: force || (await isDead(mountPoint)) });
  if (owner?.engine !== undefined)
    await untilGone(owner.engine, ENGINE_EXIT_MS, `the engine of "${mountPoint}", which uploads what is left`);
  if (known !== undefined) await registry.remove(known.id);
  return 0;
}

async function stopSupervised(known: KnownMount, socketPath: string, force: boolean, context: ProcessContext): Promise<number> {
  const { mountPoint, stateDir, supervisor } = known;
  try {
    const { uploaded } = await askStop(socketPath, force, STOP_MS);
    await untilGone(supervisor, EXIT_MS, `the supervisor of "${mountPoint}"`);
    if (uploaded) return 0;
    context.err(
      `not everything of "${mountPoint}" could be uploaded; it is kept in ${join(stateDir, "spool")} and goes to the bucket at the next mount`,
    );
    return 1;
  } catch (error) {
    // It ended while we asked, as after a plain umount(8) at the same time.
    if (isFault(error, "unavailable") && !(await isAlive(supervisor))) return 0;
    if (force && isFault(error, "timed_out") && !(await isMounted(known))) {
      context.err(`"${mountPoint}" is detached; its engine goes on until its last user ends and everything is uploaded`);
      return 0;
    }
    if (isFault(error, "in_use")) throw new DriverError("in_use", `${error.message}; --force detaches it all the same`);
    throw error;
  }
}

async function isMounted({ mountPoint, device }: KnownMount): Promise<boolean> {
  return topMount(await readMounts(), mountPoint)?.device === device;
}

async function untilGone(who: ProcessIdentity, ms: number, what: string): Promise<void> {
  if (await pollUntil(ms, POLL_MS, async () => !(await isAlive(who)))) return;
  throw new DriverError("timed_out", `${what} (pid ${who.pid}) has not ended within ${ms / 60_000} min; it goes on by itself`);
}
