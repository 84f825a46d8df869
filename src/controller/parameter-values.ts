/** From a parameter's text to its value. Each throws a ParameterRefusal; parameters.ts adds the name and the form. */
import type { StringMap } from "#csi/messages.ts";
import { isBucketPrefix, isExistingBucketName } from "./bucket-name.ts";
import { ParameterRefusal } from "./parameter-refusal.ts";

/** S3 allows 50 tags on a bucket; two are ours, and one is the archive's. */
const MAX_TAGS = 47;

export function parseBoolean(value: string): boolean {
  if (value === "true") return true;
  if (value === "false") return false;
  throw new ParameterRefusal();
}

/** One of these words, exactly. */
export function oneOf<const Word extends string>(...words: readonly Word[]): (value: string) => Word {
  return (value) => {
    const found = words.find((word) => word === value);
    if (found === undefined) throw new ParameterRefusal();
    return found;
  };
}

export function parseRegion(value: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9-]{0,31}$/.test(value)) throw new ParameterRefusal();
  return value;
}

export function parsePrefix(value: string): string {
  if (!isBucketPrefix(value)) throw new ParameterRefusal();
  return value;
}

export function parseBucket(value: string): string {
  if (!isExistingBucketName(value)) throw new ParameterRefusal();
  return value;
}

/** Without credentials, path or query: it is written into ids and logs. */
export function parseEndpoint(value: string): string {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new ParameterRefusal();
  if (url.username !== "" || url.password !== "") throw new ParameterRefusal("credentials belong into the secret");
  if (url.search !== "" || url.hash !== "") throw new ParameterRefusal("no query or fragment");
  return url.href.replace(/\/$/, "");
}

/** An ARN, an id or an alias: all that S3 takes. */
export function parseKmsKey(value: string): string {
  if (!/^[\w:/.-]{1,512}$/.test(value)) throw new ParameterRefusal();
  return value;
}

/** Stores have their own names beside AWS's, but none lets a program read what is in an archive. */
export function parseStorageClass(value: string): string {
  if (!/^[A-Z][A-Z0-9_-]{0,63}$/.test(value)) throw new ParameterRefusal();
  if (value === "GLACIER" || value === "DEEP_ARCHIVE") throw new ParameterRefusal("files in it could not be read without a restore first");
  return value;
}

/** An ARN, an account's number, or what a store other than AWS's calls a user. Not everybody: "*" would make the bucket public. */
export function parsePrincipal(value: string): string {
  if (!/^[\w+=,.@:/-]{1,512}$/.test(value)) throw new ParameterRefusal();
  return value;
}

/** What S3 takes as a bucket's tags, without `aws:` names and without our own. */
export function parseTags(value: string): StringMap {
  const tags = new Map<string, string>();
  for (const part of value.split(",").filter((item) => item.trim() !== "")) {
    const equals = part.indexOf("=");
    const [key, text] = [part.slice(0, Math.max(0, equals)).trim(), part.slice(equals + 1).trim()];
    if (equals < 1 || !/^[\p{L}\p{N} _.:/=+@-]{1,128}$/u.test(key) || !/^[\p{L}\p{N} _.:/=+@-]{0,256}$/u.test(text))
      throw new ParameterRefusal(part);
    if (/^(aws:|bucketmount-)/i.test(key)) throw new ParameterRefusal(`the name ${key} is reserved`);
    if (tags.has(key)) throw new ParameterRefusal(`${key} twice`);
    tags.set(key, text);
  }
  if (tags.size > MAX_TAGS) throw new ParameterRefusal(`at most ${MAX_TAGS}`);
  return Object.fromEntries([...tags].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
