import { describe, expect, test } from "vitest";
import { isFault } from "#core/errors.ts";
import { pollUntil, within } from "#node/deadline.ts";

const never = new Promise<never>(() => undefined);

describe("within", () => {
  test("`within` gives the outcome of work that ends in time, good or bad", async () => {
    expect(await within(60_000, "it", Promise.resolve(1))).toBe(1);
    await expect(within(60_000, "it", Promise.reject(new Error("no")))).rejects.toThrow("no");
  });

  test("`within` names what did not answer when the time is over", async () => {
    const error = await within(1, "the engine", never).catch((thrown: unknown) => thrown);
    expect(isFault(error, "timed_out")).toBe(true);
    expect((error as Error).message).toContain("the engine");
  });
});

describe("pollUntil", () => {
  test("`pollUntil` asks until it is so", async () => {
    let asked = 0;
    expect(await pollUntil(60_000, 1, () => ++asked === 3)).toBe(true);
    expect(asked).toBe(3);
  });

  test("`pollUntil` asks at least once and gives up when the time is over", async () => {
    let asked = 0;
    expect(await pollUntil(0, 1, async () => ++asked < 0)).toBe(false);
    expect(asked).toBe(1);
  });
});
