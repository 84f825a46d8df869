/**
 * `SpoolFile`: the `DirtyFile` on disk.
 *
 * While the file has a base (base-content.ts), everything that writes to it goes through here, so that what differs from the base is
 * known; and as long as it is not whole synchronously: so a piece that arrives from the base can be fitted around what was written since
 * it was asked for. A file without a base the kernel may write to directly.
 *
 * An upload sends the parts that were changed, filled up from the base, and has the store copy the others from the base. Where that
 * cannot be, the file is made whole first and sent.
 */
import fs from "node:fs";
import { promisify } from "node:util";
import type { Etag } from "#core/brand.ts";
import type { Timespec } from "#core/clock.ts";
import { DriverError, isFault } from "#core/errors.ts";
import { Mutex } from "#core/mutex.ts";
import { SingleFlight } from "#core/single-flight.ts";
import type { ContentId, WholeFile } from "#fuse/cache/content-cache.ts";
import type { DirtyRow } from "#fuse/journal/state-store.ts";
import type { PutResult } from "#s3/object-store.ts";
import type { BaseContent } from "./base-content.ts";
import { ContentWatch, type FileStat, type Moment } from "./content-watch.ts";
import type { AheadTarget, DirtyFile, UploadResult, UploadTarget } from "./dirty-file.ts";
import type { EarlyParts, EarlyPartsParts } from "./early-parts.ts";
import type { Piece } from "./extents.ts";
import { AT_ONCE_BYTES, copyContent, readLocal, syncFolder, writeAtOnce, writeLarge } from "./local-io.ts";
import type { Part } from "./part-plan.ts";
import { replacing, uploadSteadily } from "./steady-upload.ts";
import type { Reuse, Uploader } from "./uploader.ts";

const fdatasync = promisify(fs.fdatasync);

/** One read of the base while filling all: bounds memory; the reader reads ahead. */
const FILL_BYTES = 1 << 20;
/** One read of the base while filling up a part: a single GET, and nothing ahead. */
const FILL_PART_BYTES = 8 << 20;

export interface SpoolFileParts {
  readonly fd: number;
  readonly path: string;
  readonly spool: string;
  readonly uploader: Uploader;
  /** The version that the file was made from, if what differs from it is known. */
  readonly base?: BaseContent | undefined;
  /** A dead predecessor's multipart upload: abandoned before the next one. */
  readonly leftUpload?: DirtyRow["upload"];
  /** Given for new files, where parts may be sent ahead. */
  readonly startEarlyParts?: StartEarlyParts | undefined;
}

export type StartEarlyParts = (parts: Pick<EarlyPartsParts, "fd" | "stat" | "using" | "target">) => EarlyParts;

/** A version of ours that reached the bucket in a call that failed later. */
interface Unreported {
  readonly target: UploadTarget;
  readonly etag: PutResult["etag"];
}

export class SpoolFile implements DirtyFile {
  readonly fd: number;
  readonly path: string;
  readonly spool: string;
  // Dependencies
  readonly #uploader: Uploader;
  readonly #watch: ContentWatch;
  readonly #startEarlyParts: StartEarlyParts | undefined;
  // Mutable
  #early: EarlyParts | undefined;
  #base: BaseContent | undefined;
  /** The content that is in the bucket; undefined: surely another one. */
  #clean: Moment | undefined;
  /** A version in the bucket that the file equalled at that moment. */
  #twin: { readonly id: ContentId; readonly moment: Moment } | undefined;
  #leftUpload: DirtyRow["upload"];
  #unreported: Unreported | undefined;
  #folderSynced = false;
  readonly #uploads = new Mutex();
  readonly #fills = new SingleFlight<"fill", void>();
  /** Operations that use the descriptor; it is closed when they have ended, so that its number cannot mean another file to them. */
  #users = 0;
  #closed = false;

  constructor({ fd, path, spool, uploader, base, leftUpload, startEarlyParts }: SpoolFileParts) {
    this.fd = fd;
    this.path = path;
    this.spool = spool;
    this.#uploader = uploader;
    this.#watch = new ContentWatch(fd);
    this.#base = base;
    this.#leftUpload = leftUpload;
    this.#startEarlyParts = startEarlyParts;
    this.#forgetBaseIfReplaced();
  }

  get whole(): boolean {
    return this.#base?.whole ?? true;
  }

  get isTracked(): boolean {
    return this.#base !== undefined;
  }

  extents(): readonly (readonly [start: number, end: number])[] | null {
    return this.#base === undefined || this.#base.whole ? null : this.#base.ranges();
  }

  stat(): FileStat {
    this.#checkOpen();
    return this.#watch.stat();
  }

