/** From the directory that a user names to the mount there. */
import { DriverError } from "#core/errors.ts";
import { isOurs, type MountRow, readMounts, topMount } from "#node/mounts.ts";
import { tableName } from "./mount-point.ts";
import type { KnownMount, MountRegistry } from "./registry.ts";

export interface FoundMount {
  readonly mountPoint: string;
  /** Absent for a mount that no `bucketmount mount` of this user has entered, such as the node plugin's. */
  readonly known?: KnownMount;
  /** Absent when it was just unmounted. */
  readonly row?: MountRow;
}

/** Throws `precondition` naming the directory when no mount of ours is on it. */
export async function findMount(dir: string, registry: MountRegistry): Promise<FoundMount> {
  const mounts = await readMounts();
  const mountPoint = await onMount(dir, mounts);
  const row = topMount(mounts, mountPoint);
  const known = (await registry.list(mounts)).find((entry) => entry.mountPoint === mountPoint);
  const ours = row !== undefined && isOurs(row);
  if (known === undefined && !ours) throw new DriverError("precondition", `"${dir}" is not a mount of bucketmount${seen(row)}`);
  return { mountPoint, ...(known === undefined ? {} : { known }), ...(ours ? { row } : {}) };
}

function seen(row: MountRow | undefined): string {
  return row === undefined ? ": nothing is mounted there" : `: ${row.source} (${row.fsType}) is mounted there`;
}

/** A symbolic link to a mount point is followed only when the name itself is no mount point: what is behind one may hang. */
async function onMount(dir: string, mounts: readonly MountRow[]): Promise<string> {
  const named = await tableName(dir);
  if (topMount(mounts, named) !== undefined) return named;
  const { readlink } = await import("node:fs/promises");
  const target = await readlink(named).catch(() => undefined);
  if (target === undefined) return named;
  const { dirname, resolve } = await import("node:path");
  return tableName(resolve(dirname(named), target));
}
