/**
 * `Removals`: objects on their way out of the bucket.
 *
 * Who removes one file waits for the bucket's word. Who goes on removing, as `rm -r` does, does not wait for each: where a removal in the
 * same directory, or in one above it, succeeded a moment ago, the next one is noted in the journal, is sent at once beside the others, and
 * unlink(2) returns. What comes while several are under way goes together in one DeleteObjects. So a tree costs as many round trips as it
 * has directories, and not as it has files.
 *
 * Nobody on this host can tell the difference: whatever would see an object that is on its way out waits for it (`OrderedStore`). Other
 * hosts may, for as long as a request takes, and they believe names for `metadata-ttl` anyway; where that is 0 every removal is waited for.
 * Where the store obeys no condition on DELETE, nothing is sent later than two seconds after unlink(2), or after a look at the object:
 * another host may have put something new there.
 *
 * A removal that fails after unlink(2) returned is told by rmdir(2), since the file is still there, and by fsync(2) of the directory.
 */
import type { Etag } from "#core/brand.ts";
import type { Clock } from "#core/clock.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import type { RemovalRow, StateStore } from "#fuse/journal/state-store.ts";
import type { ObjectStore } from "#s3/object-store.ts";
import { deleteSurely } from "./lost-answers.ts";
import { isSameTime } from "./own-version.ts";

export interface RemovalsOptions {
  readonly store: ObjectStore;
  readonly state: StateStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** The store obeys If-Match on DELETE, which DeleteObjects cannot carry. */
  readonly deleteIfMatch: boolean;
  /** For so long after one that succeeded the next is not waited for. 0: all are. */
  readonly trustMs: number;
}

interface Removal {
  readonly row: RemovalRow;
  /** A predecessor promised it. */
  readonly isInherited: boolean;
  /** Another object may stand there by now, and the store would remove that one too. */
  mustLook: boolean;
  readonly notedAt: number;
  readonly settled: Promise<void>;
  readonly settle: () => void;
  /** The object is still there, or another one. */
  readonly onFailure: () => void;
}

/** Requests at once: of one object each, or of a batch. */
const SINGLES_AT_ONCE = 16;
const BATCHES_AT_ONCE = 4;
const BATCH = 1000;
/** Without a condition, an object that was not looked at for so long is looked at before it is removed. */
const BLIND_MS = 2000;
/** Noted and not settled; beyond, who removes waits. */
const MOST_UNDER_WAY = 4096;
/** After a failure all are waited for, for so long. */
const DISTRUST_MS = 60_000;
/** Of the directories that are trusted, and of failures. */
const MOST_REMEMBERED = 1000;
/** A HEAD tells whole seconds, and of an own PUT the Date header is known. */
const SECOND_MS = 1000;

export class Removals {
  readonly #options: RemovalsOptions;
  /** By key. */
  readonly #underWay = new Map<string, Removal>();
  readonly #queue: Removal[] = [];
  #requests = 0;
  /** The store takes DeleteObjects. */
  #isBatching = true;
  /** When a removal of a key directly below the prefix last succeeded. */
  readonly #trustedAt = new Map<string, number>();
  #distrustedUntil = 0;
  /** Failures that nobody was told of, by key. */
  readonly #failures = new Map<string, DriverError>();

  constructor(options: RemovalsOptions) {
    this.#options = options;
  }

