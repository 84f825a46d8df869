/**
 * `EarlyParts`: sends the parts of a large new file while it is still being written.
 *
 * The engine sees no write call of a passthrough file, so this looks at the file: it is worth something while a file grows. Parts well
 * below the end are sent; writers mostly append. Nothing relies on that: the upload compares every such part with the file as it is
 * then (begun-upload.ts), and what differs, or failed, is sent again. So this may give up at any time, and never fails a writer.
 *
 * Not sent ahead: holes (a file set to its final length first, then filled), files that stopped growing, and anything for half a
 * minute after the store refused or did not answer.
 */
import { isDeepStrictEqual } from "node:util";
import type { UploadId } from "#s3/object-store.ts";
import type { AheadSource, BegunUpload, PartAhead } from "./begun-upload.ts";
import type { AheadTarget, UploadTarget } from "./dirty-file.ts";
import type { Part } from "./part-plan.ts";

/** What sends: the mount's uploader. */
export interface AheadSender {
  readonly partSizeBytes: number;
  begin(target: UploadTarget): Promise<UploadId>;
  /** Sends the bytes as they are now. */
  sendAhead(fd: number, upload: UploadId, part: Part, signal: AbortSignal): Promise<PartAhead>;
  abandon(upload: UploadId): Promise<void>;
}

export interface EarlyPartsOptions {
  /** Files that grow beyond this are sent ahead. Default 32 MiB: below, the close has little to wait for. */
  readonly fromBytes?: number;
  /** Parts of one file in flight. Default 6: on two cores it measured as fast as 8, and leaves room for others. */
  readonly parallel?: number;
  /** Between two looks at a file that grows. Default 25 ms. */
  readonly lookEveryMs?: number;
  /** Quiet time after a failure, for all files of the mount. Default 30 s. */
  readonly pauseMs?: number;
}

export interface EarlyPartsParts {
  readonly fd: number;
  readonly stat: () => { readonly size: number; readonly blocks: number };
  /** Keeps the descriptor open while the work lasts. Throws when it is closed already. */
  readonly using: <T>(work: () => Promise<T>) => Promise<T>;
  readonly sender: AheadSender;
  readonly target: AheadTarget;
  readonly truce: Truce;
  readonly options: EarlyPartsOptions;
}

/** After a failure: no file of the mount is sent ahead until then, ms of performance.now(). */
export interface Truce {
  until: number;
}

/** Files that do not grow are looked at less and less often, down to this. */
const SLOWEST_LOOK_MS = 1000;
/** Of the 10,000 parts of an object, so that a file of any size can be ended with larger ones. */
const MOST_EARLY_PARTS = 5_000;
const BLOCK_BYTES = 512;

interface Begun extends BegunUpload {
  readonly target: UploadTarget;
  readonly parts: Map<number, Promise<PartAhead | undefined>>;
  readonly stop: AbortController;
  inFlight: number;
}

export class EarlyParts implements AheadSource {
  // Dependencies
  readonly #given: EarlyPartsParts;
  // Constants
  readonly #fromBytes: number;
  readonly #parallel: number;
  readonly #lookEveryMs: number;
  readonly #pauseMs: number;
  // Mutable
  #begun: Begun | undefined;
  /** The last begin or end of an upload: they go one after the other. */
  #change: Promise<void> = Promise.resolve();
  #changes = 0;
  #timer: NodeJS.Timeout | undefined;
  #waitMs: number;
  #paused = false;
  #ended = false;
  #lastSize = 0;

  constructor(given: EarlyPartsParts) {
    const { fromBytes = 32 << 20, parallel = 6, lookEveryMs = 25, pauseMs = 30_000 } = given.options;
    this.#given = given;
    this.#fromBytes = fromBytes;
    this.#parallel = parallel;
    this.#lookEveryMs = lookEveryMs;
    this.#pauseMs = pauseMs;
    this.#waitMs = lookEveryMs;
    this.#lookLater();
  }

  /** While an upload runs nothing new is begun or sent. */
  pause(): void {
    this.#paused = true;
  }

