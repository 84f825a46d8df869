/**
 * A sparse file that is being filled, shared by all who have it open: one descriptor, one set of ranges, one handle each.
 *
 * The ranges' record is written when the last user lets go, and from time to time before, so that a killed engine's successor finds
 * most of what was fetched. The descriptor stays open until the last write under way has ended.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { DriverError } from "#core/errors.ts";
import { type Range, RangeSet } from "#core/ranges.ts";
import type { ContentId, PartialFile, WholeFile } from "./content-cache.ts";
import { readFully, writeFully } from "./descriptor-io.ts";
import { diskBytes, type IndexEntry } from "./file-index.ts";
import { recordPath, unfinishedPath } from "./layout.ts";
import { decodePartialRecord, encodePartialRecord } from "./partial-record.ts";

/** New bytes after which the record is written anew: what a killed engine may have to fetch twice. */
const RECORD_EVERY_BYTES = 64 * 1024 * 1024;

/** What a partial file needs of its cache. */
export interface PartialHost {
  /** Makes room for `bytes` more. False when the rest is in use. */
  admit(bytes: number): Promise<boolean>;
  /** Does `work`; when the disk is full, evicts and does it once more. */
  withRoom<T>(bytes: number, work: () => Promise<T>): Promise<T>;
  resize(entry: IndexEntry, bytes: number): void;
  /** The file became whole: moves it there and opens it. */
  promote(partial: SharedPartial): WholeFile | undefined;
  /** Nobody has it open any more. `keep` false: it is of no use. */
  released(partial: SharedPartial, keep: boolean): void;
}

export class SharedPartial {
  readonly id: ContentId;
  readonly entry: IndexEntry;
  /** Absolute path of the data. */
  readonly path: string;
  readonly fd: number;
  /** True once the file stands elsewhere, as a whole one: record and removal are no business of ours any more. */
  moved = false;
  readonly #host: PartialHost;
  readonly #ranges: RangeSet;
  #users = 0;
  #writes = 0;
  #pendingBytes = 0;
  #unrecordedBytes = 0;
  #released = false;

