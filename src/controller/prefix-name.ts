/** From a volume's name to its prefix in a shared bucket: a pure function, as in bucket-name.ts. A prefix always ends in "/". */
import { DriverError } from "#core/errors.ts";
import { HASH_CHARS, hashOf, slugOf } from "./bucket-name.ts";

/** Where archives go: a lifecycle rule on it can expire them. */
export const ARCHIVE_FOLDER = "archived/";

/** Hidden at the root of every mount, and so in a volume's prefix, and in the bucket. */
const OWN_NAME = ".bucketmount";

/** Shorter ones say nothing: then the endpoint belongs into the secret, where it takes no room in the id. */
const LEAST_CHARS = 24;

/**
 * True for a prefix that a volume may have: parts of letters, digits and `._=-`, none of them empty, "." or "..". So it means the
 * same in a key, in a path and in an id; and it ends in "/", so that `pvc-1/` is no part of `pvc-10/`.
 */
export function isVolumePrefix(prefix: string): boolean {
  if (!prefix.endsWith("/") || prefix.startsWith(ARCHIVE_FOLDER)) return false;
  return prefix.slice(0, -1).split("/").every(isPart);
}

function isPart(part: string): boolean {
  return /^[A-Za-z0-9._=-]+$/.test(part) && part !== "." && part !== ".." && part !== OWN_NAME;
}

/** The prefix for the volume `name`, of at most `room` bytes: the name as it is, or the readable part of it and a hash. */
export function prefixFor(name: string, room: number): string {
  const plain = `${name}/`;
  if (plain.length <= room && !name.includes("/") && isVolumePrefix(plain)) return plain;
  return withHash(slugOf(name), name, room);
}

/**
 * The prefix for a name that a template gave; cut, with a hash of the whole, where the volume's id would get too long. Fault
 * `bad_argument` for what cannot be one.
 */
export function prefixOfTemplate(rendered: string, room: number): string {
  const plain = rendered.endsWith("/") ? rendered : `${rendered}/`;
  if (!isVolumePrefix(plain)) {
    throw new DriverError("bad_argument", `parameter nameTemplate makes the prefix ${JSON.stringify(plain)}, which no volume may have`);
  }
  return plain.length <= room ? plain : withHash(rendered, rendered, room);
}

function withHash(readable: string, whole: string, room: number): string {
  if (room < LEAST_CHARS) {
    throw new DriverError("bad_argument", "no room for a prefix in the volume's id; give the endpoint in the secret, not as a parameter");
  }
  const cut = readable.slice(0, room - HASH_CHARS - 2).replace(/[^A-Za-z0-9]+$/, "");
  const hash = hashOf(whole, HASH_CHARS);
  return cut === "" ? `${hash}/` : `${cut}-${hash}/`;
}
