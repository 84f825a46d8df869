/**
 * `TroubleWatch`: makes of many single failures the few facts that a person wants: this is wrong since then, and now it is over.
 *
 * A failure that is repeated anyway becomes trouble when it lasted, one that nothing but a person mends at once. Trouble that goes on
 * is told again every few minutes. It is over when a request succeeds and there was quiet before; a store that answers half of all
 * requests is in trouble all the time, and not every second time.
 */
import { CAUSES, type Cause, causeOf } from "./causes.ts";
import type { Clock } from "./clock.ts";
import { type DriverError, FAULTS } from "./errors.ts";

export type TroubleReport =
  | { readonly type: "trouble"; readonly cause: Cause; readonly message: string }
  /** Of a cause that was reported before. */
  | { readonly type: "recovered"; readonly cause: Cause };

export interface TroubleWatchOptions {
  readonly clock: Clock;
  readonly report: (report: TroubleReport) => void;
}

/** What is repeated by itself may fail this long before anybody has to know. */
const LASTING_MS = 10_000;
/** After the last failure, before a success means that it is over. */
const QUIET_MS = 30_000;
const REPEAT_MS = 5 * 60_000;

interface Watched {
  readonly sinceMs: number;
  lastMs: number;
  /** Undefined: nobody was told yet. */
  toldMs: number | undefined;
  /** What failed, for trouble that only the same operation's success ends. */
  readonly operations: Set<string>;
}

export class TroubleWatch {
  readonly #clock: Clock;
  readonly #report: (report: TroubleReport) => void;
  readonly #watched = new Map<Cause, Watched>();

  constructor({ clock, report }: TroubleWatchOptions) {
    this.#clock = clock;
    this.#report = report;
  }

  /** Present trouble that was reported. */
  get active(): readonly Cause[] {
    return [...this.#watched].flatMap(([cause, { toldMs }]) => (toldMs === undefined ? [] : [cause]));
  }

  /** A request failed. An error without a known cause is nobody's trouble, and if the store sent it, it answers. */
  failed(error: DriverError, operation = ""): void {
    const cause = causeOf(error);
    if (cause === undefined) {
      if (error.context.status !== undefined) this.succeeded(operation);
      return;
    }
    const { retry } = FAULTS[error.fault];
    this.#note(cause, error.message, operation, retry === "backoff" || retry === "while-time-left");
  }

  /** A request succeeded. */
  succeeded(operation = ""): void {
    // Nearly always: this stands in the way of every request.
    if (this.#watched.size === 0) return;
    for (const [cause, watched] of this.#watched) this.#consider(cause, watched, operation);
  }

  /** There is trouble; whoever says so also says when it is over. */
  raise(cause: Cause, message: string): void {
    this.#note(cause, message, "", false);
  }

  /** That trouble is over. Nothing happens when there was none. */
  clear(cause: Cause): void {
    const watched = this.#watched.get(cause);
    this.#watched.delete(cause);
    if (watched?.toldMs !== undefined) this.#report({ type: "recovered", cause });
  }

  #note(cause: Cause, message: string, operation: string, mayPass: boolean): void {
    const now = this.#clock.now();
    const watched = this.#watched.get(cause) ?? { sinceMs: now, lastMs: now, toldMs: undefined, operations: new Set<string>() };
    this.#watched.set(cause, watched);
    watched.lastMs = now;
    watched.operations.add(operation);
    if (mayPass && now - watched.sinceMs < LASTING_MS) return;
    if (watched.toldMs !== undefined && now - watched.toldMs < REPEAT_MS) return;
    watched.toldMs = now;
    this.#report({ type: "trouble", cause, message });
  }

  #consider(cause: Cause, watched: Watched, operation: string): void {
    const { over } = CAUSES[cause];
    if (over === "told") return;
    watched.operations.delete(operation);
    if (over === "same-operation" && watched.operations.size > 0) return;
    if (watched.toldMs === undefined) this.#watched.delete(cause);
    else if (this.#clock.now() - watched.lastMs >= QUIET_MS) this.clear(cause);
  }
}
