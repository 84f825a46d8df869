import { expect, it } from "vitest";
import { bar, formatBytes } from "../../../../scripts/demo/report.ts";

it("`formatBytes` uses powers of 1024", () => {
  expect([0, 1023, 1024, 1536, 5 * 1024 ** 3].map(formatBytes)).toEqual(["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 GiB"]);
});

it("`bar` fills with bytes and entries alike, and never past its end", () => {
  const of = { entries: 10, bytes: 1000 };
  expect(bar({ entries: 0, bytes: 0 }, of)).toContain(`[${" ".repeat(30)}]   0 %`);
  expect(bar({ entries: 5, bytes: 500 }, of)).toContain(`[${"=".repeat(15)}${" ".repeat(15)}]  50 %  5 of 10`);
  expect(bar({ entries: 11, bytes: 2000 }, of)).toContain(`[${"=".repeat(30)}] 100 %`);
});
