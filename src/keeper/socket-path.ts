/**
 * The place of the keeper's socket: a folder that is the keeper's alone (0700), so that nobody else can put a socket there, and a lock
 * that says whether another keeper lives. Under the lock a socket that is there already is a dead keeper's, and goes.
 */
import { closeSync, openSync } from "node:fs";
import { chmod, lstat, mkdir, readdir, rm } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { DriverError } from "#core/errors.ts";
import { lockExclusively } from "#fuse/channel/unix-socket.ts";

export interface SocketClaim {
  /** Socket and lock stay as files: a successor finds the lock free. */
  readonly release: () => void;
}

/** Makes the folder, takes the lock, and takes away what a dead keeper left. Faults: `precondition` naming the folder, `in_use`. */
export async function claimSocketPath(socketPath: string): Promise<SocketClaim> {
  const path = resolve(socketPath);
  await preparePrivateFolder(dirname(path), basename(path));
  const lock = openSync(`${path}.lock`, "a", 0o600);
  try {
    if (!lockExclusively(lock)) throw new DriverError("in_use", `another keeper serves ${path}; end it first`);
    const found = await lstat(path).catch(() => undefined);
    if (found !== undefined && !found.isSocket()) throw new DriverError("precondition", `${path} is there and is no socket`);
    await rm(path, { force: true });
    return { release: () => closeSync(lock) };
  } catch (error) {
    closeSync(lock);
    throw DriverError.from(error);
  }
}

async function preparePrivateFolder(folder: string, name: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: NodeJS.ErrnoException) => {
    throw new DriverError("precondition", `cannot make the keeper's folder ${folder}: ${cause.code}`, { cause });
  });
  const stat = await lstat(folder);
  const isOurs = stat.isDirectory() && stat.uid === process.geteuid?.();
  const looseness = stat.mode & 0o077;
  if (isOurs && looseness === 0) return;
  // The kubelet makes a hostPath folder with 0755. One with anything else in it is not the keeper's to close.
  const isEmpty = isOurs && (looseness & 0o022) === 0 && (await readdir(folder)).every((entry) => entry.startsWith(name));
  if (!isEmpty) {
    throw new DriverError(
      "precondition",
      `the keeper's folder ${folder} must be a directory of this user's with mode 0700, for its socket alone`,
    );
  }
  await chmod(folder, 0o700);
}
