/**
 * `PartQueue`: the parts of one version that are in memory, on their way or arrived, in order and without overlap.
 */
import type { Range } from "#core/ranges.ts";
import type { PartStream } from "./part-stream.ts";

export interface QueuedPart {
  readonly stream: PartStream;
  /** Bytes of the memory budget that it holds. */
  heldBytes: number;
  /** Whether its bytes are on the disk too; undefined until that is known. */
  kept: boolean | undefined;
  /** It is being written to the disk at this moment. */
  isWriting: boolean;
  /** Last time that somebody asked for its bytes, or that they came. */
  touchedMs: number;
  /** Nobody is going to read it from memory. */
  readonly diskOnly: boolean;
  /** Resolves when `kept` is known. */
  settled: Promise<void>;
}

export class PartQueue {
  #parts: QueuedPart[] = [];

  get size(): number {
    return this.#parts.length;
  }

  /** The part that holds, or will hold, the byte at `position`. */
  at(position: number): QueuedPart | undefined {
    return this.#parts.find(({ stream }) => stream.start <= position && position < stream.end);
  }

  insert(part: QueuedPart): void {
    const before = this.#parts.findIndex(({ stream }) => stream.start > part.stream.start);
    this.#parts.splice(before < 0 ? this.#parts.length : before, 0, part);
  }

  remove(part: QueuedPart): boolean {
    const at = this.#parts.indexOf(part);
    if (at >= 0) this.#parts.splice(at, 1);
    return at >= 0;
  }

  /** What of `ranges` (in order) no part holds. */
  uncovered(ranges: readonly Range[]): Range[] {
    const free: Range[] = [];
    for (const [start, end] of ranges) {
      let at = start;
      for (const { stream } of this.#parts) {
        if (stream.end <= at) continue;
        if (stream.start >= end) break;
        if (stream.start > at) free.push([at, stream.start]);
        at = stream.end;
      }
      if (at < end) free.push([at, end]);
    }
    return free;
  }

  /** A copy: parts may be removed on the way. */
  list(): readonly QueuedPart[] {
    return this.#parts.slice();
  }
}
