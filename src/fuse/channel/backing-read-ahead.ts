/**
 * `BackingReadAhead`: reads ahead in backing files that a process reads from its start on, while their pages are not in memory.
 *
 * In passthrough the kernel alone sees the reads, and reads ahead as the disk's `read_ahead_kb` says: with the usual 128 KiB too
 * little for a fast disk, with many MiB in blocks of memory that are dear to find on a machine in use. posix_fadvise(2) takes
 * single pages, and a thread of our own beside the reader's: where 512 MiB with cold pages took 1.0 s, since the machine had lent its
 * memory out, they took 0.5 s so; where memory was at hand, 0.3 s either way (Linux 6.18).
 *
 * Who reads, and where, is seen by cachestat(2) alone: pages that turn up behind what was read ahead so far.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { blockingCall, systemCall } from "./libc.ts";

const MIB = 1 << 20;
const PAGE_BYTES = 4096;

/** Smaller files are read before we would notice. */
const LEAST_FILE_BYTES = 16 * MIB;
/** Where a reader is looked for, from the end of what is known to be in memory on. */
const PROBE_BYTES = 8 * MIB;
/** So much that turns up there comes from a sequential reader and the kernel's own read-ahead, not from a few random reads. */
const SIGN_BYTES = 2 * MIB;
/** How far to read ahead when there is a sign. It bounds what is read in vain. */
const WINDOW_BYTES = 64 * MIB;
/** One posix_fadvise: the kernel cuts off what is beyond the disk's largest request. */
const ADVICE_BYTES = MIB;
const FIRST_WAIT_MS = 2;
/** When nobody has come for so long, nobody will. The waits double up to a half of it. */
const PATIENCE_MS = 4000;

const POSIX_FADV_WILLNEED = 3;
const fadvise = blockingCall("int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)");

/** cachestat(2), Linux 6.5: the same number on all processors, and no function of libc's yet. */
const SYS_CACHESTAT = 451;
const syscall = systemCall("long syscall(long number, int fd, void *range, void *answer, unsigned int flags)");

/** Bytes of [start, start + length) that are in memory; 0 where the kernel does not tell. */
export function residentBytes(fd: number, start: number, length: number): number {
  const range = BigUint64Array.of(BigInt(start), BigInt(length));
  const answer = new BigUint64Array(5);
  return syscall(SYS_CACHESTAT, fd, range, answer, 0) < 0 ? 0 : Number(answer[0]) * PAGE_BYTES;
}

export class BackingReadAhead {
  readonly #watched = new Map<number, AbortController>();

  /** Watches over an open file, which may be closed meanwhile, until `stop`, its end, or a while without a reader. */
  start(id: number, fd: number): void {
    const { size } = fstatSync(fd);
    const own = size < LEAST_FILE_BYTES ? undefined : reopened(fd);
    if (own === undefined) return;
    const stopped = new AbortController();
    this.#watched.set(id, stopped);
    void follow(own, size, stopped.signal).finally(() => {
      closeSync(own);
      if (this.#watched.get(id) === stopped) this.#watched.delete(id);
    });
  }

  stop(id: number): void {
    this.#watched.get(id)?.abort();
    this.#watched.delete(id);
  }
}

/** The descriptor is the caller's to close. Undefined when there is none left: reading goes on without us. */
function reopened(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, "r");
  } catch {
    return undefined;
  }
}

async function follow(fd: number, size: number, stopped: AbortSignal): Promise<void> {
  let at = 0;
  while (!stopped.aborted) {
    at = endOfResident(fd, at, size);
    if (at >= size || !(await someoneReads(fd, at, size, stopped))) return;
    const end = Math.min(size, at + WINDOW_BYTES);
    for (; at < end && !stopped.aborted; at += ADVICE_BYTES) await fadvise(fd, at, Math.min(ADVICE_BYTES, end - at), POSIX_FADV_WILLNEED);
  }
}

/** The first probe from `start` on of which some is not in memory. */
function endOfResident(fd: number, start: number, size: number): number {
  let at = start;
  while (at < size && residentBytes(fd, at, PROBE_BYTES) >= Math.min(PROBE_BYTES, size - at)) at += PROBE_BYTES;
  return at;
}

/** Waits for pages to turn up behind `at`. False when none came. */
async function someoneReads(fd: number, at: number, size: number, stopped: AbortSignal): Promise<boolean> {
  const bytes = Math.min(PROBE_BYTES, size - at);
  const before = residentBytes(fd, at, bytes);
  const sign = Math.min(SIGN_BYTES, bytes - before);
  for (let waitMs = FIRST_WAIT_MS; waitMs < PATIENCE_MS && !stopped.aborted; waitMs *= 2) {
    await sleep(waitMs, undefined, { ref: false });
    if (residentBytes(fd, at, bytes) - before >= sign) return true;
  }
  return false;
}
