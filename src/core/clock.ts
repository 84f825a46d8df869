/** Time, injected so that policy can be tested without waiting. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

/** A point in time as stat(2) has it. `nsec` is 0 to 999,999,999. */
export interface Timespec {
  readonly sec: number;
  readonly nsec: number;
}

/** Milliseconds since the epoch, fractions allowed, as a Timespec. */
export function timespecOfMs(ms: number): Timespec {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.min(999_999_999, Math.max(0, Math.round((ms - sec * 1000) * 1e6))) };
}

/** The Timespec in milliseconds, as a float. */
export function msOfTimespec({ sec, nsec }: Timespec): number {
  return sec * 1000 + nsec / 1e6;
}
