/** Test counts: read from vitest's JSON report, added up, appended to a file that .ci/run closes with. */
import { appendFileSync, readFileSync } from "node:fs";

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const NONE: Counts = { passed: 0, failed: 0, skipped: 0 };

export function add(a: Counts, b: Counts): Counts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

/** The line that ends every run. */
export function summary({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** The part of vitest's `--reporter=json` output that is read here. */
export interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

/** A file that failed before it named a test (a bad import, a failed hook) counts as one failure. */
export function countsOf(report: VitestReport): Counts {
  const broken = report.testResults.filter(({ status, assertionResults }) => status === "failed" && assertionResults.length === 0).length;
  return { passed: report.numPassedTests, failed: report.numFailedTests + broken, skipped: report.numPendingTests + report.numTodoTests };
}

/** Appends one suite's counts to the file named by BUCKETMOUNT_COUNTS, where a wider run collects them. */
export function record(suite: string, counts: Counts, file = process.env["BUCKETMOUNT_COUNTS"]): void {
  if (file !== undefined && file !== "") appendFileSync(file, `${JSON.stringify({ suite, ...counts })}\n`);
}

/** Adds up a file that `record` wrote. */
export function total(file: string): Counts {
  const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Counts).reduce(add, NONE);
}

// node scripts/counts.ts FILE: prints the closing line.  node scripts/counts.ts FILE SUITE P F S: records one suite first.
if (import.meta.main) {
  const [file, suite, ...numbers] = process.argv.slice(2);
  if (file === undefined) throw new Error("usage: counts.ts FILE [SUITE PASSED FAILED SKIPPED]");
  const [passed = 0, failed = 0, skipped = 0] = numbers.map(Number);
  if (suite !== undefined) record(suite, { passed, failed, skipped }, file);
  else console.log(summary(total(file)));
}
