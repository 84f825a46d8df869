/**
 * `ClaimFinder`: which claim a volume belongs to. CSI tells a node nothing of claims: the PersistentVolume with this volume handle does.
 * It is found once by listing them, page by page, and is asked by its name from then on; answers are kept, good ones longer than bad ones.
 */
import type { Clock } from "#core/clock.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { Mutex } from "#core/mutex.ts";
import type { KubeApi, ObjectName, PersistentVolume } from "./kube-api.ts";

export interface ClaimFinderOptions {
  readonly api: KubeApi;
  readonly driverName: string;
  readonly log: Logger;
  readonly clock: Clock;
}

/** A page of PersistentVolumes is some 500 KiB of JSON. */
const PAGE = 250;
/** A volume's claim rarely changes: only where somebody releases a PersistentVolume and binds it anew. */
const GOOD_FOR_MS = 10 * 60_000;
/** After a failure too: thousands of volumes are not listed at each scrape. */
const BAD_FOR_MS = 60_000;
/** More volumes than a node can mount. */
const KEPT = 5_000;

interface Known {
  readonly volumeName: string | undefined;
  readonly claim: ObjectName | undefined;
  readonly untilMs: number;
}

export class ClaimFinder {
  readonly #options: ClaimFinderOptions;
  /** By volume handle; the oldest first. */
  readonly #known = new Map<string, Known>();
  /** One list at a time: it mostly answers the next question too. */
  readonly #asking = new Mutex();

  constructor(options: ClaimFinderOptions) {
    this.#options = options;
  }

  /** What was found out before. */
  known(volumeHandle: string): ObjectName | undefined {
    return this.#known.get(volumeHandle)?.claim;
  }

  /** The volume's claim; undefined when it has none, or when nobody can tell now. Never rejects. */
  async find(volumeHandle: string): Promise<ObjectName | undefined> {
    if (!this.#isFresh(volumeHandle)) {
      await this.#asking.run(async () => {
        if (!this.#isFresh(volumeHandle)) await this.#ask(volumeHandle);
      });
    }
    return this.known(volumeHandle);
  }

  #isFresh(volumeHandle: string): boolean {
    return (this.#known.get(volumeHandle)?.untilMs ?? 0) > this.#options.clock.now();
  }

  async #ask(volumeHandle: string): Promise<void> {
    try {
      await this.#askByName(volumeHandle);
      if (!this.#isFresh(volumeHandle)) await this.#listUntil(volumeHandle);
    } catch (error) {
      this.#options.log.warn({ error: DriverError.from(error) }, "cannot find out whose claim a volume is");
    }
    // An answer that has grown old is better than none.
    if (!this.#isFresh(volumeHandle)) this.#set(volumeHandle, this.#known.get(volumeHandle), BAD_FOR_MS);
  }

  async #askByName(volumeHandle: string): Promise<void> {
    const name = this.#known.get(volumeHandle)?.volumeName;
    if (name === undefined) return;
    try {
      this.#keep(await this.#options.api.readPersistentVolume(name));
    } catch (error) {
      if (!isFault(error, "not_found")) throw error;
    }
  }

  async #listUntil(volumeHandle: string): Promise<void> {
    let next: string | undefined;
    do {
      const page = await this.#options.api.listPersistentVolumes(PAGE, next);
      for (const volume of page.items) this.#keep(volume);
      next = page.next;
    } while (next !== undefined && !this.#isFresh(volumeHandle));
  }

  #keep({ name, driver, volumeHandle, claim }: PersistentVolume): void {
    if (driver !== this.#options.driverName || volumeHandle === undefined) return;
    this.#set(volumeHandle, { volumeName: name, claim }, claim === undefined ? BAD_FOR_MS : GOOD_FOR_MS);
  }

  #set(volumeHandle: string, found: Pick<Known, "volumeName" | "claim"> | undefined, forMs: number): void {
    const { volumeName, claim } = found ?? {};
    this.#known.delete(volumeHandle);
    this.#known.set(volumeHandle, { volumeName, claim, untilMs: this.#options.clock.now() + forMs });
    if (this.#known.size > KEPT) this.#known.delete(this.#known.keys().next().value as string);
  }
}
