import { describe, expect, it } from "vitest";
import { KeptLookups } from "#fuse/channel/kept-lookups.ts";

describe("KeptLookups", () => {
  it("gives lookups back when there are too many nodes, all of one node at once, the longest unused first", () => {
    const forgotten: [number, number][] = [];
    const kept = new KeptLookups(2, (node, count) => void forgotten.push([node, count]));
    for (const node of [5, 6, 5, 5]) kept.giveBack(node);
    expect(forgotten).toEqual([]);
    kept.giveBack(7);
    expect(forgotten).toEqual([[6, 1]]);
    kept.giveBack(8);
    expect(forgotten).toEqual([
      [6, 1],
      [5, 3],
    ]);
  });
});
