import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseVictims } from "#fuse/cache/eviction.ts";

const file = fc.record({ bytes: fc.integer({ min: 1, max: 100 }), pinned: fc.boolean() });
const files = fc.array(file, { maxLength: 50 });
const sum = (all: readonly { bytes: number }[]) => all.reduce((total, { bytes }) => total + bytes, 0);

describe("chooseVictims", () => {
  test("`chooseVictims` never takes a pinned file, and frees enough when the unpinned ones suffice", () => {
    fc.assert(
      fc.property(files, fc.integer({ min: 1, max: 3000 }), fc.nat(100), (all, limitBytes, extraBytes) => {
        const victims = chooseVictims(all, { totalBytes: sum(all), limitBytes, extraBytes });
        expect(victims.some(({ pinned }) => pinned)).toBe(false);
        expect(new Set(victims).size).toBe(victims.length);
        const pinnedBytes = sum(all.filter(({ pinned }) => pinned));
        if (pinnedBytes + extraBytes <= limitBytes) expect(sum(all) - sum(victims) + extraBytes).toBeLessThanOrEqual(limitBytes);
        else expect(victims).toHaveLength(all.filter(({ pinned }) => !pinned).length);
      }),
    );
  });

  test("`chooseVictims` keeps the youngest: whatever of normal size stays is younger than what goes", () => {
    fc.assert(
      fc.property(files, fc.integer({ min: 100, max: 3000 }), (all, limitBytes) => {
        const victims = new Set(chooseVictims(all, { totalBytes: sum(all), limitBytes }));
        const unpinned = all.filter(({ pinned }) => !pinned);
        const firstKept = unpinned.findIndex((one) => !victims.has(one));
        if (firstKept >= 0) expect(unpinned.slice(firstKept).some((one) => victims.has(one))).toBe(false);
      }),
    );
  });

  test("`chooseVictims` takes none when all fits", () => {
    expect(chooseVictims([{ bytes: 10, pinned: false }], { totalBytes: 10, limitBytes: 10 })).toEqual([]);
  });

  test("`chooseVictims` takes a file larger than the limit before older ones that fit", () => {
    const old = { bytes: 10, pinned: false };
    const huge = { bytes: 500, pinned: false };
    expect(chooseVictims([old, huge], { totalBytes: 510, limitBytes: 100 })).toEqual([huge]);
  });
});
