/**
 * What a new engine does with the state of the one before it.
 *
 * Take-over: the kernel goes on with the node and handle numbers it has, so inodes, handles and open contents are put back; what they
 * mean is asked of the bucket again when it is needed. New connection: only unsent files matter; each is uploaded as its writer's close
 * would have done, or put aside when the object was changed elsewhere since.
 */

import { basename } from "node:path";
import type { Etag } from "#core/brand.ts";
import { msOfTimespec, type Timespec } from "#core/clock.ts";
import { DriverError, isFault } from "#core/errors.ts";
import { ATTRIBUTES_ONLY, type DirtyRow, type HandleRow, type InodeRow } from "#fuse/journal/state-store.ts";
import type { ContentReader } from "#fuse/read/content-reader.ts";
import type { DirtyFile } from "#fuse/write/dirty-file.ts";
import type { UserMetadata } from "#s3/object-store.ts";
import { keepConflict } from "./conflicts.ts";
import type { VfsContext } from "./context.ts";
import { Directory } from "./directory.ts";
import type { Handles } from "./handles.ts";
import { Inode, type Place } from "./inode.ts";
import { wantsWrite } from "./mode.ts";
import { type AttributeDefaults, decodeAttributes, decodeXattrs, encodeAttributes } from "./object-metadata.ts";
import type { OpenContent } from "./open-content.ts";
import { findOwnVersion, isGone, type SentVersion, sentAs, sentByPredecessor } from "./own-version.ts";
import type { Uploads } from "./uploads.ts";

/** Unsent files that are sent at one time: a mount waits for them. */
const PARALLEL = 16;

interface Parts {
  readonly handles: Handles;
  readonly uploads: Uploads;
}

export async function recover(context: VfsContext, parts: Parts, takeover: boolean): Promise<void> {
  const { recovered } = context.state;
  for (const path of context.spool.orphans(recovered.dirty.values())) {
    context.log.warn({ path }, "a spool file that no journal entry names was left as it is");
  }
  // A mount for reading removes nothing; the next one does it.
  if (!context.options.readOnly) context.removals.inherit(recovered.removals.values());
  if (!takeover) {
    return replayAll(context, recovered.dirty.values());
  }
  restoreInodes(context, recovered.inodes);
  for (const row of recovered.handles.values()) restoreHandle(context, parts.handles, row, recovered.dirty.get(row.node));
  for (const row of recovered.dirty.values()) await adoptDirty(context, parts, row);
}

/** Parents before children: a row's parent is always known, since it had to be looked up first. */
function restoreInodes({ inodes }: VfsContext, rows: ReadonlyMap<number, InodeRow>): void {
  const known = new Map<number, Inode>([[inodes.root.node, inodes.root]]);
  const restore = (row: InodeRow): Inode => {
    const done = known.get(row.node);
    if (done !== undefined) return done;
    const parentRow = rows.get(row.parent);
    const parent = known.get(row.parent) ?? (parentRow === undefined ? inodes.root : restore(parentRow));
    const inode = new Inode(row.node, row.kind, parent, row.name);
    // Its parent has no row: its place is not known, so no key may be made from it.
    inode.detached = row.unlinked === true || (parentRow === undefined && row.parent !== inodes.root.node) || parent.detached;
    known.set(row.node, inode);
    inodes.restore(inode);
    return inode;
  };
  for (const row of rows.values()) restore(row);
  for (const row of rows.values()) {
    const inode = restore(row);
    if (inode.detached || inode.parent === null) continue;
    linkChild(inode, { parent: inode.parent, name: inode.name });
    for (const { parent, name, etag } of row.links ?? []) {
      const place = { parent: known.get(parent), name };
      if (isReachable(place)) linkChild(inode, place, etag);
      if (isReachable(place)) inodes.addPlace(inode, place);
    }
  }
}

function isReachable(place: { readonly parent: Inode | undefined; readonly name: string }): place is Place {
  return place.parent !== undefined && !place.parent.detached;
}

