/** stress-ng: how it is run, and what it says. */
import { spawn } from "node:child_process";
import { type ChildOutput, outputOf } from "../support/child-output.ts";

export interface StressorRun {
  readonly name: string;
  /** stress-ng's "bogo ops": comparable to earlier runs of the same stressor, at most. */
  readonly operations: number;
  /** Why it did nothing, in its own words. */
  readonly skipped?: string;
}

export interface StressOutcome {
  readonly runs: readonly StressorRun[];
  /** What was run and what it said, when not all was well. */
  readonly failure?: string;
}

/** Exit codes that are no failure: all well, no resources for a stressor, a stressor that this machine does not have. */
const FINE: readonly (number | null)[] = [0, 3, 4];

/** Runs it on `folder`, with its own checks of what comes back. */
export async function runStressors(args: readonly string[], folder: string): Promise<StressOutcome> {
  const all = ["--temp-path", folder, "--verify", "--metrics", ...args];
  const { code, said } = await run(all);
  const complaints = said.split("\n").filter((line) => /: (fail|error): /.test(line));
  if (FINE.includes(code) && complaints.length === 0) return { runs: runsIn(said) };
  const what = complaints.length > 0 ? complaints.slice(0, 40).join("\n") : said.slice(-4000);
  return { runs: runsIn(said), failure: `stress-ng ${all.join(" ")} ended with ${code}:\n${what}` };
}

/** Lines as `stress-ng: metrc: [1] rename  2491  2.01 ...` and `stress-ng: info:  [1] verity: ..., skipping stress test`. */
export function runsIn(said: string): StressorRun[] {
  const ran = [...said.matchAll(/metrc: \[\d+\] ([a-z][\w-]*) +(\d+) +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+/g)].map(
    ([, name = "", operations]) => ({ name, operations: Number(operations) }),
  );
  const skipped = new Map([...said.matchAll(/\[\d+\] ([a-z][\w-]*): (.*), skipping/g)].map(([, name = "", why = ""]) => [name, why]));
  return [...ran.filter(({ name }) => !skipped.has(name)), ...[...skipped].map(([name, why]) => ({ name, operations: 0, skipped: why }))];
}

/** Behind everybody else: dozens of busy processes would keep the server from answering, which is no error of a file system. */
function run(args: readonly string[]): Promise<ChildOutput> {
  return outputOf(spawn("nice", ["-n", "19", "stress-ng", ...args], { stdio: ["ignore", "pipe", "pipe"] }));
}