  /** After the upload: what is written from now on belongs to the next one. */
  resume(): void {
    this.#paused = false;
    if (!this.#ended) this.#lastSize = this.#given.stat().size;
  }

  async take({ key, headers }: Pick<UploadTarget, "key" | "headers">): Promise<BegunUpload | undefined> {
    await this.#change;
    const begun = this.#begun;
    if (begun === undefined) return undefined;
    if (begun.target.key === key && isDeepStrictEqual(begun.headers, headers)) {
      this.#begun = undefined;
      return begun;
    }
    await this.#drop(begun);
    return undefined;
  }

  /** truncate(2) was called: parts beyond a new end are worth nothing, and a length that is set in advance is no growth. */
  truncated(size: number): void {
    if (this.#begun !== undefined && size < this.#lastSize) void this.#drop(this.#begun);
    this.#lastSize = size;
  }

  /** The file is closed. What was begun and not taken is abandoned. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    if (this.#begun !== undefined) void this.#drop(this.#begun);
  }

  #lookLater(): void {
    if (!this.#ended) this.#timer = setTimeout(() => this.#tick(), this.#waitMs).unref();
  }

  #tick(): void {
    try {
      const grew = !this.#paused && this.#look();
      this.#waitMs = grew ? this.#lookEveryMs : Math.min(this.#waitMs * 2, SLOWEST_LOOK_MS);
    } catch {
      if (this.#begun !== undefined) void this.#drop(this.#begun);
    }
    this.#lookLater();
  }

  /** Begins and sends what is due. True when the file grew since the last look. */
  #look(): boolean {
    const { stat, target } = this.#given;
    const { size } = stat();
    const grew = size > this.#lastSize;
    this.#lastSize = size;
    const begun = this.#begun;
    const key = target.key();
    if (begun !== undefined && key !== begun.target.key) void this.#drop(begun);
    else if (begun !== undefined) this.#fill(begun);
    else if (grew && key !== undefined && this.#isDue()) void this.#begin();
    return grew;
  }

  #isDue(): boolean {
    const { stat, truce, sender } = this.#given;
    if (this.#changes > 0 || performance.now() < truce.until) return false;
    return stat().size > this.#fromBytes && readyParts(stat(), sender.partSizeBytes) > 0;
  }

  #begin(): Promise<void> {
    return this.#changeBegun(async () => {
      const { sender, target } = this.#given;
      if (this.#ended || this.#paused) return;
      const wanted = target.begin();
      const id = await sender.begin(wanted);
      wanted.onMultipart?.({ uploadId: id.uploadId, key: id.key, parts: [] });
      const begun = newlyBegun(id, wanted, sender.partSizeBytes);
      this.#begun = begun;
      if (this.#ended) await this.#abandon(begun);
      else this.#fill(begun);
    });
  }

  /** Abandons what was begun, unless it was taken or dropped meanwhile. */
  #drop(begun: Begun): Promise<void> {
    return this.#changeBegun(async () => {
      if (this.#begun === begun) await this.#abandon(begun);
    });
  }

  async #abandon(begun: Begun): Promise<void> {
    this.#begun = undefined;
    await begun.cancel();
    await this.#given.sender.abandon(begun.id);
    begun.target.onMultipart?.(undefined);
  }

  /** Never rejects: the change is given up, and the writer goes the plain way. */
  #changeBegun(change: () => Promise<void>): Promise<void> {
    this.#changes += 1;
    this.#change = this.#change
      .then(change)
      .catch(() => this.#giveUp())
      .finally(() => {
        this.#changes -= 1;
      });
    return this.#change;
  }

  /** Keeps so many parts in flight, as far as the file has them. */
  #fill(begun: Begun): void {
    if (this.#paused || this.#ended || this.#begun !== begun) return;
    const ready = readyParts(this.#given.stat(), begun.partBytes);
    while (begun.inFlight < this.#parallel && begun.parts.size < ready) {
      const start = begun.parts.size * begun.partBytes;
      const part = { number: begun.parts.size + 1, start, end: start + begun.partBytes };
      begun.inFlight += 1;
      begun.parts.set(part.number, this.#send(begun, part));
    }
  }

  async #send(begun: Begun, part: Part): Promise<PartAhead | undefined> {
    const { fd, using, sender } = this.#given;
    try {
      const sent = await using(() => sender.sendAhead(fd, begun.id, part, begun.stop.signal));
      begun.inFlight -= 1;
      this.#fill(begun);
      return sent;
    } catch {
      if (!begun.stop.signal.aborted) this.#giveUp();
      void this.#drop(begun);
      return undefined;
    }
  }

  #giveUp(): void {
    this.#given.truce.until = performance.now() + this.#pauseMs;
  }
}

function newlyBegun(id: UploadId, target: UploadTarget, partBytes: number): Begun {
  const { headers, metadata } = target;
  const parts = new Map<number, Promise<PartAhead | undefined>>();
  const stop = new AbortController();
  const cancel = async () => {
    stop.abort();
    await Promise.all(parts.values());
  };
  return { ...{ id, headers, metadata, target, partBytes, parts, stop, cancel }, inFlight: 0 };
}

/**
 * How many whole parts lie far enough below the end: at least one more is written after each. Beyond what is on disk there are
 * only holes, which are zeros that will hardly stay. Pure.
 */
export function readyParts({ size, blocks }: { readonly size: number; readonly blocks: number }, partBytes: number): number {
  const steady = Math.min(size, blocks * BLOCK_BYTES);
  return Math.min(MOST_EARLY_PARTS, Math.max(0, Math.floor(steady / partBytes) - 1));
}
