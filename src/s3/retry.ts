/**
 * When a failed call is made again: pure policy, and the loop that applies it.
 *
 * Exponential backoff with full jitter (a wait between 0 and the step, so that many clients spread out), by the retry
 * column of the fault table; the server's Retry-After is a floor; the call's deadline bounds all.
 */
import type { Clock } from "#core/clock.ts";
import { DriverError, FAULTS } from "#core/errors.ts";

export interface RetryPolicy {
  /** All attempts, the first included. */
  readonly attempts: number;
  readonly baseMs: number;
  readonly capMs: number;
}

/** Waits of 14 s on average in all, 29 s at most: outlives a server's restart and a burst of SlowDown. */
export const DEFAULT_RETRY: RetryPolicy = { attempts: 10, baseMs: 100, capMs: 8_000 };

export interface FailedAttempt {
  readonly error: DriverError;
  /** 1 for the first. */
  readonly attempt: number;
  /** Until the call's deadline. */
  readonly remainingMs: number;
  readonly retryAfterMs?: number | undefined;
  /** New credentials are there that the failed attempt did not have. */
  readonly refreshed: boolean;
  /** An earlier attempt of this call failed with the same fault. */
  readonly repeated: boolean;
}

/** Milliseconds to wait before the next attempt; undefined: the call has failed. `random` is in [0, 1). */
export function retryDelay(failed: FailedAttempt, policy: RetryPolicy, random: () => number): number | undefined {
  const { error, attempt, remainingMs, retryAfterMs = 0, refreshed, repeated } = failed;
  if (attempt >= policy.attempts) return undefined;
  const rule = FAULTS[error.fault].retry;
  if (rule === "no") return undefined;
  if (rule === "after-refresh") return refreshed && !repeated && remainingMs > 0 ? 0 : undefined;
  if (rule === "once" && repeated) return undefined;
  const step = Math.min(policy.capMs, policy.baseMs * 2 ** (attempt - 1));
  const delay = Math.max(retryAfterMs, random() * step);
  return delay < remainingMs ? delay : undefined;
}

/** A Retry-After header (seconds or a date) in milliseconds from now. */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}

export interface RetryEnvironment {
  readonly clock: Clock;
  readonly policy: RetryPolicy;
  readonly random: () => number;
  /** Resolves after the time, rejects when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

export interface RetryCall<T> {
  /** Milliseconds since the epoch. */
  readonly deadlineAt: number;
  readonly signal: AbortSignal | undefined;
  /** One attempt, 1 for the first. Only DriverErrors are considered for a retry. */
  readonly run: (attempt: number) => Promise<T>;
  /** Called after `unauthenticated`; true when another attempt would carry other credentials. */
  readonly refresh: () => Promise<boolean> | boolean;
  readonly onRetry?: (error: DriverError) => void;
}

/** Runs a call until it succeeds, may not be repeated, or its time is over. */
export async function withRetries<T>(call: RetryCall<T>, { clock, policy, random, sleep }: RetryEnvironment): Promise<T> {
  let last: DriverError | undefined;
  for (let attempt = 1; ; attempt++) {
    try {
      return await call.run(attempt);
    } catch (thrown) {
      const error = DriverError.from(thrown);
      const delay = retryDelay(
        {
          ...{ error, attempt, remainingMs: call.deadlineAt - clock.now(), retryAfterMs: retryAfterOf(error) },
          refreshed: error.fault === "unauthenticated" && last?.fault !== "unauthenticated" && (await call.refresh()),
          repeated: last?.fault === error.fault,
        },
        policy,
        random,
      );
      if (delay === undefined || call.signal?.aborted) throw error;
      last = error;
      call.onRetry?.(error);
      await sleep(delay, call.signal);
    }
  }
}

function retryAfterOf(error: DriverError): number | undefined {
  const value = error.context.retryAfterMs;
  return typeof value === "number" ? value : undefined;
}
