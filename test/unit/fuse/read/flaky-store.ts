/**
 * A memory store whose bodies come in chunks of odd sizes with pauses between, break where a test says so, and which notes every byte
 * that it delivered.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { DriverError, type Fault } from "#core/errors.ts";
import type { GetOptions, ObjectBody } from "#s3/object-store.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";

export interface Break {
  /** Bytes of the body that arrive before. */
  readonly after: number;
  readonly fault: Fault;
}

export class FlakyStore extends MemoryObjectStore {
  /** Sizes of the chunks, in turn. */
  chunkSizes: readonly number[] = [64 * 1024];
  /** Answers how the body of a GET breaks, if it does. */
  breaks: (start: number, end: number) => Break | undefined = () => undefined;
  /** While set, bodies wait for it before each chunk. */
  gate: Promise<unknown> | undefined;
  readonly ranges: [start: number, end: number][] = [];
  deliveredBytes = 0;
  cancelled = 0;

  override async get(key: string, options: GetOptions = {}): Promise<ObjectBody> {
    const body = await super.get(key, options);
    const start = options.range?.start ?? 0;
    const end = start + body.length;
    this.ranges.push([start, end]);
    return {
      ...body,
      stream: this.#flow(body, this.breaks(start, end), options.signal),
      cancel: () => {
        this.cancelled++;
        body.cancel();
      },
    };
  }

  async *#flow(body: ObjectBody, brk: Break | undefined, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    const parts: Uint8Array[] = [];
    for await (const part of body.stream) parts.push(part);
    const data = Buffer.concat(parts);
    const stop = Math.min(brk?.after ?? data.length, data.length);
    for (let at = 0, turn = 0; at < stop; turn++) {
      await nextTurn();
      if (this.gate !== undefined) await this.gate;
      if (signal?.aborted) throw new DriverError("interrupted", "aborted");
      const next = Math.min(stop, at + (this.chunkSizes[turn % this.chunkSizes.length] ?? 1));
      this.deliveredBytes += next - at;
      yield data.subarray(at, next);
      at = next;
    }
    if (brk !== undefined) throw new DriverError(brk.fault, "broken by the test");
  }
}
