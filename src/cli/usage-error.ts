/** A command line that is wrong as such, whatever the machine and the bucket look like: exit code 2, as getopt programs have it. */
import { DriverError } from "#core/errors.ts";

export class UsageError extends DriverError {
  constructor(message: string, cause?: unknown) {
    super("bad_argument", message, { cause });
    this.name = "UsageError";
  }
}

/** Runs a pure parser; what it refuses becomes a usage error. */
export function parsing<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new UsageError(DriverError.from(error).message, error);
  }
}

/** 2 for a wrong command line, 1 for everything else. */
export function exitCodeOf(error: unknown): 1 | 2 {
  return error instanceof UsageError ? 2 : 1;
}
