/**
 * Runs `@20minutes/s3rver` (whose own command line is missing from what npm delivers) as a child process, with its LIST mended:
 * as it comes, it walks folders in the order of file names, cuts pages there and begins the next after a key, so that pages of a
 * tree with names such as `foo/` and `foo-bar/` miss keys. Here keys are in UTF-8 order, and no page misses any.
 * Prefixes still do not count as entries of a page.
 *
 *     node --openssl-legacy-provider s3rver-child.mjs PORT DIRECTORY
 */
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(import.meta.url);
const S3rver = require("@20minutes/s3rver");
const library = require.resolve("@20minutes/s3rver");
const S3Object = createRequire(library)("./models/object");

/** An object `a/b` is the file `a/b._S3rver_object`. */
const SUFFIX = "._S3rver_object";
const UPLOADS = "._S3rver_uploads";

const [, , port, directory] = process.argv;
const server = new S3rver({ address: "127.0.0.1", port: Number(port), directory, silent: true, vhostBuckets: false });

server.store.listObjects = async (bucket, { delimiter, startAfter = "", prefix = "", maxKeys = 1000 }) => {
  const entries = listFolder(join(directory, bucket), prefix.slice(0, prefix.lastIndexOf("/") + 1), delimiter === "/")
    .filter((entry) => entry.startsWith(prefix) && (startAfter === "" || compare(entry, startAfter) > 0))
    .sort(compare);
  const isPrefix = (entry) => delimiter === "/" && entry.indexOf("/", prefix.length) >= 0;
  const keys = entries.filter((entry) => !isPrefix(entry));
  const page = keys.slice(0, maxKeys);
  const isTruncated = keys.length > maxKeys;
  const last = isTruncated ? page.at(-1) : undefined;
  const prefixes = entries.filter((entry) => isPrefix(entry) && (last === undefined || compare(entry, last) < 0));
  const objects = await Promise.all(page.map((key) => server.store.getMetadata(bucket, key).catch(() => undefined)));
  return {
    objects: page.flatMap((key, i) => (objects[i] ? [new S3Object(bucket, key, null, objects[i])] : [])),
    commonPrefixes: [...new Set(prefixes)],
    isTruncated,
  };
};

/** Keys below a folder of a bucket; one level only, with the folders in it as `name/`, or all levels. */
function listFolder(root, folder, oneLevel) {
  const found = [];
  for (const entry of readFolder(join(root, folder))) {
    if (entry.name === UPLOADS) continue;
    if (entry.isDirectory()) found.push(...(oneLevel ? [`${folder}${entry.name}/`] : listFolder(root, `${folder}${entry.name}/`, false)));
    else if (entry.name.endsWith(SUFFIX)) found.push(folder + entry.name.slice(0, -SUFFIX.length));
  }
  return found;
}

function readFolder(path) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  }
}

function compare(a, b) {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

server.run();
