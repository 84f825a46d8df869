import { setTimeout as sleep } from "node:timers/promises";

/** Longest wait for anything in a cluster: far beyond what is ever needed, so that a slow machine fails no test. */
const LIMIT_MS = 5 * 60_000;
const INTERVAL_MS = 500;

/**
 * Asks until the answer is neither undefined nor false, and resolves with it. A question that throws is asked again.
 * Throws after five minutes, with the last error if there was one.
 */
export async function until<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
  const end = Date.now() + LIMIT_MS;
  for (;;) {
    let cause: unknown;
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      cause = error;
    }
    if (Date.now() > end) throw new Error(`waited in vain for ${what}${cause instanceof Error ? `: ${cause.message}` : ""}`, { cause });
    await sleep(INTERVAL_MS);
  }
}
