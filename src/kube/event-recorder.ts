/**
 * `EventRecorder`: Events on Kubernetes objects, for people who ask `kubectl describe` why something does not work.
 *
 * Recording never waits and never fails: notes go into a bounded queue, and one request after the other brings them to the API. The same
 * thing said again counts up the Event that is there, at most once a minute, and an object gets a bounded number of Events: a volume
 * that fails all day must be no load for the cluster.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "#core/clock.ts";
import { DriverError, FAULTS, isFault } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import type { KubeApi, NewEvent, ObjectName } from "./kube-api.ts";

/** What an Event is about. */
export interface EventTarget extends ObjectName {
  readonly kind: "Pod" | "PersistentVolumeClaim";
}

export interface EventNote {
  readonly about: EventTarget;
  readonly type: "Normal" | "Warning";
  /** CamelCase. */
  readonly reason: string;
  /** One or two sentences: what is wrong, and what to do. Never a secret. */
  readonly message: string;
}

export interface EventRecorder {
  record(note: EventNote): void;
  /** For the metrics. */
  counts(): EventCounts;
  /** Resolves when all that was recorded is sent or given up, or after `ms`. */
  drain(ms: number): Promise<void>;
}

export interface EventCounts extends Readonly<Record<string, number>> {
  readonly recorded: number;
  readonly limited: number;
  readonly failed: number;
}

export interface EventRecorderOptions {
  readonly api: KubeApi;
  /** The Events' source: the driver's name. */
  readonly component: string;
  /** The node or pod that says it. */
  readonly host: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** Between the attempts to send one Event, in milliseconds. */
  readonly retryMs?: readonly number[];
}

const LIMITS = {
  /** Notes that wait. Far more than a node has volumes: beyond it the API has been away for long. */
  queue: 500,
  /** The same Event is written at most so often. */
  repeatMs: 60_000,
  /** API servers forget Events after an hour; a count of one that is gone would begin again anyway. */
  keptMs: 55 * 60_000,
  /** An object may get so many writes at once, and one more each `refillMs`: what client-go allows its users. */
  burst: 25,
  refillMs: 5 * 60_000,
  /** Objects and Events that are remembered. */
  remembered: 2_000,
  /** The API allows 1024 bytes. */
  messageBytes: 1000,
} as const;

/** An API server that restarts is back within a minute. */
const RETRY_MS = [1_000, 5_000, 15_000, 30_000] as const;

/** An Event that was written. */
interface Written {
  readonly name: string;
  readonly createdMs: number;
  count: number;
  writtenMs: number;
}

interface Allowance {
  left: number;
  atMs: number;
}

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new Recorder(options);
}

class Recorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #queue: EventNote[] = [];
  /** By `keyOf`; the oldest first. */
  readonly #written = new Map<string, Written>();
  /** Repetitions that were not written yet, by `keyOf`. */
  readonly #unwritten = new Map<string, number>();
  readonly #allowances = new Map<string, Allowance>();
  #counts = { recorded: 0, limited: 0, failed: 0 };
  #sending: Promise<void> | undefined;
  #serial = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(note: EventNote): void {
    if (this.#queue.length >= LIMITS.queue || !this.#mayWrite(note)) {
      this.#counts.limited++;
      return;
    }
    this.#queue.push(note);
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
  }

  counts(): EventCounts {
    return { ...this.#counts };
  }

  async drain(ms: number): Promise<void> {
    await Promise.race([this.#sending, sleep(ms, undefined, { ref: false })]);
  }

  #mayWrite(note: EventNote): boolean {
    const now = this.#options.clock.now();
    const key = keyOf(note);
    const written = this.#written.get(key);
    const isRepeated = written !== undefined && now - written.writtenMs < LIMITS.repeatMs;
    const isQueued = this.#queue.some((other) => keyOf(other) === key);
    if (isRepeated || isQueued) {
      remember(this.#unwritten, key, (this.#unwritten.get(key) ?? 0) + 1);
      return false;
    }
    return this.#spend(`${note.about.kind}/${note.about.namespace}/${note.about.name}`, now);
  }

  /** A token bucket for each object. */
  #spend(object: string, now: number): boolean {
    const { left, atMs } = this.#allowances.get(object) ?? { left: LIMITS.burst, atMs: now };
    const gained = Math.floor((now - atMs) / LIMITS.refillMs);
    const available = Math.min(LIMITS.burst, left + gained);
    remember(this.#allowances, object, { left: Math.max(0, available - 1), atMs: atMs + gained * LIMITS.refillMs });
    return available > 0;
  }

  /** Never rejects. */
  async #sendAll(): Promise<void> {
    // Whoever records must not wait for the first request to be made.
    await Promise.resolve();
    for (let note = this.#queue[0]; note !== undefined; note = this.#queue[0]) {
      const error = await this.#deliver(note);
      this.#queue.shift();
      if (error === undefined) this.#counts.recorded++;
      else {
        this.#counts.failed++;
        const { about, reason } = note;
        this.#options.log.warn({ error, about, reason }, "an Event could not be recorded");
      }
    }
  }

  /** Sends until it succeeds or there is no sense in it. Answers the last error. */
  async #deliver(note: EventNote): Promise<DriverError | undefined> {
    for (const pauseMs of [...(this.#options.retryMs ?? RETRY_MS), undefined]) {
      const error = await this.#send(note).then(
        () => undefined,
        (thrown: unknown) => DriverError.from(thrown),
      );
      if (error === undefined) return undefined;
      const { retry } = FAULTS[error.fault];
      if (pauseMs === undefined || (retry !== "backoff" && retry !== "while-time-left")) return error;
      await sleep(pauseMs, undefined, { ref: false });
    }
    return undefined;
  }

  async #send(note: EventNote): Promise<void> {
    const now = this.#options.clock.now();
    const key = keyOf(note);
    const written = this.#written.get(key);
    const times = 1 + (this.#unwritten.get(key) ?? 0);
    if (written === undefined || now - written.createdMs > LIMITS.keptMs || !(await this.#countUp(note, written, times, now))) {
      const event = this.#newEvent(note, times, now);
      await this.#options.api.createEvent(event);
      remember(this.#written, key, { name: event.metadata.name, createdMs: now, writtenMs: now, count: times });
    }
    this.#unwritten.delete(key);
  }

  /** False: the Event is there no more. */
  async #countUp({ about, message }: EventNote, written: Written, times: number, now: number): Promise<boolean> {
    const change = { count: written.count + times, lastTimestamp: new Date(now), message: shortened(message) };
    try {
      await this.#options.api.patchEvent(about.namespace, written.name, change);
    } catch (error) {
      if (isFault(error, "not_found")) return false;
      throw error;
    }
    written.count += times;
    written.writtenMs = now;
    return true;
  }

  #newEvent({ about, type, reason, message }: EventNote, count: number, now: number): NewEvent {
    const { component, host } = this.#options;
    const { kind, namespace, name, uid } = about;
    const at = new Date(now);
    // As client-go names them; an object's name may have 253 characters, and so may the Event's.
    const eventName = `${name.slice(0, 220)}.${now.toString(16)}${(this.#serial++ % 0x10000).toString(16).padStart(4, "0")}`;
    return {
      metadata: { name: eventName, namespace },
      involvedObject: { apiVersion: "v1", kind, namespace, name, ...(uid === undefined ? {} : { uid }) },
      ...{ type, reason, message: shortened(message), count, firstTimestamp: at, lastTimestamp: at },
      source: { component, host },
      ...{ reportingComponent: component, reportingInstance: host },
    };
  }
}

/** The same thing about the same object; its message may differ in details. */
function keyOf({ about: { kind, namespace, name, uid }, type, reason }: EventNote): string {
  return [kind, namespace, name, uid, type, reason].join("/");
}

function shortened(message: string): string {
  const bytes = Buffer.from(message);
  if (bytes.length <= LIMITS.messageBytes) return message;
  // The fix stands at the end.
  const half = LIMITS.messageBytes / 2 - 10;
  return `${bytes.subarray(0, half).toString()} ... ${bytes.subarray(-half).toString()}`;
}

/** Sets the entry as the newest, and forgets the oldest beyond the limit. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > LIMITS.remembered) map.delete(map.keys().next().value as string);
}