function linkChild(inode: Inode, { parent, name }: Place, etag?: Etag): void {
  parent.directory ??= new Directory();
  const child = parent.directory.obtain(name);
  child.inode = inode;
  child.prefix = inode.kind === "dir";
  // Only the ETag is known; the next listing tells the rest.
  if (etag !== undefined) child.object = { key: "", size: -1, etag, lastModified: 0 };
}

function restoreHandle(context: VfsContext, handles: Handles, row: HandleRow, dirty: DirtyRow | undefined): void {
  const inode = findInode(context, row.node);
  if (inode === undefined) return;
  if (row.kind === "dir") {
    handles.restore({ id: row.handle, inode, entries: undefined });
    return;
  }
  inode.content ??= emptyContent(row.backingId);
  const content = inode.content;
  content.handles += 1;
  const writes = wantsWrite(row.flags);
  if (writes) content.writers += 1;
  if (dirty !== undefined && content.dirty === undefined) content.dirty = openSpool(context, dirty);
  handles.restore({ id: row.handle, inode, flags: row.flags, writes });
}

function emptyContent(backingId: number | undefined): OpenContent {
  return {
    backingId,
    whole: undefined,
    reader: undefined,
    dirty: undefined,
    handles: 0,
    writers: 0,
    mayBeMapped: true,
    upload: undefined,
    sent: [],
    exclusive: false,
  };
}

function findInode({ inodes, log }: VfsContext, node: HandleRow["node"]): Inode | undefined {
  try {
    return inodes.get(node);
  } catch {
    log.warn({ node }, "a handle's node is not in the journal; the handle is lost");
    return undefined;
  }
}

/** Undefined when the spool file is gone: the engine died between the end of the file, which was in the bucket, and that of its row. */
function openSpool({ spool, readers, log }: VfsContext, row: DirtyRow): DirtyFile | undefined {
  const base: ContentReader | undefined = row.base !== null && row.extents !== null ? readers.open(row.base) : undefined;
  try {
    return spool.recover(row, base);
  } catch (error) {
    base?.close();
    if (!isFault(error, "not_found")) throw error;
    log.warn({ key: row.key, spool: row.spool }, "a journal entry's spool file is gone; nothing is sent for it");
    return undefined;
  }
}

/**
 * A dirty row of a connection that goes on: its inode gets attributes and content back. It is sent now when it was closed, or nobody
 * has it open; else at its close.
 */
async function adoptDirty(context: VfsContext, { uploads }: Parts, row: DirtyRow): Promise<void> {
  const inode = findInode(context, row.node);
  if (inode === undefined || inode.detached) return replay(context, row);
  if (row.spool === ATTRIBUTES_ONLY) {
    restoreAttributes(context, inode, row);
    inode.attributesDirty = true;
    return uploads.sendSoon(inode);
  }
  inode.content ??= emptyContent(undefined);
  const content = inode.content;
  content.dirty ??= openSpool(context, row);
  if (content.dirty === undefined) {
    context.state.dropDirty(row.node);
    if (content.handles === 0) inode.content = undefined;
    return;
  }
  content.sent.push(...sentOf(row, content.dirty));
  content.closed = row.closed ?? false;
  restoreAttributes(context, inode, row);
  if (content.closed || content.handles === 0) uploads.sendSoon(inode);
}

function restoreAttributes(context: VfsContext, inode: Inode, row: DirtyRow): void {
  inode.version = row.base === null ? null : { ...row.base, lastModified: 0, headers: row.headers, metadata: row.metadata };
  inode.attributes = decodeAttributes(
    { key: row.key, size: 0, lastModified: context.clock.now(), headers: row.headers, metadata: row.metadata },
    context.options,
  );
  inode.xattrs = decodeXattrs(row.metadata);
  inode.validatedAt = context.clock.now();
}

