/**
 * The folder of one mount's state: made private, owned by one supervisor at a time, and taken back when the mount never came up.
 *
 * `owner.json` names the supervisor and the engine by pid and start time. It is what a restarted plugin finds its engines by,
 * and what keeps two mounts out of one folder.
 */
import { mkdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DriverError } from "#core/errors.ts";
import { identify, isAlive, type ProcessIdentity } from "./process-identity.ts";

export interface StateOwner {
  readonly supervisor: ProcessIdentity;
  readonly engine?: ProcessIdentity;
  readonly mountPoint: string;
  /** `major:minor` of the mount. */
  readonly device?: string;
}

export class StateFolder {
  readonly path: string;
  /** The topmost directory that `claim` had to make, if it made one. */
  readonly #made: string | undefined;

  private constructor(path: string, made: string | undefined) {
    this.path = path;
    this.#made = made;
  }

  /** Makes the folder (0700) where it is missing and writes us in as its owner. Throws `in_use` naming who has it. */
  static async claim(path: string, mountPoint: string): Promise<StateFolder> {
    const made = await mkdir(path, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
      throw new DriverError("precondition", `cannot make the state folder "${path}": ${DriverError.from(error).message}`, { cause: error });
    });
    const owner = await readOwner(path);
    if (owner !== undefined && (await ownerLives(owner))) {
      throw new DriverError(
        "in_use",
        `the state folder "${path}" is in use by the mount on "${owner.mountPoint}" (pid ${owner.supervisor.pid})`,
      );
    }
    const folder = new StateFolder(path, made);
    await folder.record({ mountPoint });
    return folder;
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
    await rm(ownerFile(this.path), { force: true });
  }

  /** After a first start that failed: everything that `claim` made goes; a folder that was there stays as it is. */
  async discard(): Promise<void> {
    await this.release();
    if (this.#made === undefined) return;
    await rm(this.path, { recursive: true, force: true });
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

/** True while the supervisor or the engine of that owner runs. Our own process is no obstacle to itself. */
async function ownerLives(owner: StateOwner): Promise<boolean> {
  if (owner.engine !== undefined && (await isAlive(owner.engine))) return true;
  return owner.supervisor.pid !== process.pid && (await isAlive(owner.supervisor));
}

function ownerFile(path: string): string {
  return join(path, "owner.json");
}
