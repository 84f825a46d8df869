/**
 * How a fuzzer of this folder runs: FUZZ_RUNS runs from FUZZ_SEED on; what fails is shrunk, shown in words, and told with the line that
 * repeats it (FUZZ_SEED and FUZZ_PATH).
 */
import fc from "fast-check";

export const FULL = process.env["POSIX_FULL"] === "1";
const PATH = process.env["FUZZ_PATH"];
/** A short run is always the same one: who changes something else shall not meet what nobody found before. A full one looks for that. */
export const SEED = Number(process.env["FUZZ_SEED"] ?? (FULL ? Date.now() % 2 ** 31 : 1));

/** How often, by default in a short run and in a full one. */
export function runsOf(short: number, full: number): number {
  return Number(process.env["FUZZ_RUNS"] ?? (FULL ? full : short));
}

/** A run takes a second; shrinking a long one takes some hundred runs. */
export const FUZZ_MS = FULL ? 6 * 3_600_000 : 1_800_000;

export interface Fuzzing<T> {
  readonly test: { readonly file: string; readonly name: string };
  readonly arbitrary: fc.Arbitrary<T>;
  readonly runs: number;
  readonly check: (value: T) => Promise<void>;
  readonly shown: (value: T) => string;
}

/** Rejects with the shortest failing value that was found. */
export async function fuzz<T>({ test, arbitrary, runs, check, shown }: Fuzzing<T>): Promise<void> {
  const result = await fc.check(fc.asyncProperty(arbitrary, check), {
    ...{ numRuns: runs, seed: SEED, endOnFailure: process.env["FUZZ_SHRINK"] === "no" },
    ...(PATH === undefined ? {} : { path: PATH }),
  });
  if (!result.failed) return;
  const [value] = result.counterexample ?? [];
  const variables = `FUZZ_SEED=${result.seed} FUZZ_PATH=${result.counterexamplePath}`;
  throw new Error(
    [
      `failed in run ${result.numRuns} of ${runs}, shrunk ${result.numShrinks} times. Again: ${variables} npx vitest run ${test.file} -t '${test.name}'`,
      value === undefined ? "" : shown(value),
      String(result.errorInstance instanceof Error ? result.errorInstance.message : result.errorInstance),
    ].join("\n"),
    { cause: result.errorInstance },
  );
}