  /** Opens the file at `path` with what its record says, or begins an empty one. `isDoubtful`: a ctime not to be trusted. */
  constructor(host: PartialHost, id: ContentId, entry: IndexEntry, path: string, isDoubtful: (ctimeMs: number) => boolean) {
    this.#host = host;
    this.id = id;
    this.entry = entry;
    this.path = path;
    const existing = openExisting(path, id.size, isDoubtful);
    this.fd = existing?.fd ?? create(path, id.size);
    this.#ranges = existing?.ranges ?? new RangeSet();
    entry.bytes = diskBytes(this.#ranges.size);
  }

  get complete(): boolean {
    return this.#ranges.has(0, this.id.size);
  }

  get ranges(): RangeSet {
    return this.#ranges;
  }

  /** A handle for one more user. */
  open(): PartialFile {
    this.#users++;
    this.entry.pins++;
    return new PartialHandle(this);
  }

  closeUser(): void {
    this.#users--;
    this.entry.pins--;
    this.#releaseIfUnused();
  }

  promote(): WholeFile | undefined {
    return this.complete ? this.#host.promote(this) : undefined;
  }

  async write(offset: number, pieces: readonly Uint8Array[]): Promise<boolean> {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (offset < 0 || offset + length > this.id.size) throw new RangeError(`write of ${length} at ${offset} of ${this.id.size}`);
    this.#writes++;
    this.entry.pins++;
    try {
      if (!(await this.#host.admit(length))) return false;
      await this.#writeAccounted(offset, pieces, length);
      return true;
    } finally {
      this.#writes--;
      this.entry.pins--;
      this.#releaseIfUnused();
    }
  }

  async #writeAccounted(offset: number, pieces: readonly Uint8Array[], length: number): Promise<void> {
    this.#pendingBytes += length;
    this.#account();
    try {
      await this.#host.withRoom(length, () => writeFully(this.fd, offset, pieces));
      this.#ranges.add(offset, offset + length);
    } finally {
      this.#pendingBytes -= length;
      this.#account();
    }
    this.#unrecordedBytes += length;
    if (this.#unrecordedBytes >= RECORD_EVERY_BYTES) this.record();
  }

  #account(): void {
    if (!this.moved) this.#host.resize(this.entry, diskBytes(this.#ranges.size + this.#pendingBytes));
  }

  #releaseIfUnused(): void {
    if (this.#users > 0 || this.#writes > 0 || this.#released) return;
    this.#released = true;
    const keep = !this.moved && !this.entry.doomed && !this.#ranges.isEmpty;
    if (keep && !this.#promoteAtLast()) this.record();
    closeSync(this.fd);
    this.#host.released(this, keep);
  }

  /** True when it was complete and is a whole file now. */
  #promoteAtLast(): boolean {
    try {
      this.promote()?.close();
    } catch {
      // The disk refused; the record says that all is there, and a later opening tries again.
    }
    return this.moved;
  }

  /** Writes the record. One that cannot be written leaves the older one, which is true as well. */
  record(): void {
    if (this.moved || this.entry.doomed) return;
    this.#unrecordedBytes = 0;
    writeRecord(this.path, this.id.size, this.#ranges);
  }
}

/** Makes the file at `from` the partial one at `path`, of which `ranges` are valid. */
export function movePartial(from: string, path: string, size: number, ranges: RangeSet): void {
  // The record of an earlier file of this name must not speak for the new one.
  rmSync(recordPath(path), { force: true });
  renameSync(from, path);
  writeRecord(path, size, ranges);
}

/** Notes which ranges of the partial file at `path` are valid. What cannot be written leaves the older record. */
function writeRecord(path: string, size: number, ranges: RangeSet): void {
  const record = recordPath(path);
  const unfinished = unfinishedPath(record);
  try {
    writeFileSync(unfinished, encodePartialRecord(size, ranges), { mode: 0o600 });
    renameSync(unfinished, record);
  } catch {
    rmSync(unfinished, { force: true });
  }
}

class PartialHandle implements PartialFile {
  readonly #shared: SharedPartial;
  #closed = false;

  constructor(shared: SharedPartial) {
    this.#shared = shared;
  }

  get id(): ContentId {
    return this.#shared.id;
  }

  get fd(): number {
    return this.#shared.fd;
  }

  get complete(): boolean {
    return this.#shared.complete;
  }

  has(start: number, end: number): boolean {
    return this.#shared.ranges.has(start, end);
  }

  missing(start: number, end: number): Range[] {
    return this.#shared.ranges.missing(start, end);
  }

  write(offset: number, data: Uint8Array | readonly Uint8Array[]): Promise<boolean> {
    this.#assertOpen();
    return this.#shared.write(offset, data instanceof Uint8Array ? [data] : data);
  }

  async read(start: number, end: number): Promise<Uint8Array> {
    this.#assertOpen();
    if (!this.has(start, end)) throw new DriverError("internal", `bytes ${start} to ${end} of a partial file are not there`);
    return readFully(this.fd, start, end);
  }

  promote(): WholeFile | undefined {
    this.#assertOpen();
    return this.#shared.promote();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#shared.closeUser();
  }

  #assertOpen(): void {
    if (this.#closed) throw new DriverError("bad_handle", "the partial file was closed");
  }
}

/** A file of the right size whose record is sound; the ranges are none when there is no record. Anything else is removed. */
function openExisting(path: string, size: number, isDoubtful: (ctimeMs: number) => boolean): { fd: number; ranges: RangeSet } | undefined {
  let fd: number;
  try {
    fd = openSync(path, "r+");
  } catch {
    return undefined;
  }
  const stat = fstatSync(fd);
  const ranges = stat.size === size && !isDoubtful(stat.ctimeMs) ? readRecord(recordPath(path), size) : undefined;
  if (ranges !== undefined) return { fd, ranges };
  closeSync(fd);
  rmSync(path, { force: true });
  rmSync(recordPath(path), { force: true });
  return undefined;
}

function readRecord(path: string, size: number): RangeSet | undefined {
  try {
    return decodePartialRecord(readFileSync(path, "utf8"), size);
  } catch {
    return undefined;
  }
}

function create(path: string, size: number): number {
  // A record left by a crash between two removals would tell of ranges that a new file does not have.
  rmSync(recordPath(path), { force: true });
  const fd = openSync(path, "wx+", 0o600);
  ftruncateSync(fd, size);
  return fd;
}
