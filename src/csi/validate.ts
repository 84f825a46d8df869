/** Checks of single request fields. Each failure is `bad_argument` (INVALID_ARGUMENT) and names the field as the spec does. */
import { DriverError } from "#core/errors.ts";

/** The specification's general limit for strings, in bytes. */
const MAX_STRING_BYTES = 128;
/** Its limit for a map: the sum of all keys and values, in bytes. */
const MAX_MAP_BYTES = 4096;

/**
 * `value` if it is there. `field` is the proto's name, such as "volume_id". At most `maxBytes` of UTF-8: 128 for names and ids; give
 * a larger bound for paths.
 */
export function requireString(value: string | undefined, field: string, maxBytes: number = MAX_STRING_BYTES): string {
  if (value === undefined || value === "") throw new DriverError("bad_argument", `${field} is missing`);
  const bytes = Buffer.byteLength(value);
  if (bytes > maxBytes) throw new DriverError("bad_argument", `${field} is ${bytes} bytes long; at most ${maxBytes} are allowed`);
  return value;
}

/** `value` if it is an absolute path without `.` and `..` parts and NUL. */
export function requirePath(value: string | undefined, field: string): string {
  const path = requireString(value, field, 4095);
  if (!path.startsWith("/")) throw new DriverError("bad_argument", `${field} must be an absolute path, not ${JSON.stringify(path)}`);
  if (path.includes("\0") || path.split("/").some((part) => part === "." || part === "..")) {
    throw new DriverError("bad_argument", `${field} must not have ".", ".." or NUL in it: ${JSON.stringify(path)}`);
  }
  return path;
}

/** `value` if it is a message. */
export function requireMessage<T extends object>(value: T | null | undefined, field: string): T {
  if (value === undefined || value === null) throw new DriverError("bad_argument", `${field} is missing`);
  return value;
}

/** `value` if it has an item. */
export function requireList<T>(value: readonly T[] | undefined, field: string): readonly T[] {
  if (value === undefined || value.length === 0) throw new DriverError("bad_argument", `${field} is missing`);
  return value;
}

/** `value` (or an empty map) if its keys and values together are within the specification's limit of 4 KiB. */
export function checkMap(value: Readonly<Record<string, string>> | undefined, field: string): Readonly<Record<string, string>> {
  const map = value ?? {};
  const bytes = Object.entries(map).reduce((sum, [key, item]) => sum + Buffer.byteLength(key) + Buffer.byteLength(item), 0);
  if (bytes > MAX_MAP_BYTES)
    throw new DriverError("bad_argument", `${field} has ${bytes} bytes of keys and values; at most ${MAX_MAP_BYTES} are allowed`);
  return map;
}

/** `value` if it is a whole number of bytes, 0 included, that a JavaScript number holds exactly. */
export function checkBytes(value: number | undefined, field: string): number {
  const bytes = value ?? 0;
  if (bytes < 0) throw new DriverError("bad_argument", `${field} must not be negative, got ${bytes}`);
  if (!Number.isSafeInteger(bytes)) throw new DriverError("range", `${field} is over ${Number.MAX_SAFE_INTEGER} bytes (8 PiB)`);
  return bytes;
}
