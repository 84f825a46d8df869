/**
 * Credentials in a file, in the form of s3fs(1): a line `KEY:SECRET` for every bucket and lines `BUCKET:KEY:SECRET` for one;
 * `#` begins a comment line. Nobody but the owner may read it.
 */
import { open } from "node:fs/promises";
import { DriverError } from "#core/errors.ts";
import type { CredentialSource } from "./store-config.ts";

/** Group and others. */
const FOREIGN_BITS = 0o077;
/** No password file is larger; /dev/zero is. */
const MAX_BYTES = 1 << 20;

/**
 * Reads the credentials for a bucket. Throws `bad_argument` that names the file and the fix: missing, readable by others, a line
 * of another form, no line for the bucket. No message shows a line's content.
 */
export async function readPasswdFile(path: string, bucket: string): Promise<CredentialSource> {
  return parsePasswd(await readPrivateFile(path), bucket, path);
}

/** The line for the bucket, else the line for every bucket. `path` is for messages. */
export function parsePasswd(text: string, bucket: string, path: string): CredentialSource {
  let forAll: CredentialSource | undefined;
  let forBucket: CredentialSource | undefined;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const fields = line.split(":");
    const [secretAccessKey = "", accessKeyId = "", name] = fields.toReversed();
    if (fields.length < 2 || fields.length > 3 || fields.includes("") || /\s/.test(line)) {
      throw bad(`${path}: line ${index + 1} is neither KEY:SECRET nor BUCKET:KEY:SECRET`);
    }
    const source: CredentialSource = { kind: "static", accessKeyId, secretAccessKey };
    if (name === undefined) {
      if (forAll) throw bad(`${path}: line ${index + 1} is a second KEY:SECRET line; give it a bucket: BUCKET:KEY:SECRET`);
      forAll = source;
    } else if (name === bucket) {
      if (forBucket) throw bad(`${path}: line ${index + 1} is a second line for the bucket "${bucket}"`);
      forBucket = source;
    }
  }
  const found = forBucket ?? forAll;
  if (!found) throw bad(`${path}: no line for the bucket "${bucket}" and no KEY:SECRET line for all`);
  return found;
}

async function readPrivateFile(path: string): Promise<string> {
  // Opened first and then asked, so that what was checked is what is read.
  const file = await open(path, "r").catch((cause: NodeJS.ErrnoException) => {
    const reason = cause.code === "ENOENT" ? "does not exist" : `cannot be read (${cause.code})`;
    throw bad(`the passwd file ${path} ${reason}`, cause);
  });
  try {
    const { mode, size } = await file.stat().then((stat) => {
      if (!stat.isFile()) throw bad(`the passwd file ${path} is not a regular file`);
      return stat;
    });
    if ((mode & FOREIGN_BITS) !== 0) {
      throw bad(
        `the passwd file ${path} has mode ${(mode & 0o7777).toString(8).padStart(4, "0")} and must be its owner's alone: chmod 600 ${path}`,
      );
    }
    if (size > MAX_BYTES) throw bad(`the passwd file ${path} is too large`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

function bad(message: string, cause?: unknown): DriverError {
  return new DriverError("bad_argument", message, { cause });
}
