/**
 * Read buffers. Each read of the device needs room for the largest request, a WRITE of `max_write`, whose payload is then
 * used in place until its handler settles. So there are as many buffers as large writes are under way, and one.
 */
import type { Message } from "#fuse/wire/decode.ts";

/** A buffer and the view over it, made once. Its pages take memory only as far as requests filled them. */
export interface ReadBuffer extends Message {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Keeps up to `keep` free buffers; what is given back beyond that is left to the garbage collector. */
export class BufferPool {
  readonly #sizeBytes: number;
  readonly #keep: number;
  readonly #free: ReadBuffer[] = [];

  constructor(sizeBytes: number, keep: number) {
    this.#sizeBytes = sizeBytes;
    this.#keep = keep;
  }

  /** Never waits: who waited for a write to end could not read the request which that write waits for. */
  take(): ReadBuffer {
    const free = this.#free.pop(); // the last one used: its pages are there already
    if (free !== undefined) return free;
    const memory = new ArrayBuffer(this.#sizeBytes);
    return { bytes: new Uint8Array(memory), view: new DataView(memory) };
  }

  give(buffer: ReadBuffer): void {
    if (this.#free.length < this.#keep) this.#free.push(buffer);
  }
}
