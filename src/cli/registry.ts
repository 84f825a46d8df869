/**
 * Which mounts this machine has, for `status` and `umount`: a folder with, for each mount, a JSON file and a control socket
 * (control.ts), both made by its supervisor. A file is a hint only: who wrote it must live, by pid and start time.
 */
import { lstat, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DriverError } from "#core/errors.ts";
import { type MountRow, topMount } from "#node/mounts.ts";
import { isAlive, type ProcessIdentity } from "#node/process-identity.ts";

export interface MountEntry {
  readonly id: string;
  /** `s3://BUCKET/PREFIX`. */
  readonly source: string;
  readonly mountPoint: string;
  /** `major:minor` of the mount. */
  readonly device: string;
  readonly supervisor: ProcessIdentity;
  readonly stateDir: string;
  /** Absent for a mount in the foreground. */
  readonly logFile?: string;
}

/** An entry, and whether its supervisor still runs. */
export interface KnownMount extends MountEntry {
  readonly supervised: boolean;
}

/** /run/bucketmount for root; else the user's own runtime folder, as the XDG base directory specification has it. */
export function runtimeDir(uid: number, env: NodeJS.ProcessEnv): string {
  if (uid === 0) return "/run/bucketmount";
  const base = env["XDG_RUNTIME_DIR"];
  return base ? join(base, "bucketmount") : join(tmpdir(), `bucketmount-${uid}`);
}

export class MountRegistry {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  socketPath(id: string): string {
    return join(this.#dir, `${id}.sock`);
  }

  /** Makes the folder. Throws `denied` when it is there and not ours alone: in a shared folder somebody else may have made it. */
  async prepare(uid: number): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const stat = await lstat(this.#dir);
    if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o077) !== 0) {
      throw new DriverError("denied", `the runtime folder ${this.#dir} must be a directory of uid ${uid} with mode 0700`);
    }
  }

  /** Replaces the file whole: a reader never sees half of it. */
  async put(entry: MountEntry): Promise<void> {
    const temporary = join(this.#dir, `.${entry.id}.${process.pid}`);
    await writeFile(temporary, JSON.stringify(entry), { mode: 0o600 });
    await rename(temporary, this.#file(entry.id));
  }

  async remove(id: string): Promise<void> {
    await rm(this.#file(id), { force: true });
    await rm(this.socketPath(id), { force: true });
  }

  /** All mounts, by directory. What is left of mounts that are gone is taken away. */
  async list(mounts: readonly MountRow[]): Promise<KnownMount[]> {
    const names = await readdir(this.#dir).catch(() => []);
    const entries = await Promise.all(names.filter((name) => name.endsWith(".json")).map((name) => this.#read(name)));
    const known: KnownMount[] = [];
    for (const entry of entries.filter((read) => read !== undefined)) {
      const supervised = await isAlive(entry.supervisor);
      if (supervised || topMount(mounts, entry.mountPoint)?.device === entry.device) known.push({ ...entry, supervised });
      else await this.remove(entry.id);
    }
    return known.sort((a, b) => (a.mountPoint < b.mountPoint ? -1 : 1));
  }

  async #read(name: string): Promise<MountEntry | undefined> {
    try {
      return JSON.parse(await readFile(join(this.#dir, name), "utf8")) as MountEntry;
    } catch {
      return undefined; // removed meanwhile
    }
  }

  #file(id: string): string {
    return join(this.#dir, `${id}.json`);
  }
}

/** This user's registry. */
export function openRegistry(env: NodeJS.ProcessEnv): MountRegistry {
  return new MountRegistry(runtimeDir(process.getuid?.() ?? 0, env));
}
