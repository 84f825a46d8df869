import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DriverError, FAULTS, type Fault } from "#core/errors.ts";
import { DEFAULT_RETRY, type FailedAttempt, parseRetryAfter, type RetryPolicy, retryDelay, withRetries } from "#s3/retry.ts";

const POLICY: RetryPolicy = { attempts: 5, baseMs: 100, capMs: 1000 };
const error = (fault: Fault, retryAfterMs?: number) =>
  new DriverError(fault, fault, retryAfterMs === undefined ? {} : { context: { retryAfterMs } });
const failed = (fault: Fault, more: Partial<FailedAttempt> = {}): FailedAttempt => ({
  ...{ error: error(fault), attempt: 1, remainingMs: 60_000, refreshed: false, repeated: false },
  ...more,
});

describe("retryDelay", () => {
  it("never waits past the deadline, below Retry-After, or above the step", () => {
    const anyFault = fc.constantFrom(...(Object.keys(FAULTS) as Fault[]));
    fc.assert(
      fc.property(
        anyFault,
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: -10, max: 100_000 }),
        fc.option(fc.integer({ min: 1, max: 20_000 }), { nil: undefined }),
        fc.boolean(),
        fc.boolean(),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (fault, attempt, remainingMs, retryAfterMs, refreshed, repeated, random) => {
          const delay = retryDelay(failed(fault, { attempt, remainingMs, retryAfterMs, refreshed, repeated }), POLICY, () => random);
          if (FAULTS[fault].retry === "no" || attempt >= POLICY.attempts || remainingMs <= 0) expect(delay).toBeUndefined();
          if (delay === undefined) return;
          expect(delay).toBeLessThan(remainingMs);
          if (FAULTS[fault].retry === "after-refresh") expect([delay, refreshed, repeated]).toEqual([0, true, false]);
          else expect(delay).toBeGreaterThanOrEqual(retryAfterMs ?? 0);
          expect(delay).toBeLessThanOrEqual(Math.max(retryAfterMs ?? 0, Math.min(POLICY.capMs, POLICY.baseMs * 2 ** (attempt - 1))));
        },
      ),
    );
  });

  it("doubles its step up to the cap", () => {
    const steps = [1, 2, 3, 4].map((attempt) => retryDelay(failed("unavailable", { attempt }), POLICY, () => 1));
    expect(steps).toEqual([100, 200, 400, 800]);
    expect(retryDelay(failed("unavailable", { attempt: 9 }), { ...POLICY, attempts: 20 }, () => 1)).toBe(1000);
  });

  it("repeats corrupt data once", () => {
    expect(retryDelay(failed("corrupt"), POLICY, () => 0)).toBe(0);
    expect(retryDelay(failed("corrupt", { attempt: 2, repeated: true }), POLICY, () => 0)).toBeUndefined();
  });

  it("outlives a restart of half a minute at most", () => {
    const attempts = Array.from({ length: DEFAULT_RETRY.attempts - 1 }, (_, i) => i + 1);
    const all = attempts.map((attempt) => retryDelay(failed("unavailable", { attempt }), DEFAULT_RETRY, () => 1) ?? 0);
    expect(all.reduce((sum, ms) => sum + ms, 0)).toBe(28_700);
  });
});

describe("parseRetryAfter", () => {
  it("reads seconds and dates, and passes over the rest", () => {
    const now = Date.UTC(2026, 0, 1);
    expect(parseRetryAfter("3", now)).toBe(3000);
    expect(parseRetryAfter("Thu, 01 Jan 2026 00:00:05 GMT", now)).toBe(5000);
    expect(parseRetryAfter("Thu, 01 Jan 2015 00:00:05 GMT", now)).toBeUndefined();
    expect(parseRetryAfter("soon", now)).toBeUndefined();
    expect(parseRetryAfter(undefined, now)).toBeUndefined();
  });
});

describe("withRetries", () => {
  /** Time passes only by sleeping. */
  function world() {
    const waits: number[] = [];
    let now = 0;
    const sleep = async (ms: number) => {
      waits.push(ms);
      now += ms;
    };
    return { waits, environment: { clock: { now: () => now }, policy: POLICY, random: () => 1, sleep } };
  }

  it("answers the first success and counts the waits", async () => {
    const { waits, environment } = world();
    const outcomes: (Fault | "fine")[] = ["unavailable", "throttled", "fine"];
    const run = async (attempt: number) => {
      const outcome = outcomes[attempt - 1] ?? "internal";
      if (outcome !== "fine") throw error(outcome);
      return attempt;
    };
    expect(await withRetries({ deadlineAt: 60_000, signal: undefined, run, refresh: () => false }, environment)).toBe(3);
    expect(waits).toEqual([100, 200]);
  });

  it("throws the last error when the deadline is near", async () => {
    const { waits, environment } = world();
    const run = async () => {
      throw error("unavailable", 400);
    };
    const call = withRetries({ deadlineAt: 1000, signal: undefined, run, refresh: () => false }, environment);
    await expect(call).rejects.toMatchObject({ fault: "unavailable" });
    expect(waits).toEqual([400, 400]);
  });

  it("refreshes credentials once, and only for refused ones", async () => {
    const { environment } = world();
    let refreshes = 0;
    let attempts = 0;
    const run = async () => {
      attempts += 1;
      throw error("unauthenticated");
    };
    const refresh = () => {
      refreshes += 1;
      return true;
    };
    await expect(withRetries({ deadlineAt: 60_000, signal: undefined, run, refresh }, environment)).rejects.toMatchObject({
      fault: "unauthenticated",
    });
    expect([attempts, refreshes]).toEqual([2, 1]);
  });

  it("stops when the signal is aborted", async () => {
    const { waits, environment } = world();
    const stop = new AbortController();
    const run = async () => {
      stop.abort();
      throw error("unavailable");
    };
    await expect(withRetries({ deadlineAt: 60_000, signal: stop.signal, run, refresh: () => false }, environment)).rejects.toMatchObject({
      fault: "unavailable",
    });
    expect(waits).toEqual([]);
  });
});
