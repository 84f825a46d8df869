/**
 * Deadlines for work that cannot be stopped, above all file system calls on a path that an engine serves: such a call may
 * wait for ever, and a thread of libuv's with it. A time-out says that there was no answer; it is no proof of death.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { DriverError } from "#core/errors.ts";

/** The promise's outcome, or the fault `timed_out` after `ms` milliseconds, named by `what`. The work itself goes on. */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DriverError("timed_out", `${what}: no answer within ${ms / 1000} s`)), ms);
  });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks every `everyMs` until `probe` says true; false after `ms` milliseconds. */
export async function pollUntil(ms: number, everyMs: number, probe: () => Promise<boolean> | boolean): Promise<boolean> {
  for (const end = Date.now() + ms; ; await sleep(everyMs)) {
    if (await probe()) return true;
    if (Date.now() >= end) return false;
  }
}
