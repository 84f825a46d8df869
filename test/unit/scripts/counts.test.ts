import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { countsOf, record, summary, total } from "../../../scripts/counts.ts";

it("`countsOf` counts a file that failed to load as a failure", () => {
  const report = { numPassedTests: 2, numFailedTests: 1, numPendingTests: 3, numTodoTests: 1, testResults: [] };
  expect(countsOf(report)).toEqual({ passed: 2, failed: 1, skipped: 4 });
  expect(countsOf({ ...report, testResults: [{ status: "failed", assertionResults: [] }] }).failed).toBe(2);
  expect(countsOf({ ...report, testResults: [{ status: "failed", assertionResults: [{}] }] }).failed).toBe(1);
});

it("`total` adds up what `record` wrote, and `summary` is the closing line", () => {
  const folder = mkdtempSync(join(tmpdir(), "counts-"));
  try {
    const file = join(folder, "counts");
    record("unit", { passed: 10, failed: 0, skipped: 1 }, file);
    record("kernel", { passed: 5, failed: 2, skipped: 0 }, file);
    expect(summary(total(file))).toBe("15 passed, 2 failed, 1 skipped");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
