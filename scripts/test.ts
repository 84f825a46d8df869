// Runs suites of scripts/suites.ts one after the other and closes with the counts: node -C source scripts/test.ts SUITE... [--full]
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { add, type Counts, countsOf, NONE, record, summary, type VitestReport } from "./counts.ts";
import { SUITES, type Suite, type SuiteName } from "./suites.ts";
import { withTools } from "./tools-path.ts";

/** The command that runs a suite and leaves a report in the file. */
function commandOf(suite: Suite, report: string): readonly string[] {
  if (suite.program !== undefined) return ["node", "-C", "source", suite.program, report];
  const command = ["vitest", "run", ...(suite.paths ?? []), `--reporter=${suite.reporter ?? "default"}`];
  command.push("--reporter=json", `--outputFile.json=${report}`);
  if (suite.serial) command.push("--no-file-parallelism");
  if (suite.config !== undefined) command.push(`--config=${suite.config}`);
  return command;
}

/** Runs one suite, its output shown. A run that ended without a report counts as one failure. */
function run(name: string, suite: Suite): Counts {
  const folder = mkdtempSync(join(tmpdir(), "report-"));
  const report = join(folder, "report.json");
  const [file = "", ...args] = commandOf(suite, report);
  const { status, signal } = spawnSync(file, args, { stdio: "inherit", env: withTools(process.env) });
  try {
    const written = JSON.parse(readFileSync(report, "utf8")) as unknown;
    const counts = suite.program === undefined ? countsOf(written as VitestReport) : (written as Counts);
    return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
  } catch {
    console.error(`${name}: ${file} ended with ${signal ?? `exit code ${status}`} and no report`);
    return { ...NONE, failed: 1 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function runOrSkip(name: SuiteName): Counts {
  const suite: Suite = SUITES[name];
  const reason = suite.unfit?.();
  console.log(reason === undefined ? `== ${name}` : `== ${name}: skipped, ${reason}`);
  const started = Date.now();
  const counts = reason === undefined ? run(name, suite) : { ...NONE, skipped: 1 };
  record(name, counts);
  console.log(`== ${name}: ${summary(counts)} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`);
  return counts;
}

function main(names: readonly string[]): number {
  const unknown = names.filter((name) => !Object.hasOwn(SUITES, name));
  if (unknown.length > 0 || names.length === 0) {
    console.error(
      `usage: test.ts SUITE... [--full]   suites: ${Object.keys(SUITES).join(" ")}${unknown.length > 0 ? `   not ${unknown.join(" ")}` : ""}`,
    );
    return 2;
  }
  const counts = names.map((name) => runOrSkip(name as SuiteName)).reduce(add, NONE);
  console.log(summary(counts));
  // A suite that this machine cannot run has said why, and counts as skipped; one without any test has failed.
  return counts.failed === 0 && counts.passed + counts.skipped > 0 ? 0 : 1;
}

const FULL = "--full";
const given = process.argv.slice(2);
// The suites of other people's programs take hours when they are not cut short.
if (given.includes(FULL)) process.env["POSIX_FULL"] = "1";
process.exitCode = main(given.filter((word) => word !== FULL));
