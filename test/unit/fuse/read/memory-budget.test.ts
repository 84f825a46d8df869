import { describe, expect, test } from "vitest";
import { MemoryBudget } from "#fuse/read/memory-budget.ts";

describe("MemoryBudget", () => {
  test("`tryTake` refuses what goes over the limit; `take` does not", () => {
    const budget = new MemoryBudget(100, () => undefined);
    expect([budget.tryTake(60), budget.tryTake(50), budget.tryTake(40)]).toEqual([true, false, true]);
    budget.take(30);
    expect(budget.usedBytes).toBe(130);
  });

  test("`tryTake` reclaims what is missing", () => {
    const asked: number[] = [];
    const budget: MemoryBudget = new MemoryBudget(100, (bytes) => {
      asked.push(bytes);
      budget.give(50);
    });
    budget.take(90);
    expect(budget.tryTake(30)).toBe(true);
    expect(asked).toEqual([20]);
    expect(budget.usedBytes).toBe(70);
  });

  test("`takeWhenFree` serves those who wait in their order, and nobody overtakes them", async () => {
    const budget = new MemoryBudget(100, () => undefined);
    budget.take(100);
    const served: string[] = [];
    const large = budget.takeWhenFree(80).then(() => served.push("large"));
    const small = budget.takeWhenFree(10).then(() => served.push("small"));
    budget.give(50);
    expect(budget.tryTake(5)).toBe(false);
    budget.give(50);
    await Promise.all([large, small]);
    expect(served).toEqual(["large", "small"]);
    expect(budget.usedBytes).toBe(90);
  });

  test("`takeWhenFree` gives more than the limit when nothing else is held", async () => {
    const budget = new MemoryBudget(100, () => undefined);
    await budget.takeWhenFree(500);
    expect(budget.usedBytes).toBe(500);
  });

  test("`whenRoom` calls once, and not whom `forget` took off", async () => {
    const budget = new MemoryBudget(100, () => undefined);
    const calls: string[] = [];
    const forgotten = () => calls.push("forgotten");
    budget.take(100);
    budget.whenRoom(() => calls.push("called"));
    budget.whenRoom(forgotten);
    budget.forget(forgotten);
    budget.give(10);
    budget.give(10);
    await Promise.resolve();
    expect(calls).toEqual(["called"]);
  });
});
