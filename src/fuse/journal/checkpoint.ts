/**
 * Replaces a journal that is mostly history by one that holds the live rows only.
 *
 * The old journal stays the truth, and is appended to, until the very end. The new one is written beside it, in slices, so that
 * no request waits long; then what was appended meanwhile is copied after it, and a rename puts it in place. At whatever step the
 * process dies, the name `journal` means a file with the whole state.
 *
 * Power loss: a record whose `sync` was answered must be in whichever file survives. So syncs are held while the new file gets its
 * last fdatasync and is renamed; what was synced before is in the new file below that fdatasync.
 */
import fs from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { DriverError } from "#core/errors.ts";
import { fileSource, readFrames } from "./reader.ts";
import { decodeRecord, encodeRecord, FORMAT_VERSION, type Frame } from "./record.ts";
import { LiveIndex } from "./recovery.ts";
import type { JournalWriter } from "./writer.ts";

const fdatasync = promisify(fs.fdatasync);

export interface CheckpointJob {
  readonly writer: JournalWriter;
  readonly path: string;
  readonly temporaryPath: string;
  /** Called after each slice; lets other work run. */
  readonly pause: () => Promise<void>;
  /** How many bytes of journal are worked through between pauses. 128 KiB take about 1 ms. */
  readonly sliceBytes: number;
  /** Asked after each pause: true ends the checkpoint without effect. */
  readonly cancelled: () => boolean;
}

/** True when the journal is worth a checkpoint: large, and at least doubled since the last one, so that work stays in proportion. */
export function isCheckpointDue({
  sizeBytes,
  lastBytes,
  leastBytes,
}: {
  sizeBytes: number;
  lastBytes: number;
  leastBytes: number;
}): boolean {
  return sizeBytes >= leastBytes && sizeBytes >= 2 * lastBytes;
}

/** The first records of every journal. */
export function journalHead(maxNode: number, maxHandle: number): Buffer {
  return Buffer.concat([encodeRecord({ type: "format", version: FORMAT_VERSION }), encodeRecord({ type: "counters", maxNode, maxHandle })]);
}

/** Does one checkpoint. Answers false when it was cancelled. On any failure the old journal goes on and the new file is removed. */
export async function checkpoint(job: CheckpointJob): Promise<boolean> {
  const target = new CheckpointFile(job.temporaryPath);
  try {
    const end = job.writer.size;
    const done = (await copyLive(job, target, end)) && (await job.writer.withoutSyncs(() => replace(job, target, end)));
    if (!done) target.remove();
    return done;
  } catch (thrown) {
    target.remove();
    throw thrown;
  }
}

/** Writes the rows that are live at `end` into the new file. */
async function copyLive(job: CheckpointJob, target: CheckpointFile, end: number): Promise<boolean> {
  const live = new LiveIndex();
  await eachFrame(job, end, (frame, offset) => {
    const counters = frame.type === "counters" ? decodeRecord(frame) : undefined;
    live.add(frame.type, frame.id, offset, counters?.type === "counters" ? counters : undefined);
  });
  if (job.cancelled()) return false;
  target.write(journalHead(live.maxNode, live.maxHandle));
  await eachFrame(job, end, ({ type, id, window, start, end }, offset) => {
    if (live.isLive(type, id, offset)) target.write(window.bytes.subarray(start, end));
  });
  target.flush();
  return !job.cancelled();
}

/** Shows the frames of the journal up to `end`, with pauses between slices; ends early when the job is cancelled. */
async function eachFrame(job: CheckpointJob, end: number, visit: (frame: Frame, offset: number) => void): Promise<void> {
  const frames = readFrames(fileSource(job.writer.fd), 0, end);
  let sliceEnd = job.sliceBytes;
  for (let next = frames.next(); ; next = frames.next()) {
    if (next.done) {
      if (next.value.end !== end) throw new DriverError("corrupt", `the journal is damaged at byte ${next.value.end}`);
      return;
    }
    const { frame, offset } = next.value;
    visit(frame, offset);
    if (offset < sliceEnd) continue;
    sliceEnd = offset + job.sliceBytes;
    await job.pause();
    if (job.cancelled()) return;
  }
}

/** Adds what was appended since `end` to the new file and puts it in the old one's place. No sync runs meanwhile. */
async function replace({ writer, path, temporaryPath, cancelled }: CheckpointJob, target: CheckpointFile, end: number): Promise<boolean> {
  const source = fileSource(writer.fd);
  const synced = writer.size;
  target.copy(source(end, synced - end));
  await fdatasync(target.fd);
  if (cancelled()) return false;
  // From here to the switch nothing else runs: no append can slip in between.
  target.copy(source(synced, writer.size - synced));
  fs.renameSync(temporaryPath, path);
  fs.closeSync(writer.switchTo(target.fd, target.size));
  target.handedOver = true;
  syncFolderOf(path);
  return true;
}

/** Makes a rename in the file's folder survive a power loss. */
export function syncFolderOf(path: string): void {
  const folder = fs.openSync(dirname(path), "r");
  try {
    fs.fsyncSync(folder);
  } finally {
    fs.closeSync(folder);
  }
}

const PENDING_BYTES = 256 << 10;

/** The file under construction. */
class CheckpointFile {
  readonly fd: number;
  readonly #path: string;
  size = 0;
  /** The descriptor is the journal's now. */
  handedOver = false;
  readonly #pending = Buffer.allocUnsafeSlow(PENDING_BYTES);
  #pendingBytes = 0;

  constructor(path: string) {
    fs.rmSync(path, { force: true });
    this.#path = path;
    this.fd = fs.openSync(path, "ax+", 0o600);
  }

  /** Takes a copy; writes when enough has come together. */
  write(bytes: Uint8Array): void {
    if (this.#pendingBytes + bytes.byteLength > PENDING_BYTES) this.flush();
    if (bytes.byteLength > PENDING_BYTES) {
      this.copy(bytes);
      return;
    }
    this.#pending.set(bytes, this.#pendingBytes);
    this.#pendingBytes += bytes.byteLength;
  }

  flush(): void {
    this.copy(this.#pending.subarray(0, this.#pendingBytes));
    this.#pendingBytes = 0;
  }

  /** Writes at once. */
  copy(bytes: Uint8Array): void {
    let done = 0;
    while (done < bytes.byteLength) done += fs.writeSync(this.fd, bytes, done, bytes.byteLength - done, null);
    this.size += bytes.byteLength;
  }

  remove(): void {
    if (this.handedOver) return;
    fs.closeSync(this.fd);
    fs.rmSync(this.#path, { force: true });
  }
}
