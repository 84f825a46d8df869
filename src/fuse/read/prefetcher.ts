/**
 * `Prefetcher`: keeps the read-ahead of one open file under way. It follows the plans of `window.ts`; when the memory budget has no room
 * it waits, and goes on when there is some.
 */
import type { Range } from "#core/ranges.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { type ReadPlan, splitIntoParts } from "./window.ts";

export interface PrefetchSource {
  /** What of [start, end) is neither here nor on its way. */
  uncovered(start: number, end: number): Range[];
  /** Begins to fetch a range that `uncovered` named. False when memory has no room for it. */
  fetchAhead(start: number, end: number): boolean;
}

export class Prefetcher {
  readonly #source: PrefetchSource;
  readonly #budget: MemoryBudget;
  #plan: ReadPlan | undefined;

  constructor(source: PrefetchSource, budget: MemoryBudget) {
    this.#source = source;
    this.#budget = budget;
  }

  /** The file is read like this now. */
  follow(plan: ReadPlan): void {
    // A random read in between, or a late one of another stream, does not end the read-ahead that waits for room.
    if (plan.aheadEnd <= plan.aheadStart) return;
    this.#plan = plan;
    this.#pump();
  }

  stop(): void {
    this.#plan = undefined;
    this.#budget.forget(this.#pump);
  }

  readonly #pump = (): void => {
    if (this.#plan === undefined) return;
    const { aheadStart, aheadEnd, partBytes } = this.#plan;
    for (const [start, end] of this.#source.uncovered(aheadStart, aheadEnd)) {
      for (const part of splitIntoParts(start, end, partBytes)) {
        if (this.#source.fetchAhead(part.start, part.end)) continue;
        this.#budget.whenRoom(this.#pump);
        return;
      }
    }
  };
}