/** Several at once; rows of one key one after the other, as they were made. Throws the first failure after trying all. */
async function replayAll(context: VfsContext, rows: Iterable<DirtyRow>): Promise<void> {
  const groups = Map.groupBy(rows, ({ key }) => key).values();
  const failures: unknown[] = [];
  const work = async () => {
    for (const group of groups) {
      for (const row of group) await replay(context, row).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  if (failures.length > 0) throw failures[0];
}

/** Uploads a spool file whose connection is gone. Only when the bucket has it, or its owner was told where it is, does it leave the spool. */
async function replay(context: VfsContext, row: DirtyRow): Promise<void> {
  const { state, log } = context;
  if (row.spool === ATTRIBUTES_ONLY) return replayAttributes(context, row);
  const dirty = openSpool(context, row);
  if (dirty === undefined) return state.dropDirty(row.node);
  try {
    if (row.removing && (await isGone(context.store, row.key))) return forget(context, row, dirty);
    await send(context, row, dirty);
    log.info({ key: row.key }, "a file that was not uploaded before the last end is in the bucket now");
  } catch (error) {
    if (!isFault(error, "stale", "exists", "not_found")) throw notReplayed(row, error);
    const kept = keepConflict(context, { name: basename(row.key), node: row.node, path: dirty.path, ranges: dirty.extents() });
    log.warn({ key: row.key, kept }, "the object was changed elsewhere since it was written here; this host's data was put aside");
  }
  forget(context, row, dirty);
}

function forget({ state }: VfsContext, { node }: DirtyRow, dirty: DirtyFile): void {
  state.dropDirty(node);
  dirty.discard();
}

/** Attributes that were set on an object that is the same still. */
async function replayAttributes({ store, conditions, state, log }: VfsContext, row: DirtyRow): Promise<void> {
  const { key, base, headers, metadata } = row;
  try {
    const condition = base !== null && conditions.copySourceIfMatch ? { sourceIfMatch: base.etag } : {};
    await store.copy(key, key, { replace: { headers, metadata }, ...condition, ...(base === null ? {} : { sourceSize: base.size }) });
  } catch (error) {
    if (!isFault(error, "stale", "not_found")) throw notReplayed(row, error);
    log.warn({ key }, "the object was changed elsewhere since its attributes were set here; they are lost");
  }
  state.dropDirty(row.node);
}

/** As the writer's close would have: under the conditions of then, with the times of the last write. */
async function send({ store, conditions, options }: VfsContext, row: DirtyRow, dirty: DirtyFile): Promise<void> {
  const { key, base, headers } = row;
  const target = { key, headers, metadata: withMtime(row, dirty.stat().mtime, options) };
  const whole = conditions.putIfNoneMatch ? ({ ifNoneMatch: "*" } as const) : {};
  const changed = base !== null && conditions.putIfMatch ? { ifMatch: base.etag } : {};
  try {
    await dirty.upload({ ...target, ...(base === null ? whole : changed) });
  } catch (error) {
    if (!isFault(error, "stale", "exists")) throw error;
    const own = await findOwnVersion(store, key, sentOf(row, dirty));
    if (own === undefined) throw error;
    if (base !== null) dirty.follow(base, own);
    await dirty.upload({ ...target, ifMatch: own.etag });
  }
}

/** What a dead predecessor may have brought into the bucket without coming to know of it. */
function sentOf({ metadata, upload, sent = [] }: DirtyRow, { fd }: DirtyFile): SentVersion[] {
  const ahead = upload?.metadata === undefined ? [] : [{ metadata: upload.metadata, md5: undefined }];
  return [sentByPredecessor(metadata, fd), ...ahead, ...sent.map(sentAs)];
}

/** The row is as old as the last open, fsync or close; the spool file's mtime is the truth. */
function withMtime({ key, headers, metadata }: DirtyRow, mtime: Timespec, defaults: AttributeDefaults): UserMetadata {
  const attributes = decodeAttributes({ key, size: 0, lastModified: msOfTimespec(mtime), headers, metadata }, defaults);
  return encodeAttributes({ ...attributes, mtime }, { previous: metadata, xattrs: decodeXattrs(metadata) });
}

function notReplayed(row: DirtyRow, cause: unknown): DriverError {
  const { fault, message } = DriverError.from(cause);
  return new DriverError(fault, `the unsent file ${row.key} could not be uploaded; it is kept: ${message}`, { cause });
}
