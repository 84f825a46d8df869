/**
 * `BaseContent`: the version in the bucket that a spool file was made from. It tells which bytes of the file are still only there and
 * fetches them, and which are the same there, so that an upload may have the store copy them.
 *
 * The version changes while the file is open: an upload stores the next one (`stored`), a rename takes it to another key (`follow`). The
 * bytes that are looked for in it are the same in both, so a read that the change overtakes is made again.
 */
import { DriverError } from "#core/errors.ts";
import type { Range } from "#core/ranges.ts";
import type { ContentId } from "#fuse/cache/content-cache.ts";
import type { ContentReader } from "#fuse/read/content-reader.ts";
import type { Extents, Piece } from "./extents.ts";

export class BaseContent {
  #id: ContentId;
  #extents: Extents;
  /** As long as something is missing. */
  #reader: ContentReader | undefined;

  /** `reader` is closed with this, or sooner. Not needed when nothing is missing. */
  constructor(id: ContentId, extents: Extents, reader?: ContentReader) {
    this.#id = id;
    this.#extents = extents;
    this.#reader = reader;
    this.#closeIfWhole();
  }

  get id(): ContentId {
    return this.#id;
  }

  /** Nothing is left to be taken from it. */
  get whole(): boolean {
    return this.#extents.whole;
  }

  /** Nothing of it is in the file any more. */
  get isReplaced(): boolean {
    return this.#extents.isReplaced;
  }

  /** What the file has itself, for the state store. */
  ranges(): Range[] {
    return this.#extents.ranges();
  }

  pieces(start: number, end: number): Piece[] {
    return this.#extents.pieces(start, end);
  }

  missing(start: number, end: number): Range[] {
    return this.#extents.missing(start, end);
  }

  changes(size: number): Range[] {
    return this.#extents.changes(size);
  }

  written(start: number, end: number): void {
    this.#extents.written(start, end);
    this.#closeIfWhole();
  }

  filled(start: number, end: number): void {
    this.#extents.filled(start, end);
    this.#closeIfWhole();
  }

  truncated(size: number): void {
    this.#extents.truncated(size);
    this.#closeIfWhole();
  }

  /** An upload of the present content begins. */
  begin(): void {
    this.#extents.begin();
  }

  /** The content of the last `begin` is in the bucket as this version. */
  stored(id: ContentId): void {
    this.#extents = this.#extents.stored(id.size);
    this.follow(id);
  }

  /** The same bytes stand in the bucket as this version, as far as they are unchanged here. */
  follow(id: ContentId): void {
    this.#id = id;
    const left = this.#reader;
    this.#reader = left?.sibling(id);
    left?.close();
    this.#closeIfWhole();
  }

  /** Exactly the bytes [start, end), in memory of their own. Throws what the reader throws: `stale` when the version was replaced. */
  async read(start: number, end: number, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    for (;;) {
      const reader = this.#reader;
      if (reader === undefined) throw new DriverError("internal", "nothing is missing of the file", { context: { key: this.#id.key } });
      try {
        return await readExactly(reader, start, end, signal);
      } catch (thrown) {
        if (this.#reader === reader || this.#reader === undefined) throw thrown;
      }
    }
  }

  close(): void {
    this.#reader?.close();
  }

  #closeIfWhole(): void {
    if (!this.whole) return;
    this.#reader?.close();
    this.#reader = undefined;
  }
}

async function readExactly(reader: ContentReader, start: number, end: number, signal: AbortSignal | undefined): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  for (let at = start; at < end; ) {
    const more = await reader.read(at, end - at, signal);
    const count = more.reduce((sum, piece) => sum + piece.byteLength, 0);
    if (count === 0)
      throw new DriverError("corrupt", `the base version ends at byte ${at}, before ${reader.id.size}`, {
        context: { key: reader.id.key },
      });
    // They are lent, and what becomes of them here takes turns of the event loop.
    pieces.push(...more.map((piece) => Buffer.from(piece)));
    at += count;
  }
  return pieces;
}
