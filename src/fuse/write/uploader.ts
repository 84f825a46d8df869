/**
 * `Uploader`: sends the content of an open file to the store, as one PUT or as parts in parallel.
 *
 * It bounds the bytes in flight over all uploads of a mount. It does not look whether the file changes meanwhile: steady-upload.ts
 * does. Parts that were sent ahead, while the file was still being written (early-parts.ts), are compared with the file, and used
 * where they are what it has. Parts that an older version in the bucket has are copied there by the store (`Reuse`).
 */
import fs from "node:fs";
import { DriverError, type Fault, isFault } from "#core/errors.ts";
import type { Range } from "#core/ranges.ts";
import type { ContentId } from "#fuse/cache/content-cache.ts";
import { BufferPool } from "#s3/buffer-pool.ts";
import type { ObjectStore, PutConditions, PutResult, UploadedPart, UploadId, UserMetadata } from "#s3/object-store.ts";
import { type AheadSource, type BegunUpload, isUnchanged, type PartAhead } from "./begun-upload.ts";
import { ByteLimiter } from "./byte-limiter.ts";
import type { UploadTarget } from "./dirty-file.ts";
import type { AheadSender } from "./early-parts.ts";
import { Fingerprint } from "./fingerprint.ts";
import { type MixedPart, type Part, planMixedParts, planParts } from "./part-plan.ts";

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
  /** The store copies parts, and only of the version that is asked for (probe.ts). Default: it does not. */
  readonly copiesParts?: boolean;
}

/** An open file of which bytes [0, size) are sent. */
export interface UploadSource {
  readonly fd: number;
  readonly size: number;
  /** Parts that need not be sent. */
  readonly reuse?: Reuse | undefined;
}

/** An object's parts of which the store copies some from a version that it has. */
export interface Reuse {
  readonly source: Pick<ContentId, "key" | "etag">;
  /** All of the object's. */
  readonly parts: readonly MixedPart[];
}

/** An object that was stored. */
interface Stored extends PutResult {
  /** What it carries. */
  readonly metadata: UserMetadata;
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
/** Faults that another upload would meet as well, or that its caller must hear of. */
const NO_SECOND_TRY: readonly Fault[] = ["stale", "exists", "interrupted", "unavailable", "timed_out", "throttled", "denied", "no_space"];
/** What an upload with copied parts fails with for reasons that sending all would meet as well, or that its caller must hear of. */
const REUSE_FAILS_WITH: readonly Fault[] = [
  ...(["stale", "exists", "not_found", "interrupted", "unavailable", "timed_out", "throttled", "no_space", "conflict"] as const),
  "corrupt",
];
/** Read of a part that is compared: half a core's cache. */
const SCRATCH_BYTES = 1 << 20;

export class Uploader implements AheadSender {
  // Dependencies
  readonly #store: ObjectStore;
  // Constants
  readonly partSizeBytes: number;
  readonly #multipartFromBytes: number;
  readonly #parallelParts: number;
  // Mutable
  readonly #large: ByteLimiter;
  readonly #small = new ByteLimiter(SMALL_IN_FLIGHT_BYTES);
  readonly #scratch = new BufferPool();
  #copiesParts: boolean;

  constructor({ store, partSizeBytes, multipartFromBytes, parallelParts, inFlightBytes, copiesParts = false }: UploaderOptions) {
    this.#store = store;
    this.partSizeBytes = partSizeBytes ?? 8 << 20;
    this.#multipartFromBytes = multipartFromBytes ?? 16 << 20;
    this.#parallelParts = parallelParts ?? 8;
    this.#large = new ByteLimiter(inFlightBytes ?? 64 << 20);
    this.#copiesParts = copiesParts;
  }

