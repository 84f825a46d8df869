/**
 * `openStateStore`: the `StateStore` on disk, an append-only journal in a folder of its own.
 *
 * Files: `journal` (records, see record.ts), `journal.new` (a checkpoint under construction, worthless after a crash),
 * `journal.damaged` (what a damaged journal held after its last good record, kept for whoever looks into it), `lock` and `owner`.
 * Why no database: a put must be in the page cache at once and costs 3 us here, 20 us as an upsert of SQLite's; nothing is ever
 * looked up, only read from the first to the last record when an engine starts.
 */
import fs from "node:fs";
import { join } from "node:path";
import type { NodeId } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import { type CheckpointJob, checkpoint, isCheckpointDue, journalHead, syncFolderOf } from "./checkpoint.ts";
import { type FolderLock, lockFolder } from "./folder-lock.ts";
import { fileSource, type ReadEnd, readFrames } from "./reader.ts";
import { decodeRecord, encodeRecord, FORMAT_VERSION, type JournalRecord } from "./record.ts";
import { ReplayedState } from "./recovery.ts";
import type { EngineState, StateStore } from "./state-store.ts";
import { JournalWriter } from "./writer.ts";

/** Something after a good record was not a record: what came later is lost to the replay. */
export interface JournalDamage {
  readonly path: string;
  readonly offset: number;
  readonly lostBytes: number;
  /** Where the lost bytes were put. */
  readonly keptAs: string;
}

export interface StateStoreOptions {
  /** The folder; made when missing. It must belong to this mount alone. */
  readonly dir: string;
  /** Told of damage found at opening. A torn last record is the normal trace of a crash and is not told. */
  readonly onDamage?: (damage: JournalDamage) => void;
  /** Told when a checkpoint failed; the journal goes on and grows. */
  readonly onCheckpointFailure?: (error: DriverError) => void;
  /** No checkpoint below this size. Default 8 MiB: replayed in about 0.1 s. */
  readonly checkpointFromBytes?: number;
  readonly checkpointSliceBytes?: number;
  /** How long to wait for a predecessor's lock. Default 2 s. */
  readonly lockWaitMs?: number;
}

/**
 * Opens the folder's state, recovering what an earlier engine left. Synchronous: nothing can be served before it is done.
 * Throws `in_use` when another engine has the folder, `precondition` when a newer program wrote it, `no_space`.
 */
export function openStateStore(options: StateStoreOptions): StateStore {
  fs.mkdirSync(options.dir, { recursive: true, mode: 0o700 });
  const lock = lockFolder(options.dir, options.lockWaitMs ?? 2000);
  try {
    return openLocked(options, lock);
  } catch (thrown) {
    lock.release();
    throw DriverError.from(thrown);
  }
}

function openLocked(options: StateStoreOptions, lock: FolderLock): StateStore {
  const path = join(options.dir, "journal");
  fs.rmSync(`${path}.new`, { force: true });
  if (!fs.existsSync(path)) createJournal(path);
  const fd = fs.openSync(path, "a+", 0o600);
  try {
    const { state, end } = replay(path, fd, options.onDamage);
    return new JournalStateStore(options, path, lock, state, new JournalWriter(fd, end));
  } catch (thrown) {
    fs.closeSync(fd);
    throw thrown;
  }
}

/** Written beside and renamed, so that a journal is never without its head. */
function createJournal(path: string): void {
  fs.writeFileSync(`${path}.new`, journalHead(1, 0), { mode: 0o600, flush: true });
  fs.renameSync(`${path}.new`, path);
  syncFolderOf(path);
}

/** Reads the journal, and cuts off what is not whole. */
function replay(path: string, fd: number, onDamage: StateStoreOptions["onDamage"]): { state: ReplayedState; end: number } {
  const size = fs.fstatSync(fd).size;
  const state = new ReplayedState();
  const { state: ending, end } = applyAll(readFrames(fileSource(fd), 0, size), state);
  if (ending === "damaged") {
    const keptAs = `${path}.damaged`;
    fs.copyFileSync(path, keptAs);
    onDamage?.({ path, offset: end, lostBytes: size - end, keptAs });
  }
  if (end < size) fs.ftruncateSync(fd, end);
  if (end > 0) return { state, end };
  // Not even the head was good.
  const head = journalHead(state.maxNode, state.maxHandle);
  fs.writeSync(fd, head);
  return { state, end: head.byteLength };
}

function applyAll(frames: ReturnType<typeof readFrames>, state: ReplayedState): ReadEnd {
  for (let next = frames.next(); ; next = frames.next()) {
    if (next.done) return next.value;
    const { frame, offset } = next.value;
    if (offset === 0 && (frame.type !== "format" || frame.id !== FORMAT_VERSION)) {
      throw new DriverError(
        "precondition",
        "the journal in the state folder was written by another version of this program, which must finish with it",
      );
    }
    try {
      state.apply(decodeRecord(frame));
    } catch {
      return { state: "damaged", end: offset };
    }
  }
}