  /** Removes an object, and returns when it is gone. Throws what `deleteSurely` throws. */
  async removeNow(key: string, ifMatch?: Etag): Promise<void> {
    const { store } = this.#options;
    await this.settled(key);
    await deleteSurely(store, key, this.#condition(ifMatch));
    this.#trust(key);
  }

  /**
   * Removes the object, which is known to be this one: when it returns, the object is gone, or its removal is noted and under way. Then
   * `onFailure` is called if the object stays, or another one stands there.
   */
  async remove(row: RemovalRow, onFailure: () => void): Promise<void> {
    if (!this.#isTrusted(row.key)) return this.removeNow(row.key, row.etag);
    await this.settled(row.key);
    if (this.#underWay.size >= MOST_UNDER_WAY) await this.#underWay.values().next().value?.settled;
    if (!this.#isNoted(row)) return this.removeNow(row.key, row.etag);
    this.#begin(row, onFailure, false);
  }

  /** A full disk keeps nobody from removing. */
  #isNoted(row: RemovalRow): boolean {
    try {
      this.#options.state.putRemoval(row);
      return true;
    } catch (error) {
      this.#options.log.debug({ error: DriverError.from(error) }, "a removal cannot be noted");
      return false;
    }
  }

  /** Takes up what a predecessor promised. */
  inherit(rows: Iterable<RemovalRow>): void {
    for (const row of rows) this.#begin(row, () => undefined, true);
  }

  /** Nothing is on its way out. */
  get isIdle(): boolean {
    return this.#underWay.size === 0;
  }

  /** Resolves when nothing is on its way out under the key; undefined: nothing is. */
  settled(key: string): Promise<void> | undefined {
    return this.#underWay.get(key)?.settled;
  }

  /** The same for all keys with the prefix. */
  settledUnder(prefix: string): Promise<unknown> | undefined {
    if (this.#underWay.size === 0) return undefined;
    const waits = [...this.#underWay].flatMap(([key, { settled }]) => (key.startsWith(prefix) ? [settled] : []));
    return waits.length === 0 ? undefined : Promise.all(waits);
  }

  /** Waits for all under the prefix; throws a failure that nobody was told of, once. */
  async finish(prefix: string): Promise<void> {
    await this.settledUnder(prefix);
    const untold = [...this.#failures].filter(([key]) => key.startsWith(prefix));
    for (const [key] of untold) this.#failures.delete(key);
    const [first] = untold;
    if (first !== undefined) throw first[1];
  }

  #begin(row: RemovalRow, onFailure: () => void, isInherited: boolean): void {
    const { promise: settled, resolve: settle } = Promise.withResolvers<void>();
    const notedAt = this.#options.clock.now();
    const removal: Removal = { row, isInherited, mustLook: isInherited, notedAt, settled, settle, onFailure };
    this.#underWay.set(row.key, removal);
    this.#queue.push(removal);
    this.#pump();
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#requests < (this.#options.deleteIfMatch ? SINGLES_AT_ONCE : BATCHES_AT_ONCE)) {
      const batch = this.#nextBatch();
      const [first] = batch;
      const isSingle = first !== undefined && (this.#options.deleteIfMatch || first.mustLook);
      this.#requests += 1;
      void (isSingle ? this.#sendOne(first) : this.#sendBlindly(batch)).finally(() => {
        this.#requests -= 1;
        this.#pump();
      });
    }
  }

  #nextBatch(): readonly Removal[] {
    if (this.#options.deleteIfMatch) return this.#queue.splice(0, 1);
    const oldest = this.#options.clock.now() - BLIND_MS;
    const mustLook = (removal: Removal) => removal.mustLook || removal.notedAt <= oldest;
    const [first] = this.#queue;
    if (first === undefined || mustLook(first)) {
      if (first !== undefined) first.mustLook = true;
      return this.#queue.splice(0, 1);
    }
    const end = this.#queue.findIndex(mustLook);
    const most = this.#isBatching ? BATCH : 1;
    return this.#queue.splice(0, end < 0 ? most : Math.min(most, end));
  }

  async #sendOne(removal: Removal): Promise<void> {
    const { store, deleteIfMatch } = this.#options;
    const { key, etag } = removal.row;
    try {
      if (removal.mustLook && !(await this.#isStillThere(removal.row))) {
        removal.onFailure();
        this.#settle(removal, true);
        return;
      }
      await deleteSurely(store, key, deleteIfMatch ? this.#condition(etag) : { deadlineMs: BLIND_MS });
      this.#done(removal);
    } catch (error) {
      this.#failed(removal, DriverError.from(error));
    }
  }

  async #sendBlindly(batch: readonly Removal[]): Promise<void> {
    const errors = await this.#deleteBlindly(batch);
    for (const removal of batch) {
      const failure = errors.get(removal.row.key);
      const error = failure && DriverError.from(failure);
      if (error === undefined) this.#done(removal);
      else if (error.fault === "interrupted" || (batch.length === 1 && error.row.retry === "no")) this.#failed(removal, error);
      else {
        removal.mustLook = true;
        this.#queue.push(removal);
      }
    }
  }

  /** What went wrong, by key. */
  async #deleteBlindly(batch: readonly Removal[]): Promise<ReadonlyMap<string, Error>> {
    const { store, clock } = this.#options;
    const keys = batch.map(({ row }) => row.key);
    const blindUntil = Math.min(...batch.map(({ notedAt }) => notedAt)) + BLIND_MS;
    try {
      const failures = await store.deleteMany(keys, { deadlineMs: blindUntil - clock.now() });
      return new Map(failures.map(({ key, error }) => [key, error]));
    } catch (thrown) {
      const error = DriverError.from(thrown);
      // What may be done with each object may yet be refused for many together.
      if (keys.length > 1 && error.row.retry === "no") this.#isBatching = false;
      return new Map(keys.map((key) => [key, error]));
    }
  }

  /** False when it is gone, or another object stands there: that one is somebody's. */
  async #isStillThere({ key, etag, mtime, ctime, lastModified }: RemovalRow): Promise<boolean> {
    try {
      const there = await this.#options.store.head(key);
      // What was sent in parts has the moment at which that began. Our own objects are known by their ctime, which nobody can set.
      const isSameMoment = ctime !== undefined || Math.abs(there.lastModified - lastModified) <= 2 * SECOND_MS;
      return there.etag === etag && isSameMoment && isSameTime(there.metadata, { mtime, ctime });
    } catch (error) {
      if (isFault(error, "not_found")) return false;
      throw error;
    }
  }

  #done(removal: Removal): void {
    this.#trust(removal.row.key);
    this.#settle(removal, true);
  }

  #failed(removal: Removal, error: DriverError): void {
    const { log } = this.#options;
    const { key } = removal.row;
    // The engine ends, or the store does not answer a successor: the next one does it.
    const isLeft = error.fault === "interrupted" || (removal.isInherited && error.row.retry !== "no");
    // Replaced elsewhere since: as if that had come after the removal.
    const wasReplaced = error.fault === "stale";
    if (!isLeft && !wasReplaced) {
      log.warn({ key, error }, "a file that was removed is still in the bucket");
      this.#distrustedUntil = this.#options.clock.now() + DISTRUST_MS;
      if (this.#failures.size < MOST_REMEMBERED) this.#failures.set(key, error);
    }
    if (!isLeft) removal.onFailure();
    this.#settle(removal, !isLeft);
    // Nobody must wait for each of thousands until its time is over.
    if (error.row.retry !== "no") for (const next of this.#queue.splice(0)) this.#failed(next, error);
  }

  /** The row goes before anybody who waits puts something new there. */
  #settle({ row, settle }: Removal, isOver: boolean): void {
    try {
      if (isOver) this.#options.state.dropRemoval(row.node);
    } catch (error) {
      this.#options.log.warn({ key: row.key, error: DriverError.from(error) }, "cannot note that a removal is done");
    }
    this.#underWay.delete(row.key);
    settle();
  }

  #condition(etag: Etag | undefined): { readonly ifMatch?: Etag } {
    return this.#options.deleteIfMatch && etag !== undefined ? { ifMatch: etag } : {};
  }

  #trust(key: string): void {
    this.#failures.delete(key);
    if (this.#trustedAt.size >= MOST_REMEMBERED) this.#trustedAt.clear();
    this.#trustedAt.set(directoryOf(key), this.#options.clock.now());
  }

  /** A refusal is a matter of prefixes, mostly: what was allowed above is allowed here. */
  #isTrusted(key: string): boolean {
    const { clock, trustMs } = this.#options;
    const now = clock.now();
    if (now < this.#distrustedUntil) return false;
    const since = now - trustMs;
    for (let directory = directoryOf(key); ; directory = directoryOf(directory.slice(0, -1))) {
      if ((this.#trustedAt.get(directory) ?? Number.NEGATIVE_INFINITY) > since) return true;
      if (directory === "") return false;
    }
  }
}

/** The prefix that the key's directory has: "" or ending in "/". */
function directoryOf(key: string): string {
  return key.slice(0, key.lastIndexOf("/") + 1);
}
