/**
 * Keeps two engines from using one state folder.
 *
 * The lock is SQLite's own lock on an empty file: a POSIX record lock, which Node has no call for. The kernel lets it go when the
 * process ends, however it ends, and it works between containers. A file with a process id would not: in another PID namespace the
 * living owner looks dead (an old node plugin's engine, seen from the new plugin's container), and its lock would be broken.
 * SQLite also refuses a second owner inside one process, which plain record locks would not. Nothing is ever written to the file.
 */
import fs from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { DriverError } from "#core/errors.ts";

export interface FolderLock {
  release(): void;
}

/**
 * Takes the lock of a folder, waiting up to `waitMs` for a predecessor that is just ending (the thread blocks meanwhile).
 * Throws `in_use`, naming the owner's process id, when it is held.
 */
export function lockFolder(dir: string, waitMs: number): FolderLock {
  const ownerFile = join(dir, "owner");
  const lock = tryLock(lockFile(dir), waitMs);
  if (lock === undefined) {
    throw new DriverError(
      "in_use",
      `the state folder ${dir} is in use by another engine${readOwner(ownerFile)}; stop it, or use another folder`,
      { context: { dir } },
    );
  }
  // For the message above only: the lock is the truth.
  fs.writeFileSync(ownerFile, String(process.pid));
  return lock;
}

/** True while some process has the folder's lock. */
export function isFolderLocked(dir: string): boolean {
  if (!fs.existsSync(lockFile(dir))) return false;
  const lock = tryLock(lockFile(dir), 0);
  lock?.release();
  return lock === undefined;
}

/** Takes the lock of one file, made where it is missing. Undefined when somebody has it for `waitMs` milliseconds on. */
export function tryLock(path: string, waitMs: number): FolderLock | undefined {
  const database = openDatabase(path, waitMs);
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    return { release: () => database.close() };
  } catch (thrown) {
    database.close();
    if ((thrown as { errcode?: number }).errcode !== SQLITE_BUSY) throw thrown;
    return undefined;
  }
}

function lockFile(dir: string): string {
  return join(dir, "lock");
}

const SQLITE_BUSY = 5;

function openDatabase(path: string, waitMs: number): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: waitMs });
  } catch (thrown) {
    throw new DriverError("internal", `cannot open the lock file ${path}: ${(thrown as Error).message}`, { cause: thrown });
  }
}

function readOwner(path: string): string {
  try {
    return ` (process ${fs.readFileSync(path, "utf8")})`;
  } catch {
    return "";
  }
}
