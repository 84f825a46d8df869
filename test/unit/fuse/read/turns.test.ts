import { describe, expect, test } from "vitest";
import { Turns } from "#fuse/read/turns.ts";

describe("Turns", () => {
  test("`take` runs so many at once and the others in order, failures included", async () => {
    const turns = new Turns(2);
    const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
    const begun: number[] = [];
    const all = gates.map((gate, i) =>
      turns.take(() => {
        begun.push(i);
        return gate.promise;
      }),
    );
    const outcomes = Promise.allSettled(all);
    expect(begun).toEqual([0, 1]);
    gates[1]?.reject(new Error("failed"));
    await all[1]?.catch(() => undefined);
    await Promise.resolve();
    expect(begun).toEqual([0, 1, 2]);
    for (const gate of gates) gate.resolve();
    expect((await outcomes).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled", "fulfilled"]);
    expect(begun).toEqual([0, 1, 2, 3, 4]);
  });
});
