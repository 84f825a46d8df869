/**
 * What the plugin must know of a volume after its own restart: one folder a volume, `STATE_DIR/volumes/HASH`, which is the engine's
 * state folder too, with `volume.json` in it. Keys are never written.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Mutex } from "#core/mutex.ts";

/** How a staging shows its volume: all of its publications share that. */
export interface VolumeView {
  /** fsGroup. */
  readonly group?: number;
  /** SELinux's. */
  readonly context?: string;
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
  /** left: the engine ended and its spool still has data; a later stage uploads it. */
  readonly phase: "staged" | "uploaded" | "left";
}

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
  async read(volumeId: string): Promise<VolumeRecord | undefined> {
    const text = await readFile(this.#file(volumeId), "utf8").catch(() => undefined);
    try {
      return text === undefined ? undefined : (JSON.parse(text) as VolumeRecord);
    } catch {
      return undefined;
    }
  }

  /** Replaces the record, whole; `change` gets the one that is there and answers the new one, or undefined for none. The folder must exist. */
  change(volumeId: string, change: (record: VolumeRecord | undefined) => VolumeRecord | undefined): Promise<void> {
    return this.#changes.run(async () => {
      const before = await this.read(volumeId);
      const after = change(before);
      const file = this.#file(volumeId);
      if (after === before) return;
      if (after === undefined) return rm(file, { force: true });
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
    return join(this.folder(volumeId), "volume.json");
  }
}
