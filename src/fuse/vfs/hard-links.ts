/**
 * Hard links. S3 knows one name for an object, so each further name of a file is an object of its own, a copy with the same metadata:
 * any other client sees whole files, and no name ever depends on another one.
 *
 * That they are one file is known to the mount: the inode has one *place* that counts (`parent` and `name`: where it is read from and
 * sent to) and `others`. After each change the object is copied over the other names', inside the store. When the mount ends, they
 * are separate files of equal content.
 */
import { isFault } from "#core/errors.ts";
import { followVersion, recordDirty } from "./content-opening.ts";
import type { VfsContext } from "./context.ts";
import type { Inode, Place, Version } from "./inode.ts";
import { childKey, pathKey } from "./key-names.ts";

/** True for the place that counts. */
export function isMainPlace(inode: Inode, { parent, name }: Place): boolean {
  return inode.parent === parent && inode.name === name;
}

/**
 * True when this version, found under another name of the file, is a copy of what the file has: by size and metadata, the mtime in it
 * above all, since the copy of what was sent in parts has an ETag of its own. The ctime moves with each name that comes or goes.
 */
export function isCopy({ version }: Inode, found: Version): boolean {
  return Boolean(version) && found.size === version?.size && withoutCtime(found) === withoutCtime(version);
}

function withoutCtime({ metadata }: Version): string {
  const { ctime: _moves, ...rest } = metadata;
  return JSON.stringify(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Copies the file's object to the place, and tells the place's directory. Under the inode's lock; there is an object. */
export async function copyTo(context: VfsContext, inode: Inode, place: Place): Promise<void> {
  const { store, options, conditions, attrs, clock } = context;
  const { version } = inode;
  if (!version) return;
  const source = pathKey(options.prefix, inode);
  const target = childKey(options.prefix, place.parent, place.name);
  const done = place.parent.directory?.beginChange(place.name);
  try {
    const replace = { headers: version.headers, metadata: version.metadata };
    const condition = conditions.copySourceIfMatch ? { sourceIfMatch: version.etag } : {};
    const { etag, dateMs } = await store.copy(source, target, { sourceSize: version.size, replace, ...condition });
    attrs.put(target, { ...version, etag, lastModified: dateMs }, { fromPut: true });
    const child = place.parent.directory?.obtain(place.name);
    if (child === undefined) return;
    child.object = { key: target, size: version.size, etag, lastModified: dateMs };
    child.inode = inode;
    // A successor must know this version for our own.
    if (inode.others?.some((other) => other.parent === place.parent && other.name === place.name)) context.inodes.record(inode);
    inode.validatedAt = Math.max(inode.validatedAt, clock.now());
  } finally {
    done?.();
  }
}

/**
 * Brings what the bucket has of the file to its other names. A name that was removed or replaced elsewhere meanwhile is not the
 * file's any more, and is left as it is. Under the inode's lock.
 */
export async function propagate(context: VfsContext, inode: Inode): Promise<void> {
  for (const place of [...(inode.others ?? [])]) {
    if (await isStillOurs(context, inode, place)) await copyTo(context, inode, place);
    else loseName(context, inode, place, "superseded");
  }
}

async function isStillOurs({ store, options }: VfsContext, inode: Inode, { parent, name }: Place): Promise<boolean> {
  const child = parent.directory?.get(name);
  if (child?.inode !== inode || parent.detached) return false;
  try {
    const { etag } = await store.head(childKey(options.prefix, parent, name));
    return etag === child.object?.etag;
  } catch (error) {
    if (isFault(error, "not_found")) return false;
    throw error;
  }
}

/** The name leads to the file no more. With its last name it is detached. */
export function loseName(context: VfsContext, inode: Inode, place: Place, why: "removed" | "superseded"): void {
  if (isMainPlace(inode, place)) {
    const [next] = inode.others ?? [];
    if (next === undefined) {
      context.inodes.detach(inode, why);
      return;
    }
    makeMain(context, inode, next);
  }
  context.inodes.removePlace(inode, place);
}

/** Another of the file's names becomes the one that it is read from and sent to. Nothing of it may be on its way. */
export function makeMain(context: VfsContext, inode: Inode, place: Place): void {
  const { options, inodes, clock } = context;
  const { version, parent } = inode;
  if (parent === null || isMainPlace(inode, place)) return;
  const from = { key: pathKey(options.prefix, inode), etag: version?.etag, size: version?.size ?? 0 };
  inodes.swapPlaces(inode, place);
  recordDirty(context, inode);
  const object = place.parent.directory?.get(place.name)?.object;
  if (!version || from.etag === undefined) return;
  const etag = object?.etag ?? version.etag;
  inode.version = { ...version, etag, lastModified: object?.lastModified ?? version.lastModified };
  if (object === undefined) inode.validatedAt = 0;
  else inode.validatedAt = Math.min(inode.validatedAt, clock.now());
  followVersion(context, inode, { ...from, etag: from.etag }, { key: pathKey(options.prefix, inode), etag, size: from.size });
}
