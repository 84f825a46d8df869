/** The directory to mount on. Every refusal names it. */
import { readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { DriverError } from "#core/errors.ts";
import { within } from "#node/deadline.ts";
import { isDead } from "#node/liveness.ts";
import { isOurs, type MountRow, topMount } from "#node/mounts.ts";

/** Whoever is mounted on the way to the directory may hang. */
const LOOK_MS = 10_000;

/**
 * The directory as the mount table names it: absolute, without symbolic links before its last part. The last part is not looked at:
 * behind it may be a mount that does not answer. Throws `not_found`.
 */
export async function tableName(dir: string): Promise<string> {
  const path = resolve(dir);
  if (dirname(path) === path) return path;
  const parent = await within(LOOK_MS, `"${dirname(path)}"`, realpath(dirname(path))).catch((error: unknown) => {
    throw refusal(dir, error);
  });
  return join(parent, basename(path));
}

/** The directory's real path, when it can be mounted on. Throws `not_found`, `not_dir`, `in_use` or `denied`. */
export async function checkMountPoint(dir: string, mounts: readonly MountRow[], allow: { readonly nonempty: boolean }): Promise<string> {
  const named = await tableName(dir);
  await refuseMounted(dir, topMount(mounts, named), allow.nonempty);
  const path = await look(dir, realpath(named));
  if (path !== named) await refuseMounted(dir, topMount(mounts, path), allow.nonempty);
  if (!(await look(dir, stat(path))).isDirectory()) throw new DriverError("not_dir", `cannot mount on "${dir}": it is not a directory`);
  if (!allow.nonempty && (await look(dir, readdir(path))).length > 0) {
    throw new DriverError("in_use", `cannot mount on "${dir}": it is not empty (-o nonempty mounts over what is there)`);
  }
  return path;
}

async function refuseMounted(dir: string, row: MountRow | undefined, nonempty: boolean): Promise<void> {
  if (row === undefined || (nonempty && !isOurs(row))) return;
  if (await isDead(row.mountPoint)) {
    throw new DriverError(
      "in_use",
      `cannot mount on "${dir}": a mount of ${row.source} is there whose process has ended; first run: bucketmount umount ${dir}`,
    );
  }
  throw new DriverError("in_use", `cannot mount on "${dir}": ${row.source} is already mounted there`);
}

async function look<T>(dir: string, work: Promise<T>): Promise<T> {
  return within(LOOK_MS, `"${dir}"`, work).catch((error: unknown) => {
    throw refusal(dir, error);
  });
}

function refusal(dir: string, error: unknown): DriverError {
  const reasons: Readonly<Record<string, readonly ["not_found" | "not_dir" | "denied", string]>> = {
    ENOENT: ["not_found", "there is no such directory: make it first"],
    ENOTDIR: ["not_dir", "a part of the path is not a directory"],
    EACCES: ["denied", "permission denied"],
    ELOOP: ["not_found", "too many symbolic links"],
  };
  const known = reasons[(error as NodeJS.ErrnoException).code ?? ""];
  if (known === undefined) return DriverError.from(error);
  return new DriverError(known[0], `"${dir}": ${known[1]}`, { cause: error });
}
