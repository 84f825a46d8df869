/**
 * Uploads a file that may be written to meanwhile, so that the object is one state of it and never a mix.
 *
 * What was written before the call is in the object, whatever comes. If the file changed while it was sent, it is sent again; a file
 * that keeps changing (a log under constant append) is copied aside first, which is much faster than sending (a reflink where the
 * file system has them), and the copy is sent. What was written after the copy waits for the next flush: the file stays dirty.
 */
import fs from "node:fs";
import { promisify } from "node:util";
import type { Etag } from "#core/brand.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { AheadSource } from "./begun-upload.ts";
import type { ContentWatch, Moment } from "./content-watch.ts";
import type { UploadResult, UploadTarget } from "./dirty-file.ts";
import type { Reuse, Uploader } from "./uploader.ts";

export interface SteadyUpload {
  readonly fd: number;
  readonly watch: ContentWatch;
  readonly uploader: Uploader;
  /** Parts that were sent while the file was written: used by the first try, which verifies them. */
  readonly ahead?: AheadSource | undefined;
  readonly target: UploadTarget;
  /**
   * Called when an upload of `size` bytes begins, right after its moment: makes local what the parts to send need, and answers which
   * parts are not needed. Undefined: the file is whole.
   */
  readonly prepare?: (size: number) => Promise<Reuse | undefined>;
  /** Where the copy aside may stand while it is made. */
  readonly copyPath: string;
  /** Told of each version that reached the bucket: the next one must replace exactly that. */
  readonly onSent: (etag: Etag, size: number) => void;
}

export interface SteadyResult extends UploadResult {
  /** The content that was sent, not yet released; undefined when the file has another by now. */
  readonly moment: Moment | undefined;
}

/** Sent as they are; then from a copy. A second try costs less than a copy for the common case: one late write. */
const DIRECT_TRIES = 2;
/** A copy is made again when the file changed under it; after so many it is sent as it is, every byte as new as the call or newer. */
const COPY_TRIES = 3;
const COPY_BYTES = 1 << 20;

const read = promisify(fs.read);

export async function uploadSteadily(job: SteadyUpload): Promise<SteadyResult> {
  let { target } = job;
  for (let attempt = 0; attempt < DIRECT_TRIES; attempt += 1) {
    const sent = await sendOnce(job, target);
    if (sent?.moment !== undefined) return sent;
    if (sent !== undefined) target = replacing(target, sent.etag);
  }
  return sendCopy(job, target);
}

/** Sends the file as it stands. Undefined when it became shorter meanwhile: then nothing was stored. */
async function sendOnce(job: SteadyUpload, target: UploadTarget): Promise<SteadyResult | undefined> {
  const { fd, watch, uploader, ahead, prepare, onSent } = job;
  const moment = watch.moment();
  try {
    const reuse = await prepare?.(moment.size);
    if (target.mayBeMapped) await writeBack(fd);
    const put = await uploader.upload({ fd, size: moment.size, reuse }, target, ahead);
    onSent(put.etag, moment.size);
    return { ...put, size: moment.size, mtime: moment.mtime, moment: stillHolding(watch, moment) };
  } catch (thrown) {
    // Cut meanwhile, though it may be as long as before again.
    const wasCut = isFault(thrown, "corrupt") && !watch.holds(moment);
    watch.release(moment);
    if (wasCut) return undefined;
    throw thrown;
  }
}

async function sendCopy(job: SteadyUpload, target: UploadTarget): Promise<SteadyResult> {
  const { watch, uploader, onSent } = job;
  const { fd, moment, reuse } = await copyAside(job);
  try {
    const { size } = fs.fstatSync(fd);
    const put = await uploader.upload({ fd, size, reuse }, target);
    onSent(put.etag, size);
    return { ...put, size, mtime: moment.mtime, moment: stillHolding(watch, moment) };
  } catch (thrown) {
    watch.release(moment);
    throw thrown;
  } finally {
    fs.closeSync(fd);
  }
}

function stillHolding(watch: ContentWatch, moment: Moment): Moment | undefined {
  if (watch.holds(moment)) return moment;
  watch.release(moment);
  return undefined;
}

/** A copy of the file, open and already without a name, and the moment it shows. */
async function copyAside(job: SteadyUpload): Promise<{ fd: number; moment: Moment; reuse: Reuse | undefined }> {
  const { fd, watch, copyPath, target, prepare } = job;
  for (let attempt = 1; ; attempt += 1) {
    const moment = watch.moment();
    try {
      const reuse = await prepare?.(moment.size);
      if (target.mayBeMapped) await writeBack(fd);
      await copyContent(fd, copyPath, moment.size, reuse);
      const isWhole = reuse === undefined || fs.fstatSync(fd).size >= moment.size;
      if ((attempt >= COPY_TRIES && isWhole) || watch.holds(moment)) return { fd: fs.openSync(copyPath, "r"), moment, reuse };
      watch.release(moment);
    } catch (thrown) {
      watch.release(moment);
      throw DriverError.from(thrown);
    } finally {
      fs.rmSync(copyPath, { force: true });
    }
  }
}

/**
 * Copies the first `size` bytes, or what the file has of them; of parts that are not sent nothing. As a reflink where the disk has such. Not
 * by copyFile's own loop, which never ends when the file is cut while it is being copied (libuv waits for the bytes that are gone).
 */
async function copyContent(fd: number, path: string, size: number, reuse: Reuse | undefined): Promise<void> {
  // Through /proc, since the spool file may have been renamed or removed.
  const isCloned = await fs.promises.copyFile(`/proc/self/fd/${fd}`, path, fs.constants.COPYFILE_FICLONE_FORCE).then(
    () => true,
    () => false,
  );
  const copy = await fs.promises.open(path, isCloned ? "r+" : "w", 0o600);
  try {
    // Parts were planned for exactly this size.
    if (reuse !== undefined) await copy.truncate(size);
    if (isCloned) return;
    const sent = reuse?.parts.filter(({ from }) => from === "spool") ?? [{ start: 0, end: size }];
    for (const { start, end } of sent) await copyRange(fd, copy, start, end);
  } finally {
    await copy.close();
  }
}

/** Copies [start, end), or what the file has of it. */
async function copyRange(fd: number, copy: fs.promises.FileHandle, start: number, end: number): Promise<void> {
  const chunk = Buffer.allocUnsafe(Math.min(end - start, COPY_BYTES));
  for (let at = start; at < end; ) {
    const { bytesRead } = await read(fd, chunk, 0, Math.min(chunk.length, end - at), at);
    if (bytesRead === 0) return;
    let done = 0;
    while (done < bytesRead) done += (await copy.write(chunk, done, bytesRead - done, at + done)).bytesWritten;
    at += bytesRead;
  }
}

/**
 * Writes dirty pages to the disk, which also protects the mapped ones: from then on a store through a mapping moves the mtime. Done
 * between the moment and the reading, so that a store is either in what is read or seen afterwards.
 */
function writeBack(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fs.fdatasync(fd, (error) => (error ? reject(DriverError.from(error)) : resolve())));
}

/** Where conditions were wanted, the next version may replace only the one just sent. */
export function replacing(target: UploadTarget, sent: Etag): UploadTarget {
  const { ifMatch, ifNoneMatch, ...rest } = target;
  return ifMatch === undefined && ifNoneMatch === undefined ? target : { ...rest, ifMatch: sent };
}
