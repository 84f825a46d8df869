/** `inFolder`: makes a file in one of many folders, which are made when they are first needed. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DriverError } from "#core/errors.ts";
import { isMissing } from "./descriptor-io.ts";

/** Does what makes a file at `path`, again when its folder was missing. Throws a DriverError. */
export function inFolder<T>(path: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!isMissing(error)) throw DriverError.from(error);
  }
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return make();
  } catch (error) {
    throw DriverError.from(error);
  }
}
