/**
 * How much to read ahead: pure policy, fed with the reads of one open file.
 *
 * The kernel sends a sequential read as several READs at once, which arrive in any order, and one open file may be read by several
 * threads at different places. So a few *streams* are told apart; a read belongs to a stream when it is near the stream's position,
 * the highest byte asked for so far. A stream's window is doubled each time half of it was consumed: what is fetched in vain
 * stays in proportion to what was really read. Reads that belong to no stream are random: they fetch little more than they ask for.
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** The first window. A GET of 1 MiB costs little more than one of 128 KiB: the time is the request's. */
const FIRST_WINDOW_BYTES = MIB;
export const MAX_WINDOW_BYTES = 64 * MIB;
/** One GET: large enough that the request's own cost does not count, small enough that several share the window. */
export const MAX_PART_BYTES = 8 * MIB;
const MIN_PART_BYTES = MIB;
/** A window is fetched by so many GETs at once. */
const PARTS_PER_WINDOW = 4;
/** Random reads fetch whole blocks of this size: neighbours are likely, and one request costs the same. */
const RANDOM_BLOCK_BYTES = 128 * KIB;
/** As many READs as may be under way at once and out of order. */
const REORDERED_READS = 8;
const MAX_STREAMS = 4;

export interface ReadPlan {
  readonly sequential: boolean;
  /** Bytes to have under way beyond the read itself; empty for a random one. */
  readonly aheadStart: number;
  readonly aheadEnd: number;
  /** The size of one GET, whose ends stand at multiples of it. */
  readonly partBytes: number;
}

interface Stream {
  position: number;
  /** 0: one read so far that was not at the start of the file. */
  windowBytes: number;
  /** Position at which the window was last enlarged. */
  grownAt: number;
}

export class ReadWindow {
  /** Most recently used last. */
  readonly #streams: Stream[] = [];

  /** The plan for a read of [start, end) of a file of `fileBytes`. The window is at most `maxWindowBytes`. */
  observe(start: number, end: number, fileBytes: number, maxWindowBytes = MAX_WINDOW_BYTES): ReadPlan {
    const stream = this.#streamOf(start, end);
    if (end > stream.position) advance(stream, end);
    const windowBytes = Math.min(stream.windowBytes, maxWindowBytes);
    const partBytes = partBytesFor(windowBytes);
    return {
      sequential: stream.windowBytes > 0,
      aheadStart: Math.min(stream.position, fileBytes),
      aheadEnd: aheadEnd(stream.position, windowBytes, partBytes, fileBytes),
      partBytes,
    };
  }

  /** The stream that the read continues, or a new one in place of the one unused for longest. */
  #streamOf(start: number, end: number): Stream {
    const at = this.#streams.findLastIndex((stream) => isNear(stream, start, end));
    const known = at < 0 ? undefined : this.#streams.splice(at, 1)[0];
    const stream = known ?? { position: start, windowBytes: start === 0 ? FIRST_WINDOW_BYTES : 0, grownAt: start };
    if (known !== undefined && known.windowBytes === 0) known.windowBytes = FIRST_WINDOW_BYTES;
    if (this.#streams.length >= MAX_STREAMS) this.#streams.shift();
    this.#streams.push(stream);
    return stream;
  }
}

/** Within what may arrive out of order, or within what is read ahead. */
function isNear({ position, windowBytes }: Stream, start: number, end: number): boolean {
  const slack = Math.max(REORDERED_READS * (end - start), windowBytes);
  return start >= position - slack && start <= position + slack;
}

function advance(stream: Stream, position: number): void {
  stream.position = position;
  if (position - stream.grownAt < stream.windowBytes / 2 || stream.windowBytes === 0) return;
  stream.windowBytes = Math.min(stream.windowBytes * 2, MAX_WINDOW_BYTES);
  stream.grownAt = position;
}

function partBytesFor(windowBytes: number): number {
  const share = 2 ** Math.floor(Math.log2(Math.max(1, windowBytes / PARTS_PER_WINDOW)));
  return Math.min(MAX_PART_BYTES, Math.max(MIN_PART_BYTES, share));
}

/** At a multiple of the part size, so that the window moves on by whole parts; at the end of the file when that is nearer. */
function aheadEnd(position: number, windowBytes: number, partBytes: number, fileBytes: number): number {
  const wanted = position + windowBytes;
  if (wanted >= fileBytes) return fileBytes;
  return Math.max(Math.min(position, fileBytes), Math.floor(wanted / partBytes) * partBytes);
}

/**
 * What one GET fetches when [start, end) is asked for and missing: at most one part, within [lowest, highest), the gap it lies in.
 * With `exact`, when memory is short, no more than what was asked for.
 */
export function demandRange(
  start: number,
  end: number,
  plan: ReadPlan,
  { lowest, highest, exact = false }: { lowest: number; highest: number; exact?: boolean },
): { start: number; end: number } {
  if (exact) return { start, end: Math.min(end, highest, start + MAX_PART_BYTES) };
  const block = plan.sequential ? plan.partBytes : RANDOM_BLOCK_BYTES;
  const from = plan.sequential ? start : Math.max(lowest, Math.floor(start / block) * block);
  const to = Math.min(highest, Math.ceil(end / block) * block);
  return { start: from, end: Math.min(to, from + MAX_PART_BYTES) };
}

/** Cuts [start, end) at the multiples of `partBytes`. */
export function splitIntoParts(start: number, end: number, partBytes: number): { start: number; end: number }[] {
  const parts: { start: number; end: number }[] = [];
  for (let at = start; at < end; ) {
    const stop = Math.min(end, (Math.floor(at / partBytes) + 1) * partBytes);
    parts.push({ start: at, end: stop });
    at = stop;
  }
  return parts;
}
