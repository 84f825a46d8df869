/**
 * The folder of one mount's state: made private, owned by one supervisor at a time, and taken back when the mount never came up.
 *
 * Two locks of the kernel's keep two mounts out of one folder: the supervisor's, held here, and the engine's on its journal. They say
 * the truth across containers, where a process id means nothing, and go with their process. `owner.json` says which mount it is, and
 * names supervisor and engine for messages, and for whoever waits for their end in the same container.
 */
import { mkdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DriverError } from "#core/errors.ts";
import { isServed, tryLock } from "#fuse/engine/index.ts";
import { identify, type ProcessIdentity } from "./process-identity.ts";

export interface StateOwner {
  readonly supervisor: ProcessIdentity;
  readonly engine?: ProcessIdentity;
  readonly mountPoint: string;
  /** `major:minor` of the mount. */
  readonly device?: string;
}

/** What a new owner keeps of the one before: the device, where it goes on with the same mount. Throws what speaks against that. */
export type Succession = (before: StateOwner | undefined) => Pick<StateOwner, "device">;

type Lock = Exclude<ReturnType<typeof tryLock>, undefined>;

export class StateFolder {
  readonly path: string;
  /** The topmost directory that `claim` had to make, if it made one. */
  readonly #made: string | undefined;
  readonly #lock: Lock;

  private constructor(path: string, made: string | undefined, lock: Lock) {
    this.path = path;
    this.#made = made;
    this.#lock = lock;
  }

  /**
   * Makes the folder (0700) where it is missing and writes us in as its owner. Throws `in_use` naming who has it: a supervisor that lives,
   * or an engine that outlived its own.
   */
  static async claim(path: string, mountPoint: string, succession: Succession = () => ({})): Promise<StateFolder> {
    const made = await mkdir(path, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
      throw new DriverError("precondition", `cannot make the state folder "${path}": ${DriverError.from(error).message}`, { cause: error });
    });
    const lock = tryLock(join(path, "supervisor.lock"), 0);
    try {
      const owner = await readOwner(path);
      if (lock === undefined || isServed(path)) throw folderInUse(path, owner);
      const folder = new StateFolder(path, made, lock);
      await folder.record({ mountPoint, ...succession(owner) });
      return folder;
    } catch (error) {
      lock?.release();
      throw error;
    }
  }

  /** Writes down who serves now. The file is replaced whole, so a reader never sees half of it. */
  async record(owner: Omit<StateOwner, "supervisor">): Promise<void> {
    const supervisor = await identify(process.pid);
    const temporary = join(this.path, `owner.json.${process.pid}`);
    await writeFile(temporary, JSON.stringify({ ...owner, supervisor }), { mode: 0o600 });
    await rename(temporary, ownerFile(this.path));
  }

  /** Gives the folder up and keeps what is in it. */
  async release(): Promise<void> {
    await rm(ownerFile(this.path), { force: true }).finally(() => this.#lock.release());
  }

  /** After a first start that failed: everything that `claim` made goes; a folder that was there stays as it is. */
  async discard(): Promise<void> {
    if (this.#made === undefined) return this.release();
    await rm(this.path, { recursive: true, force: true }).finally(() => this.#lock.release());
    for (let parent = dirname(this.path); parent.startsWith(this.#made); parent = dirname(parent)) {
      // Not empty: somebody else has begun to use it.
      if (
        !(await rmdir(parent).then(
          () => true,
          () => false,
        ))
      )
        return;
    }
  }
}

/** Who has the folder, if the file is there and whole. */
export async function readOwner(path: string): Promise<StateOwner | undefined> {
  const text = await readFile(ownerFile(path), "utf8").catch(() => undefined);
  try {
    return text === undefined ? undefined : (JSON.parse(text) as StateOwner);
  } catch {
    return undefined;
  }
}

function folderInUse(path: string, owner: StateOwner | undefined): DriverError {
  const who = owner === undefined ? "another mount" : `the mount on "${owner.mountPoint}" (pid ${owner.supervisor.pid})`;
  return new DriverError("in_use", `the state folder "${path}" is in use by ${who}`);
}

function ownerFile(path: string): string {
  return join(path, "owner.json");
}