  /** How to send a file that differs from a version in the bucket in `changed` alone. Undefined: the store can copy no part of it. */
  planReuse(size: number, changed: Iterable<Range>): readonly MixedPart[] | undefined {
    if (!this.#copiesParts || size < this.#multipartFromBytes) return undefined;
    const parts = planMixedParts(size, this.partSizeBytes, changed);
    return parts.some(({ from }) => from === "base") ? parts : undefined;
  }

  /**
   * Uploads the file's bytes as they are while they are sent. Throws `corrupt` when the file ends before `size`; with `reuse` also
   * `stale` when the version that it names was replaced, and `unsupported` when the store turns out not to copy parts: then no plan
   * reuses any from now on.
   */
  async upload(source: UploadSource, target: UploadTarget, ahead?: AheadSource): Promise<Stored> {
    const { metadata } = target;
    if (source.size < this.#multipartFromBytes) return { ...(await this.#putWhole(source, target)), metadata };
    if (source.reuse !== undefined) return { ...(await this.#putParts(source, target)), metadata };
    const begun = await ahead?.take(target);
    const stored = begun === undefined ? undefined : await this.#finish(source, target, begun);
    return stored ?? { ...(await this.#putParts(source, target)), metadata };
  }

  /** Begins a multipart upload for parts that are sent ahead. */
  begin({ key, headers, metadata, signal }: UploadTarget, withCopies = false): Promise<UploadId> {
    return this.#store.beginUpload(key, { headers, metadata, withCopies, signal, deadlineMs: LEAST_DEADLINE_MS });
  }

  async sendAhead(fd: number, upload: UploadId, part: Part, signal: AbortSignal): Promise<PartAhead> {
    const bytes = new Fingerprint();
    const sent = await this.#sendPart(fd, upload, part, signal, (chunk) => bytes.add(chunk));
    return { part, sent, fingerprint: bytes.value() };
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
    const send = () => {
      checkWanted(target);
      return this.#store.put(key, size <= READ_AT_ONCE_BYTES ? readAtOnce(fd, size) : { fd, start: 0, end: size }, options);
    };
    return limiter.run(size, send, signal);
  }

  async #putParts(source: UploadSource, target: UploadTarget): Promise<PutResult> {
    const upload = await this.begin(target, source.reuse !== undefined);
    try {
      target.onMultipart?.({ uploadId: upload.uploadId, key: upload.key, parts: [] });
      return await this.#complete(source, target, upload);
    } catch (thrown) {
      await this.abandon(upload);
      throw source.reuse === undefined ? thrown : this.#afterReuse(thrown);
    } finally {
      target.onMultipart?.(undefined);
    }
  }

  /** Some stores want parts of one size, or rights of their own for a copy: the probe cannot know all. */
  #afterReuse(thrown: unknown): unknown {
    if (isFault(thrown, ...REUSE_FAILS_WITH)) return thrown;
    this.#copiesParts = false;
    return new DriverError("unsupported", "the store does not make objects of copied parts", { cause: thrown });
  }

  /** Ends an upload that was begun ahead. Undefined when that does not work and another one may. */
  async #finish(source: UploadSource, target: UploadTarget, begun: BegunUpload): Promise<Stored | undefined> {
    try {
      return { ...(await this.#complete(source, target, begun.id, begun)), metadata: begun.metadata };
    } catch (thrown) {
      await begun.cancel();
      await this.abandon(begun.id);
      if (isFault(thrown, ...NO_SECOND_TRY)) throw thrown;
      return undefined;
    } finally {
      target.onMultipart?.(undefined);
    }
  }

  async #complete(source: UploadSource, target: UploadTarget, upload: UploadId, begun?: BegunUpload): Promise<PutResult> {
    const sent = await this.#sendParts(source, upload, target, begun);
    checkWanted(target);
    // The server puts the parts together while we wait: minutes for many.
    const options = { signal: target.signal, deadlineMs: 5 * LEAST_DEADLINE_MS, ...conditionsOf(target) };
    return this.#store.completeUpload(upload, sent, options);
  }

  /** Sends all parts that are not there yet. After the first failure no further one is begun and those under way are aborted. */
  async #sendParts(
    { fd, size, reuse }: UploadSource,
    upload: UploadId,
    { signal, cancelled }: UploadTarget,
    begun: BegunUpload | undefined,
  ): Promise<UploadedPart[]> {
    const stop = new AbortController();
    const either = AbortSignal.any([stop.signal, signal, cancelled].filter((one) => one !== undefined));
    either.addEventListener("abort", () => void begun?.cancel(), { once: true });
    const sent: UploadedPart[] = [];
    const settled = begun && { count: begun.parts.size, partBytes: begun.partBytes };
    const parts: readonly (Part | MixedPart)[] = reuse?.parts ?? planParts(size, this.partSizeBytes, settled);
    const rest = parts.values();
    const work = async () => {
      for (const part of rest) {
        const early = begun && (await this.#usable(fd, part, begun));
        if (either.aborted) throw new DriverError("interrupted", "the upload was interrupted");
        const copied = reuse && "from" in part && part.from === "base" ? this.#copyPart(reuse.source, upload, part, either) : undefined;
        sent[part.number - 1] = early ?? (await (copied ?? this.#sendPart(fd, upload, part, either)));
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

  #sendPart(
    fd: number,
    upload: UploadId,
    { number, start, end }: Part,
    signal: AbortSignal,
    seen?: (chunk: Uint8Array) => void,
  ): Promise<UploadedPart> {
    const options = { signal, deadlineMs: deadlineFor(end - start) };
    const payload = { fd, start, end, ...(seen && { seen }) };
    return this.#large.run(end - start, () => this.#store.uploadPart(upload, number, payload, options), signal);
  }

  #copyPart({ key, etag }: Reuse["source"], upload: UploadId, { number, start, end }: Part, signal: AbortSignal): Promise<UploadedPart> {
    const options = { signal, deadlineMs: deadlineFor(end - start) };
    return this.#store.copyPart(upload, number, { key, start, end, ifMatch: etag }, options);
  }

  /** The part as it was sent ahead, if the file still has those bytes. */
  async #usable(fd: number, part: Part, begun: BegunUpload): Promise<UploadedPart | undefined> {
    const ahead = await begun.parts.get(part.number);
    if (ahead?.part.start !== part.start || ahead.part.end !== part.end) return undefined;
    const scratch = this.#scratch.take(SCRATCH_BYTES);
    const unchanged = await isUnchanged(fd, ahead, scratch);
    this.#scratch.give(scratch);
    return unchanged ? ahead.sent : undefined;
  }
}

function checkWanted({ cancelled }: UploadTarget): void {
  if (cancelled?.aborted) throw new DriverError("interrupted", "the upload is not wanted any more");
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
