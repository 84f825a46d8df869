import { expect, it } from "vitest";
import { comparisonTable, median } from "../../bench/compare/results.ts";

it("`median` takes the middle, or the mean of the two middles", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

it("`comparisonTable` shows medians, ratios to the first column, failures and what was not measured", () => {
  const results = [
    { peer: "a", row: "read", seconds: 1 },
    { peer: "a", row: "read", seconds: 3 },
    { peer: "b", row: "read", seconds: 1 },
    { peer: "b", row: "read", seconds: 7 },
    { peer: "b", row: "write", error: "EPERM" },
  ];
  expect(comparisonTable(results, ["a", "b"]).split("\n")).toEqual([
    "| seconds | a | b |",
    "| --- | --- | --- |",
    "| read | 2.000 | 4.000 (2.00x) |",
    "| write | - | failed |",
  ]);
});