class JournalStateStore implements StateStore {
  readonly recovered: EngineState;
  // Dependencies
  readonly #path: string;
  readonly #lock: FolderLock;
  readonly #writer: JournalWriter;
  readonly #onCheckpointFailure: (error: DriverError) => void;
  // Constants
  readonly #checkpointFromBytes: number;
  readonly #sliceBytes: number;
  // Mutable
  /** Nodes that may have a dirty row. */
  readonly #dirty: Set<NodeId>;
  #checkpointing: Promise<void> | undefined;
  /** The journal's size after the last checkpoint, or when the last one failed. */
  #lastBytes = 0;
  #closed: Promise<void> | undefined;

  constructor(options: StateStoreOptions, path: string, lock: FolderLock, recovered: EngineState, writer: JournalWriter) {
    this.recovered = recovered;
    this.#path = path;
    this.#lock = lock;
    this.#writer = writer;
    this.#dirty = new Set(recovered.dirty.keys());
    this.#onCheckpointFailure = options.onCheckpointFailure ?? (() => {});
    this.#checkpointFromBytes = options.checkpointFromBytes ?? 8 << 20;
    this.#sliceBytes = options.checkpointSliceBytes ?? 128 << 10;
  }

  putSession(row: Parameters<StateStore["putSession"]>[0]): void {
    this.#put({ type: "session", row });
  }

  putInode(row: Parameters<StateStore["putInode"]>[0]): void {
    this.#put({ type: "inode", row });
  }

  dropInode(node: Parameters<StateStore["dropInode"]>[0]): void {
    this.#put({ type: "inode-dropped", node });
  }

  putHandle(row: Parameters<StateStore["putHandle"]>[0]): void {
    this.#put({ type: "handle", row });
  }

  dropHandle(handle: Parameters<StateStore["dropHandle"]>[0]): void {
    this.#put({ type: "handle-dropped", handle });
  }

  putDirty(...[row, dropped]: Parameters<StateStore["putDirty"]>): void {
    this.#dirty.add(row.node);
    if (dropped === undefined) this.#put({ type: "dirty", row });
    else this.#put({ type: "dirty", row }, { type: "dirty-dropped", node: dropped });
    if (dropped !== undefined) this.#dirty.delete(dropped);
  }

  dropDirty(node: Parameters<StateStore["dropDirty"]>[0]): void {
    // Asked of every file that is removed, and most have none.
    if (!this.#dirty.has(node)) return;
    this.#put({ type: "dirty-dropped", node });
    this.#dirty.delete(node);
  }

  putRemoval(row: Parameters<StateStore["putRemoval"]>[0]): void {
    this.#put({ type: "removal", row });
  }

  dropRemoval(node: Parameters<StateStore["dropRemoval"]>[0]): void {
    this.#put({ type: "removal-dropped", node });
  }

  beginConnection(): void {
    this.#put({ type: "connection-begun" });
  }

  sync(): Promise<void> {
    return this.#writer.sync();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#checkpointing;
    try {
      await this.#writer.sync();
    } finally {
      await this.#writer.close();
      this.#lock.release();
    }
  }

  /** One write for all: a death leaves all of them or none, as near as write(2) comes to that. */
  #put(...records: readonly JournalRecord[]): void {
    if (this.#closed !== undefined) throw new DriverError("internal", "the state store is closed");
    const [first, ...rest] = records.map(encodeRecord);
    if (first !== undefined) this.#writer.append(rest.length === 0 ? first : Buffer.concat([first, ...rest]));
    if (this.#checkpointing !== undefined) return;
    const sizes = { sizeBytes: this.#writer.size, lastBytes: this.#lastBytes, leastBytes: this.#checkpointFromBytes };
    if (isCheckpointDue(sizes)) this.#checkpointing = this.#checkpoint();
  }

  async #checkpoint(): Promise<void> {
    const job: CheckpointJob = {
      writer: this.#writer,
      path: this.#path,
      temporaryPath: `${this.#path}.new`,
      pause: () => new Promise((resume) => setImmediate(resume)),
      sliceBytes: this.#sliceBytes,
      cancelled: () => this.#closed !== undefined,
    };
    try {
      // Not inside the put that made it due.
      await job.pause();
      await checkpoint(job);
    } catch (thrown) {
      this.#onCheckpointFailure(DriverError.from(thrown));
    } finally {
      this.#lastBytes = this.#writer.size;
      this.#checkpointing = undefined;
    }
  }
}
