/**
 * `EngineTroubles`: what is wrong with this mount, told to its supervisor in a person's words: what the store answers, how many files
 * wait for their upload, how full the disk is.
 *
 * Every ten seconds the disk is looked at, since a kernel that writes a backing file itself tells the engine nothing; and while
 * something is wrong with the store it is asked once, so that a volume that nobody uses is told healthy again too.
 */
import { statfs } from "node:fs/promises";
import { CAUSES, type Cause, causeOf } from "#core/causes.ts";
import { type Clock, systemClock } from "#core/clock.ts";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { type TroubleReport, TroubleWatch } from "#core/trouble-watch.ts";
import type { RequestWatch } from "#s3/index.ts";

export interface EngineTroublesOptions {
  readonly log: Logger;
  readonly report: (report: TroubleReport) => void;
  /** On the disk that is watched. */
  readonly stateDir: string;
  /** One small request. */
  readonly askStore: () => Promise<void>;
  readonly clock?: Clock;
  readonly freeSpace?: (dir: string) => Promise<FreeSpace>;
}

export interface FreeSpace {
  readonly bytes: number;
  readonly files: number;
}

const LOOK_MS = 10_000;
/** With less than this left, the next write may well be refused. */
const LEAST_BYTES = 16 << 20;
const LEAST_FILES = 16;
/** A clock this near to the store's is mended. */
const MENDED_SKEW_MS = 60_000;

export class EngineTroubles implements RequestWatch {
  readonly #options: EngineTroublesOptions;
  readonly #watch: TroubleWatch;
  #timer: NodeJS.Timeout | undefined;
  #probing = false;
  /** What was found before the mount works. If it never does, its failure says it all. */
  #held: Map<Cause, TroubleReport> | undefined = new Map();

  constructor(options: EngineTroublesOptions) {
    this.#options = options;
    this.#watch = new TroubleWatch({ clock: options.clock ?? systemClock, report: (report) => this.#tell(report) });
  }

  /** The mount works: reports from now on, and looks by itself. */
  start(): void {
    const held = this.#held;
    this.#held = undefined;
    for (const report of held?.values() ?? []) if (report.type === "trouble") this.#options.report(report);
    this.#timer ??= setInterval(() => void this.look(), LOOK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  failed(error: DriverError, operation: string): void {
    const { cause, skewMs } = error.context;
    // Keys that may only read can still mount.
    if (this.#probing && cause === "access_denied") return;
    // Requests were signed with the store's time, and now with a clock that is right: one of them is refused, the last.
    const isMended = cause === "clock_skew" && typeof skewMs === "number" && Math.abs(skewMs) < MENDED_SKEW_MS;
    if (isMended) this.#watch.clear("clock_skew");
    else this.#watch.failed(error, operation);
  }

  succeeded(operation: string): void {
    this.#watch.succeeded(operation);
  }

  /** While a store is probed, what it does not allow is no trouble. */
  async probing<T>(work: () => Promise<T>): Promise<T> {
    this.#probing = true;
    try {
      return await work();
    } finally {
      this.#probing = false;
    }
  }

  /** Something local failed. */
  onDisk(error: unknown): void {
    if (causeOf(error) === "disk_full") this.#watch.raise("disk_full", DriverError.from(error).message);
  }

  /** So many closed files wait for another try. */
  onUploads(waiting: number, failure: DriverError | undefined): void {
    if (waiting === 0) {
      this.#watch.clear("uploads_failing");
      return;
    }
    const files = waiting === 1 ? "1 closed file is" : `${waiting} closed files are`;
    this.#watch.raise("uploads_failing", `${files} not in the bucket yet: ${failure?.message ?? "the upload failed"}`);
  }

  /** Looks at the disk, and at the store if something was wrong there. Never rejects. */
  async look(): Promise<void> {
    const { askStore, log } = this.#options;
    const isStoreIll = this.#watch.active.some((cause) => CAUSES[cause].over !== "told");
    await Promise.all([
      this.#lookAtDisk().catch((error: unknown) => log.debug({ error }, "cannot look at the disk")),
      // How it went comes by `failed` and `succeeded`.
      isStoreIll ? askStore().catch(() => undefined) : undefined,
    ]);
  }

  async #lookAtDisk(): Promise<void> {
    const { stateDir, freeSpace = statFreeSpace } = this.#options;
    const { bytes, files } = await freeSpace(stateDir);
    if (bytes >= LEAST_BYTES && files >= LEAST_FILES) {
      this.#watch.clear("disk_full");
      return;
    }
    const left = bytes < LEAST_BYTES ? `${Math.floor(bytes / (1 << 20))} MiB` : `room for ${files} files`;
    this.#watch.raise("disk_full", `the disk of "${stateDir}" has ${left} left`);
  }

  #tell(report: TroubleReport): void {
    const { log, report: send } = this.#options;
    if (report.type === "trouble") log.warn({ cause: report.cause, reason: report.message }, "the mount is in trouble");
    else log.info({ cause: report.cause }, "the mount's trouble is over");
    if (this.#held === undefined) send(report);
    else this.#held.set(report.cause, report);
  }
}

async function statFreeSpace(dir: string): Promise<FreeSpace> {
  const { bsize, bfree, bavail, files, ffree } = await statfs(dir);
  // What is kept for root is there for an engine of root's. Some file systems count no files at all.
  const blocks = process.geteuid?.() === 0 ? bfree : bavail;
  return { bytes: blocks * bsize, files: files === 0 ? Number.POSITIVE_INFINITY : ffree };
}
