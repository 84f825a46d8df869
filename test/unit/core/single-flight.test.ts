import { describe, expect, test } from "vitest";
import { SingleFlight, untilAborted } from "#core/single-flight.ts";

describe("SingleFlight", () => {
  test("`run` starts the work once when several ask while it is under way", async () => {
    const flights = new SingleFlight<string, number>();
    const gate = Promise.withResolvers<number>();
    let starts = 0;
    const work = () => {
      starts++;
      return gate.promise;
    };
    const all = [flights.run("a", work), flights.run("a", work), flights.run("a", work)];
    expect(flights.has("a")).toBe(true);
    gate.resolve(7);
    expect(await Promise.all(all)).toEqual([7, 7, 7]);
    expect(starts).toBe(1);
  });

  test("`run` starts anew when the last run has ended, also with an error", async () => {
    const flights = new SingleFlight<string, number>();
    await expect(flights.run("a", () => Promise.reject(new Error("first")))).rejects.toThrow("first");
    expect(flights.size).toBe(0);
    expect(await flights.run("a", () => Promise.resolve(2))).toBe(2);
  });

  test("`run` keeps keys apart", async () => {
    const flights = new SingleFlight<string, string>();
    const [a, b] = await Promise.all([flights.run("a", async () => "A"), flights.run("b", async () => "B")]);
    expect([a, b]).toEqual(["A", "B"]);
  });

  test("`run` lets the others have the result when one gives up", async () => {
    const flights = new SingleFlight<string, number>();
    const gate = Promise.withResolvers<number>();
    const controller = new AbortController();
    const first = flights.run("a", () => gate.promise, controller.signal);
    const second = flights.run("a", () => gate.promise);
    controller.abort();
    await expect(first).rejects.toMatchObject({ fault: "interrupted" });
    gate.resolve(1);
    expect(await second).toBe(1);
  });
});

describe("untilAborted", () => {
  test("`untilAborted` rejects at once when the signal was aborted before", async () => {
    const never = new Promise<never>(() => undefined);
    await expect(untilAborted(never, AbortSignal.abort())).rejects.toMatchObject({ fault: "interrupted" });
  });

  test("`untilAborted` passes the promise's own error on", async () => {
    await expect(untilAborted(Promise.reject(new Error("own")), new AbortController().signal)).rejects.toThrow("own");
  });
});
