/**
 * `Uploader`: sends the content of an open file to the store, as one PUT or as parts in parallel.
 *
 * It bounds the bytes in flight over all uploads of a mount. It does not look whether the file changes meanwhile: steady-upload.ts
 * does. Parts are a list worked through by number, each with its CRC-32 in `UploadedPart`, so that parts sent ahead while the file
 * is still being written, or by an engine that died, can be put into that list later.
 */
import fs from "node:fs";
import { DriverError } from "#core/errors.ts";
import type { ObjectStore, PutConditions, PutResult, UploadedPart, UploadId } from "#s3/object-store.ts";
import { ByteLimiter } from "./byte-limiter.ts";
import type { UploadTarget } from "./dirty-file.ts";
import { type Part, partSizeFor, partsOf } from "./part-plan.ts";

export interface UploaderOptions {
  readonly store: ObjectStore;
  /** Default 8 MiB; more where 10,000 parts would not do. */
  readonly partSizeBytes?: number;
  /** Files of this size and above go in parts. Default 16 MiB. */
  readonly multipartFromBytes?: number;
  /** Parts of one file in flight. Default 8. */
  readonly parallelParts?: number;
  /** Bytes of all files in flight. Default 64 MiB: the store may hold them in memory. */
  readonly inFlightBytes?: number;
}

/** An open file of which bytes [0, size) are sent. */
export interface UploadSource {
  readonly fd: number;
  readonly size: number;
}

/** Up to here a file is read at once and synchronously: 9 us for 64 KiB, where each trip to Node's thread pool takes 45. */
const READ_AT_ONCE_BYTES = 128 << 10;
/** Small files have a budget of their own, so that they do not queue behind the parts of a large one. */
const SMALL_BYTES = 1 << 20;
const SMALL_IN_FLIGHT_BYTES = 16 << 20;
/** A call's deadline: this, and time for its bytes on a slow line that several calls share. A dead connection is noticed before. */
const LEAST_DEADLINE_MS = 60_000;
const SLOW_BYTES_PER_MS = 256;
const ABORT_DEADLINE_MS = 10_000;

export class Uploader {
  // Dependencies
  readonly #store: ObjectStore;
  // Constants
  readonly #partSizeBytes: number;
  readonly #multipartFromBytes: number;
  readonly #parallelParts: number;
  // Mutable
  readonly #large: ByteLimiter;
  readonly #small = new ByteLimiter(SMALL_IN_FLIGHT_BYTES);

  constructor({ store, partSizeBytes, multipartFromBytes, parallelParts, inFlightBytes }: UploaderOptions) {
    this.#store = store;
    this.#partSizeBytes = partSizeBytes ?? 8 << 20;
    this.#multipartFromBytes = multipartFromBytes ?? 16 << 20;
    this.#parallelParts = parallelParts ?? 8;
    this.#large = new ByteLimiter(inFlightBytes ?? 64 << 20);
  }

  /** Uploads the file's bytes as they are while they are sent. Throws `corrupt` when the file ends before `size`. */
  upload(source: UploadSource, target: UploadTarget): Promise<PutResult> {
    return source.size < this.#multipartFromBytes ? this.#putWhole(source, target) : this.#putParts(source, target);
  }

  /** Frees the parts of an upload that will not be completed, as far as the store answers. */
  async abandon(upload: UploadId): Promise<void> {
    try {
      await this.#store.abortUpload({ key: upload.key, uploadId: upload.uploadId }, { deadlineMs: ABORT_DEADLINE_MS });
    } catch {
      // Left for the bucket's lifecycle rule, or for the next clean-up: nothing that waits here is worth it.
    }
  }

  #putWhole({ fd, size }: UploadSource, target: UploadTarget): Promise<PutResult> {
    const { key, headers, metadata, signal } = target;
    const options = { headers, metadata, signal, deadlineMs: deadlineFor(size), ...conditionsOf(target) };
    const limiter = size <= SMALL_BYTES ? this.#small : this.#large;
    const send = () => this.#store.put(key, size <= READ_AT_ONCE_BYTES ? readAtOnce(fd, size) : { fd, start: 0, end: size }, options);
    return limiter.run(size, send, signal);
  }

  async #putParts({ fd, size }: UploadSource, target: UploadTarget): Promise<PutResult> {
    const { key, headers, metadata, signal } = target;
    const parts = [...partsOf(size, partSizeFor(size, this.#partSizeBytes))];
    const upload = await this.#store.beginUpload(key, { headers, metadata, signal, deadlineMs: LEAST_DEADLINE_MS });
    try {
      target.onMultipart?.({ uploadId: upload.uploadId, key, parts: [] });
      const sent = await this.#sendParts(fd, upload, parts, signal);
      // The server puts the parts together while we wait: minutes for many.
      const deadlineMs = 5 * LEAST_DEADLINE_MS;
      return await this.#store.completeUpload(upload, sent, { signal, deadlineMs, ...conditionsOf(target) });
    } catch (thrown) {
      await this.abandon(upload);
      throw thrown;
    } finally {
      target.onMultipart?.(undefined);
    }
  }

  /** Sends all parts. After the first failure no further one is begun and those under way are aborted. */
  async #sendParts(fd: number, upload: UploadId, parts: readonly Part[], signal: AbortSignal | undefined): Promise<UploadedPart[]> {
    const stop = new AbortController();
    const either = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
    const sent: UploadedPart[] = [];
    const rest = parts.values();
    const work = async () => {
      for (const { number, start, end } of rest) {
        const options = { signal: either, deadlineMs: deadlineFor(end - start) };
        const send = () => this.#store.uploadPart(upload, number, { fd, start, end }, options);
        sent[number - 1] = await this.#large.run(end - start, send, either);
      }
    };
    let failure: { readonly thrown: unknown } | undefined;
    const workers = Array.from({ length: Math.min(this.#parallelParts, parts.length) }, () =>
      work().catch((thrown: unknown) => {
        failure ??= { thrown };
        stop.abort();
      }),
    );
    await Promise.all(workers);
    if (failure !== undefined) throw (failure as { thrown: unknown }).thrown;
    return sent;
  }
}

function conditionsOf({ ifMatch, ifNoneMatch }: PutConditions): PutConditions {
  return { ...(ifMatch === undefined ? {} : { ifMatch }), ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }) };
}

function deadlineFor(bytes: number): number {
  return LEAST_DEADLINE_MS + bytes / SLOW_BYTES_PER_MS;
}

function readAtOnce(fd: number, size: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(size);
  let done = 0;
  while (done < size) {
    const count = fs.readSync(fd, bytes, done, size - done, done);
    if (count === 0) throw new DriverError("corrupt", `the file to upload ends ${size - done} bytes too early`);
    done += count;
  }
  return bytes;
}
