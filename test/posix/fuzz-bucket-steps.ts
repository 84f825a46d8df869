/** What the fuzzer of fuzz-bucket.test.ts does at random: calls of two processes on a mount, and requests of another S3 client. */
import fc from "fast-check";
import type { Told } from "./obeying-process.ts";

/** "S3": the other client. */
export type Actor = 0 | 1 | "S3";

export interface BucketStep {
  readonly actor: Actor;
  /** Offsets and sizes are in units of the run. */
  readonly told: Told;
}

export interface BucketRun {
  /** Bytes. */
  readonly unit: number;
  readonly steps: readonly BucketStep[];
}

const path = fc.constantFrom("a", "b", "d/a");
const slot = fc.nat({ max: 2 });
const size = fc.integer({ min: 1, max: 40 });
const offset = fc.nat({ max: 60 });
const access = fc.constantFrom("O_RDONLY", "O_WRONLY", "O_RDWR", "O_RDWR");
const flags = fc
  .tuple(access, fc.subarray(["O_CREAT", "O_EXCL", "O_TRUNC"], { maxLength: 2 }))
  // What a reader creates is sent when the kernel lets go of it, and nobody knows when that is.
  .map(([first, others]) => [first, ...(first === "O_RDONLY" ? others.filter((each) => each !== "O_CREAT") : others)]);

function call(weight: number, what: string, words: Readonly<Record<string, fc.Arbitrary<unknown>>>) {
  return { weight, arbitrary: fc.record(words).map((chosen): Told => ({ do: what, ...chosen })) };
}

const here = fc.oneof(
  call(10, "open", { slot, path, flags }),
  call(4, "open", { slot, path, flags: fc.constant(["O_RDWR", "O_CREAT"]) }),
  call(9, "close", { slot }),
  call(5, "pread", { slot, size, offset }),
  call(8, "pwrite", { slot, size, offset }),
  call(3, "ftruncate", { slot, size: offset }),
  call(3, "fsync", { slot }),
  call(2, "flush", { slot }),
  call(2, "fstat", { slot }),
  call(2, "stat", { path }),
  call(5, "readFile", { path }),
  call(3, "writeFile", { path, size }),
  call(2, "unlink", { path }),
  call(3, "rename", { path, to: path, flags: fc.constant(0) }),
);
const elsewhere = fc.oneof(call(6, "put", { path, size }), call(3, "delete", { path }));

const step: fc.Arbitrary<BucketStep> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ actor: fc.constantFrom<Actor>(0, 1), told: here }) },
  { weight: 1, arbitrary: fc.record({ actor: fc.constant<Actor>("S3"), told: elsewhere }) },
);

export const bucketRun: fc.Arbitrary<BucketRun> = fc.record({
  unit: fc.oneof({ weight: 9, arbitrary: fc.constant(97) }, { weight: 1, arbitrary: fc.constant(130_000) }),
  // As many as there are letters: no two writers write the same.
  steps: fc.array(step, { minLength: 1, maxLength: 50, size: "max" }),
});
