/**
 * `createSpool`: the folder of spool files of one mount.
 *
 * A spool file is plain content under a name that tells nothing; what it belongs to stands in the state store's dirty row. Files
 * leave the folder by `DirtyFile.discard`, or by a rename into the content cache. A copy made for an upload ends in `.copy`; it is
 * worth nothing after a crash.
 */
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { DriverError } from "#core/errors.ts";
import type { Range } from "#core/ranges.ts";
import type { ContentId } from "#fuse/cache/content-cache.ts";
import type { DirtyRow } from "#fuse/journal/state-store.ts";
import type { ContentReader } from "#fuse/read/content-reader.ts";
import { BaseContent } from "./base-content.ts";
import type { DirtyFile } from "./dirty-file.ts";
import { EarlyParts, type EarlyPartsOptions, type Truce } from "./early-parts.ts";
import { Extents } from "./extents.ts";
import type { Spool } from "./spool.ts";
import { SpoolFile, type SpoolFileParts, type StartEarlyParts } from "./spool-file.ts";
import { Uploader, type UploaderOptions } from "./uploader.ts";

export interface SpoolOptions extends UploaderOptions {
  /** Made when missing; it must belong to this mount alone, on a disk where the content cache is too. */
  readonly dir: string;
  /** Whether, and when, parts of growing files are sent before their upload. Default: they are. */
  readonly earlyParts?: EarlyPartsOptions | false;
}

const COPY_SUFFIX = ".copy";

/** Opens the folder. Throws `no_space`, or `internal` when it cannot be made. */
export function createSpool(options: SpoolOptions): Spool {
  try {
    fs.mkdirSync(options.dir, { recursive: true, mode: 0o700 });
    for (const name of fs.readdirSync(options.dir)) if (name.endsWith(COPY_SUFFIX)) fs.rmSync(join(options.dir, name));
  } catch (thrown) {
    throw DriverError.from(thrown);
  }
  return new FolderSpool(options);
}

class FolderSpool implements Spool {
  readonly #dir: string;
  readonly #uploader: Uploader;
  readonly #startEarlyParts: StartEarlyParts | undefined;
  /** Differs in each life of the program, so that no name of an earlier one comes again. */
  readonly #prefix = `${Date.now().toString(36)}${randomBytes(3).toString("hex")}`;
  #count = 0;

  constructor(options: SpoolOptions) {
    this.#dir = options.dir;
    this.#uploader = new Uploader(options);
    const { earlyParts = {} } = options;
    const shared = { sender: this.#uploader, truce: { until: 0 } satisfies Truce };
    if (earlyParts !== false) this.#startEarlyParts = (parts) => new EarlyParts({ ...parts, ...shared, options: earlyParts });
  }

  create(): DirtyFile {
    return this.#open("wx+", this.freshName(), { startEarlyParts: this.#startEarlyParts });
  }

  pathFor(spool: string): string {
    if (!/^[\w-]+$/.test(spool)) throw new DriverError("internal", `not the name of a spool file: ${JSON.stringify(spool)}`);
    return join(this.#dir, spool);
  }

  freshName(): string {
    this.#count += 1;
    return `${this.#prefix}-${this.#count.toString(36)}`;
  }

  adopt(spool: string, tracked?: ContentId): DirtyFile {
    const base = tracked && new BaseContent(tracked, new Extents(tracked.size, [[0, tracked.size]], []));
    const file = this.#open("r+", spool, { base });
    file.markClean();
    return file;
  }

  overlay(reader: ContentReader, held?: { readonly spool: string; readonly ranges: Iterable<Range> }): DirtyFile {
    const { id } = reader;
    const base = new BaseContent(id, new Extents(id.size, held?.ranges, []), reader);
    const file = held === undefined ? this.#open("wx+", this.freshName(), { base }, id.size) : this.#open("r+", held.spool, { base });
    file.markClean();
    return file;
  }

  recover(row: DirtyRow, base: ContentReader | undefined): DirtyFile {
    if (row.extents === null) {
      base?.close();
      return this.#open("r+", row.spool, { leftUpload: row.upload });
    }
    if (base === undefined)
      throw new DriverError("internal", `the spool file ${row.spool} needs its base version`, { context: { key: row.key } });
    const extents = new Extents(base.id.size, row.extents);
    // The row may be older than a cut, but the file's size tells of it.
    extents.truncated(this.#sizeOf(row.spool));
    return this.#open("r+", row.spool, { base: new BaseContent(base.id, extents, base), leftUpload: row.upload });
  }

  copies(size: number): boolean {
    return this.#uploader.planReuse(size, []) !== undefined;
  }

  orphans(rows: Iterable<DirtyRow>): readonly string[] {
    const known = new Set(Array.from(rows, (row) => row.spool));
    return this.#names()
      .filter((name) => !known.has(name))
      .map((name) => join(this.#dir, name));
  }

  bytes(): number {
    let sum = 0;
    for (const name of this.#names()) {
      const stat = fs.lstatSync(join(this.#dir, name), { throwIfNoEntry: false });
      // A sparse file counts with what it really takes.
      if (stat !== undefined) sum += Math.min(stat.size, stat.blocks * 512);
    }
    return sum;
  }

  #names(): string[] {
    return fs.readdirSync(this.#dir).filter((name) => !name.endsWith(COPY_SUFFIX));
  }

  #sizeOf(spool: string): number {
    const stat = fs.lstatSync(this.pathFor(spool), { throwIfNoEntry: false });
    if (stat === undefined) throw new DriverError("not_found", `the spool file ${spool} is gone`);
    return stat.size;
  }

  #open(
    flags: "wx+" | "r+",
    spool: string,
    about: Pick<SpoolFileParts, "base" | "leftUpload" | "startEarlyParts"> = {},
    size = 0,
  ): SpoolFile {
    const path = this.pathFor(spool);
    let fd = -1;
    try {
      fd = fs.openSync(path, flags, 0o600);
      if (size > 0) fs.ftruncateSync(fd, size);
      return new SpoolFile({ fd, path, spool, uploader: this.#uploader, ...about });
    } catch (thrown) {
      if (fd >= 0) fs.closeSync(fd);
      if (fd >= 0 && flags === "wx+") fs.rmSync(path, { force: true });
      const { code } = thrown as NodeJS.ErrnoException;
      if (code === "ENOENT" && flags === "r+") throw new DriverError("not_found", `the spool file ${spool} is gone`, { cause: thrown });
      throw DriverError.from(thrown);
    }
  }
}
