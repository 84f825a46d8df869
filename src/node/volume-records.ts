/**
 * What the plugin must know of a volume after its own restart: one folder a volume, `STATE_DIR/volumes/HASH`, which is the engine's
 * state folder too, with `volume.json` in it. Keys are never written.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Mutex } from "#core/mutex.ts";

/** How a staging shows its volume: all of its publications share that. */
export interface VolumeView {
  /** fsGroup. */
  readonly group?: number;
  /** SELinux's label. */
  readonly context?: string;
  /** A digest of the volume's attributes: two volumes that go by one id differ in it. */
  readonly source?: string;
}

export interface VolumeRecord {
  readonly volumeId: string;
  readonly stagingPath: string;
  /** Of the staging request: StagePlan's. */
  readonly fingerprint: string;
  readonly view?: VolumeView;
  /** Whose keys it was staged with. The driver's own are at hand without the staging's secret. */
  readonly keys?: "driver" | "secret";
  /** Where it was published and not unpublished since. */
  readonly targets: readonly string[];
  /** Those that asked for the group of `view`. */
  readonly grouped?: readonly string[];
  /**
   * deferred: no keys were to be had at the staging; the first publication brings some. uploaded: the engine ended, by itself or in
   * an unstaging that did not come to its end; left: it did, and its spool still has data; a later stage uploads it.
   */
  readonly phase: "deferred" | "staged" | "uploaded" | "left";
}

const FILE = "volume.json";

export class VolumeRecords {
  readonly #dir: string;
  /** Changes of records never overlap. */
  readonly #changes = new Mutex();

  constructor(stateDir: string) {
    this.#dir = join(stateDir, "volumes");
  }

  /** The volume's folder. Ids may hold slashes and be long: hence a hash. */
  folder(volumeId: string): string {
    return join(this.#dir, createHash("sha256").update(volumeId).digest("hex").slice(0, 32));
  }

  /** Undefined when there is none, or a damaged one. */
  read(volumeId: string): Promise<VolumeRecord | undefined> {
    return this.#parse(this.#file(volumeId));
  }

  async #parse(file: string): Promise<VolumeRecord | undefined> {
    const text = await readFile(file, "utf8").catch(() => undefined);
    try {
      return text === undefined ? undefined : (JSON.parse(text) as VolumeRecord);
    } catch {
      return undefined;
    }
  }

  /** The records of all volumes that are not unstaged. */
  async all(): Promise<VolumeRecord[]> {
    const names = await readdir(this.#dir).catch(() => []);
    const records = await Promise.all(names.map((name) => this.#parse(join(this.#dir, name, FILE))));
    return records.filter((record) => record !== undefined);
  }

  /** Replaces the record, whole; `change` gets the one that is there and answers the new one, or undefined for none. Makes the folder. */
  change(volumeId: string, change: (record: VolumeRecord | undefined) => VolumeRecord | undefined): Promise<void> {
    return this.#changes.run(async () => {
      const before = await this.read(volumeId);
      const after = change(before);
      const file = this.#file(volumeId);
      if (after === before) return;
      if (after === undefined) return rm(file, { force: true });
      await mkdir(this.folder(volumeId), { recursive: true, mode: 0o700 });
      await writeFile(`${file}.new`, JSON.stringify(after), { mode: 0o600 });
      await rename(`${file}.new`, file);
    });
  }

  /** How many files of unsent data an engine left in its spool. A `.copy` is worth nothing without the file that it was made of. */
  async unsentFiles(volumeId: string): Promise<number> {
    const names = await readdir(join(this.folder(volumeId), "spool")).catch(() => []);
    return names.filter((name) => !name.endsWith(".copy")).length;
  }

  #file(volumeId: string): string {
    return join(this.folder(volumeId), FILE);
  }
}
