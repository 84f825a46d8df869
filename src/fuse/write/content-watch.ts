/**
 * Tells from fstat(2) whether a file's content changed, while others (the kernel, through passthrough) may write to it.
 *
 * Content is taken as unchanged while size and mtime are. The ctime is left out: a rename or a link moves it, and whatever writes
 * moves the mtime as well. By itself that would not be safe:
 * - Before Linux 6.13 a file's clock ticks every 1 to 10 ms: a write in the same tick leaves the mtime as it was.
 * - write(2) moves the mtime when it begins, not when it ends: one that is under way may go on unseen.
 * So `moment` sets the mtime back by a microsecond, while `stat` goes on showing the true one. Any write that begins later moves it
 * to the clock's time, which is another; and setting it takes the inode's lock, so it waits for a write that is under way.
 *
 * Our own changes of the times, and writes that change no content (filling from the base), carry the known moments along.
 *
 * What cannot be seen: a store through a shared mapping into a page that is dirty already (the kernel moves the mtime at the first
 * store only). `upload` has `mayBeMapped` for that.
 *
 * Node sets times as floating seconds, to about 0.25 us, and not before 1970: so what was asked for is remembered and shown for as
 * long as nobody changes the mtime.
 */
import fs from "node:fs";
import type { Timespec } from "#core/clock.ts";

/** How the content was at one time. */
export interface Moment {
  readonly size: number;
  /** As shown, not as the file has it. */
  readonly mtime: Timespec;
}

export interface FileStat extends Moment {
  readonly ctime: Timespec;
  /** In units of 512 bytes. */
  readonly blocks: number;
}

/** More than Node's rounding. */
const STEP_BACK_NS = 1000n;
const SECOND_NS = 1_000_000_000n;

/** Times that are shown in place of those the file has, as long as it has these. */
interface Shown {
  readonly fileMtimeNs: bigint;
  readonly mtime: Timespec;
  readonly fileCtimeNs: bigint;
  readonly ctime: Timespec;
}

export class ContentWatch {
  readonly #fd: number;
  #shown: Shown | undefined;
  /** What each moment that is still asked about must find; -1: it is over. */
  readonly #expected = new Map<Moment, bigint>();

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Size and times now. */
  stat(): FileStat {
    return this.#show(this.#fstat());
  }

  /** Begins to watch: `holds` tells later whether the content is still the one that this call found. */
  moment(): Moment {
    let raw = this.#fstat();
    const shown = this.#show(raw);
    const isOurs = raw.mtimeNs === this.#shown?.fileMtimeNs;
    if (!isOurs) raw = this.#setMtime(raw, raw.mtimeNs - STEP_BACK_NS, shown.mtime, shown.ctime);
    // The size after a write that was waited for.
    const moment = { size: Number(raw.size), mtime: shown.mtime };
    this.#expected.set(moment, raw.mtimeNs);
    return moment;
  }

  /** True when the content is the same as at that moment. */
  holds(moment: Moment): boolean {
    return this.#holds(moment, this.#fstat());
  }

  /** The moment will not be asked about again. */
  release(moment: Moment | undefined): void {
    if (moment !== undefined) this.#expected.delete(moment);
  }

  /** Shows this mtime until the file's next change, the file itself untouched. Only while a moment is watched. */
  showMtime(moment: Moment, mtime: Timespec): void {
    const shown = this.#shown;
    if (shown !== undefined && shown.fileMtimeNs === this.#expected.get(moment)) this.#shown = { ...shown, mtime };
  }

  /** Sets atime and mtime; no change of content. */
  setTimes(atime: Timespec, mtime: Timespec): void {
    this.#carryMoments(() => {
      fs.futimesSync(this.#fd, toSeconds(toNs(atime)), toSeconds(toNs(mtime)));
      const raw = this.#fstat();
      this.#shown = { fileMtimeNs: raw.mtimeNs, mtime, fileCtimeNs: raw.ctimeNs, ctime: toTimespec(raw.ctimeNs) };
    });
  }

  /** Runs synchronous writes that change no content as seen from outside; times and moments stay. Only while nobody else writes. */
  unnoticed(work: () => void): void {
    this.#carryMoments(() => {
      const before = this.#fstat();
      const { mtime, ctime } = this.#show(before);
      try {
        work();
      } finally {
        this.#setMtime(before, before.mtimeNs, mtime, ctime);
      }
    });
  }

  /** Moments that hold now hold after `work` too; the others are over, since `work` wipes the traces. */
  #carryMoments(work: () => void): void {
    const before = this.#fstat();
    const holding = [...this.#expected.keys()].filter((moment) => this.#holds(moment, before));
    try {
      work();
    } finally {
      const after = this.#fstat().mtimeNs;
      for (const moment of this.#expected.keys()) this.#expected.set(moment, holding.includes(moment) ? after : -1n);
    }
  }

  /** Gives the file this mtime while `mtime` and `ctime` are shown. */
  #setMtime({ atimeNs }: fs.BigIntStats, mtimeNs: bigint, mtime: Timespec, ctime: Timespec): fs.BigIntStats {
    fs.futimesSync(this.#fd, toSeconds(atimeNs), toSeconds(mtimeNs));
    const raw = this.#fstat();
    this.#shown = { fileMtimeNs: raw.mtimeNs, mtime, fileCtimeNs: raw.ctimeNs, ctime };
    return raw;
  }

  #holds(moment: Moment, { size, mtimeNs }: fs.BigIntStats): boolean {
    return Number(size) === moment.size && mtimeNs === this.#expected.get(moment);
  }

  #show({ size, mtimeNs, ctimeNs, blocks }: fs.BigIntStats): FileStat {
    const shown = mtimeNs === this.#shown?.fileMtimeNs ? this.#shown : undefined;
    const ctime = shown !== undefined && shown.fileCtimeNs === ctimeNs ? shown.ctime : toTimespec(ctimeNs);
    return { size: Number(size), mtime: shown?.mtime ?? toTimespec(mtimeNs), ctime, blocks: Number(blocks) };
  }

  #fstat(): fs.BigIntStats {
    return fs.fstatSync(this.#fd, { bigint: true });
  }
}

function toTimespec(ns: bigint): Timespec {
  const sec = ns / SECOND_NS - (ns % SECOND_NS < 0n ? 1n : 0n);
  return { sec: Number(sec), nsec: Number(ns - sec * SECOND_NS) };
}

function toNs({ sec, nsec }: Timespec): bigint {
  return BigInt(sec) * SECOND_NS + BigInt(nsec);
}

/** Seconds as Node takes them; it reads a negative number as "now". */
function toSeconds(ns: bigint): number {
  return ns < 0n ? 0 : Number(ns / SECOND_NS) + Number(ns % SECOND_NS) / 1e9;
}