  read(offset: number, size: number, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    return this.#using(async () => {
      const end = Math.min(offset + size, this.#watch.stat().size);
      if (offset >= end) return [];
      const base = this.#base;
      if (base === undefined || base.whole) return [await readLocal(this.fd, offset, end)];
      return (await Promise.all(base.pieces(offset, end).map((piece) => this.#readPiece(base, piece, signal)))).flat();
    });
  }

  write(offset: number, data: Uint8Array): Promise<number> {
    return this.#using(async () => {
      this.#setClean(undefined);
      const isLarge = this.whole && data.byteLength > AT_ONCE_BYTES;
      // Before the first byte and after the last: an upload may begin in between.
      if (isLarge) this.#base?.written(offset, offset + data.byteLength);
      const count = isLarge ? await writeLarge(this.fd, offset, data) : writeAtOnce(this.fd, offset, data);
      this.#base?.written(offset, offset + count);
      this.#forgetBaseIfReplaced();
      return count;
    });
  }

  truncate(size: number): Promise<void> {
    return this.#using(async () => {
      this.#setClean(undefined);
      try {
        fs.ftruncateSync(this.fd, size);
      } catch (thrown) {
        throw DriverError.from(thrown);
      }
      this.#base?.truncated(size);
      this.#forgetBaseIfReplaced();
      this.#early?.truncated(size);
    });
  }

  setTimes(atime: Timespec, mtime: Timespec): void {
    this.#checkOpen();
    this.#watch.setTimes(atime, mtime);
  }

  fill(signal?: AbortSignal): Promise<void> {
    if (this.whole) return Promise.resolve();
    return this.#fills.run("fill", () => this.#using(() => this.#fill()), signal);
  }

  takeCopy({ id, fd }: WholeFile): Promise<void> {
    return this.#using(async () => {
      this.#setClean(undefined);
      // Parts that went ahead would go in vain.
      this.#early?.pause();
      try {
        await copyContent(fd, this.fd);
        this.#twin = { id, moment: this.#watch.moment() };
      } finally {
        this.#early?.resume();
      }
    });
  }

  follow(before: Pick<ContentId, "key" | "etag">, { key, etag, size }: ContentId): void {
    const base = this.#base;
    if (base?.id.key === before.key && base.id.etag === before.etag) base.follow({ key, etag, size });
  }

  changed(): boolean {
    this.#checkOpen();
    return this.#clean === undefined || !this.#watch.holds(this.#clean);
  }

  markClean(): void {
    this.#checkOpen();
    this.#setClean(this.#watch.moment());
  }

  upload(target: UploadTarget): Promise<UploadResult> {
    return this.#using(() => this.#uploads.run(() => this.#upload(target)));
  }

  leftAt(key: string): Etag | undefined {
    return this.#unreported?.target.key === key ? this.#unreported.etag : undefined;
  }

  sendAhead(target: AheadTarget): void {
    if (this.#closed) return;
    const using = <T>(work: () => Promise<T>) => this.#using(work);
    this.#early ??= this.#startEarlyParts?.({ fd: this.fd, stat: () => this.stat(), using, target });
  }

  showMtime(mtime: Timespec): void {
    if (this.#clean !== undefined) this.#watch.showMtime(this.#clean, mtime);
  }

  sync(): Promise<void> {
    return this.#using(async () => {
      try {
        await fdatasync(this.fd);
        // The file's name too must outlive a power loss; once is enough.
        if (!this.#folderSynced) await syncFolder(this.path.slice(0, -this.spool.length));
        this.#folderSynced = true;
      } catch (thrown) {
        throw DriverError.from(thrown);
      }
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#early?.end();
    this.#base?.close();
    if (this.#users === 0) fs.closeSync(this.fd);
  }

  discard(): void {
    fs.rmSync(this.path, { force: true });
    this.close();
  }

  async #upload(target: UploadTarget): Promise<UploadResult> {
    if (this.#leftUpload !== undefined) await this.#uploader.abandon(this.#leftUpload);
    this.#leftUpload = undefined;
    this.#early?.pause();
    try {
      return await this.#uploadSteadily(target).catch((thrown: unknown) => {
        // Either the store copies no parts after all, which the uploader knows now; or the twin is gone. All bytes are sent then.
        if (!isFault(thrown, "unsupported") && !(isFault(thrown, "stale", "not_found") && this.#forgetTwin())) throw thrown;
        return this.#uploadSteadily(target);
      });
    } finally {
      this.#early?.resume();
    }
  }

  async #uploadSteadily(target: UploadTarget): Promise<UploadResult> {
    const { fd } = this;
    const { moment, ...result } = await uploadSteadily({
      fd,
      watch: this.#watch,
      uploader: this.#uploader,
      ahead: this.#early,
      target: this.#afterUnreported(target),
      prepare: (size) => this.#prepare(size, target.signal),
      copyPath: `${this.path}.copy`,
      onSent: (etag, size) => {
        this.#unreported = { target, etag };
        this.#base?.stored({ key: target.key, etag, size });
      },
    });
    this.#unreported = undefined;
    this.#setClean(moment);
    return result;
  }

  /** Begins an upload of `size` bytes: what its parts need is local after this. Answers which parts the store shall copy; undefined: none. */
  async #prepare(size: number, signal: AbortSignal | undefined): Promise<Reuse | undefined> {
    const base = this.#base;
    if (base === undefined) return this.#reuseTwin(size);
    base.begin();
    const parts = this.#uploader.planReuse(size, base.changes(size));
    if (parts === undefined) {
      await this.fill(signal);
      return undefined;
    }
    for (const part of parts) if (part.from === "spool") await this.#fillPart(part);
    return { source: base.id, parts };
  }

  #reuseTwin(size: number): Reuse | undefined {
    const twin = this.#twin;
    if (twin === undefined || !this.#watch.holds(twin.moment)) return undefined;
    const parts = this.#uploader.planReuse(size, []);
    return parts && { source: twin.id, parts };
  }

  /** True when there was one. */
  #forgetTwin(): boolean {
    const twin = this.#twin;
    this.#watch.release(twin?.moment);
    this.#twin = undefined;
    return twin !== undefined;
  }

  /** The caller still asks for the version that stood before our own unreported one. */
  #afterUnreported(target: UploadTarget): UploadTarget {
    const last = this.#unreported;
    if (last === undefined || last.target.key !== target.key) return target;
    const isSame = last.target.ifMatch === target.ifMatch && last.target.ifNoneMatch === target.ifNoneMatch;
    return isSame ? replacing(target, last.etag) : target;
  }

  #setClean(moment: Moment | undefined): void {
    if (moment !== this.#clean) this.#watch.release(this.#clean);
    this.#clean = moment;
  }

  async #fill(): Promise<void> {
    for (;;) {
      const [gap] = this.#base?.missing(0, this.#watch.stat().size) ?? [];
      if (gap === undefined) return;
      const [start, end] = gap;
      await this.#fillPiece(start, Math.min(end, start + FILL_BYTES));
    }
  }

  /** In one piece, though some of it is here: that is one request, and nothing of the next part is read ahead. */
  async #fillPart({ start, end }: Part): Promise<void> {
    for (;;) {
      const gaps = this.#base?.missing(start, Math.min(end, this.#watch.stat().size)) ?? [];
      const [from, to] = [gaps[0]?.[0], gaps.at(-1)?.[1]];
      if (from === undefined || to === undefined) return;
      await this.#fillPiece(from, Math.min(to, from + FILL_PART_BYTES));
    }
  }

  async #fillPiece(start: number, end: number): Promise<void> {
    const base = this.#base as BaseContent;
    const data = await base.read(start, end).then(Buffer.concat, (thrown: unknown) => {
      if (base.missing(start, end).length > 0) throw thrown;
      return Buffer.alloc(0);
    });
    if (this.#closed) throw new DriverError("interrupted", "the file was closed while its content was fetched");
    // What was written, or cut off, meanwhile is no longer missing.
    for (const [from, to] of base.missing(start, end)) {
      let count = 0;
      this.#watch.unnoticed(() => {
        count = writeAtOnce(this.fd, from, data.subarray(from - start, to - start));
      });
      base.filled(from, from + count);
    }
  }

  /** A piece of the file. An upload of ours may replace the base this moment: then the same bytes are in the version that it stored. */
  async #readPiece(base: BaseContent, { from, start, end }: Piece, signal: AbortSignal | undefined): Promise<readonly Uint8Array[]> {
    if (from === "spool") return [await readLocal(this.fd, start, end)];
    const before = base.id;
    try {
      return await base.read(start, end, signal);
    } catch (thrown) {
      if (this.#uploads.busy && isFault(thrown, "stale", "not_found")) await this.#uploads.run(() => undefined);
      if (base.id === before && base.missing(start, end).length > 0) throw thrown;
      return (await Promise.all(base.pieces(start, end).map((piece) => this.#readPiece(base, piece, signal)))).flat();
    }
  }

  #forgetBaseIfReplaced(): void {
    if (!this.#base?.isReplaced) return;
    this.#base.close();
    this.#base = undefined;
  }

  /** The descriptor's number may mean another file after the close. */
  #checkOpen(): void {
    if (this.#closed) throw new DriverError("bad_handle", `the spool file ${this.spool} is closed`);
  }

  /** Runs an operation on the descriptor. */
  async #using<T>(work: () => Promise<T>): Promise<T> {
    this.#checkOpen();
    this.#users += 1;
    try {
      return await work();
    } finally {
      this.#users -= 1;
      if (this.#closed && this.#users === 0) fs.closeSync(this.fd);
    }
  }
}
