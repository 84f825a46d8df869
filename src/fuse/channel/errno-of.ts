/** From what a handler threw to the errno that the kernel gets. */
import { ERRNO } from "#core/errno.ts";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";

/** The errno of anything a handler threw, and the log line that it deserves. */
export function errnoOf(thrown: unknown, about: Readonly<Record<string, unknown>>, log: Logger): number {
  const error = DriverError.from(thrown);
  const { errno, log: level } = error.row;
  const fields = { ...about, fault: error.fault, ...error.context };
  const detail = error.fault === "internal" ? { ...fields, stack: ((error.cause ?? error) as Error).stack } : fields;
  log[level](detail, error.message);
  return ERRNO[errno];
}
