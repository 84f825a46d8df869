/** How a file's content comes to be open: which of its forms (open-content.ts) the first open gives it, and what later ones change. */
import type { NodeId } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import type { ContentId, WholeFile } from "#fuse/cache/content-cache.ts";
import { ATTRIBUTES_ONLY, type DirtyRow } from "#fuse/journal/state-store.ts";
import type { ContentReader } from "#fuse/read/content-reader.ts";
import type { DirtyFile } from "#fuse/write/dirty-file.ts";
import type { VfsContext } from "./context.ts";
import type { Inode } from "./inode.ts";
import { storedMetadata } from "./inode-attributes.ts";
import { pathKey } from "./key-names.ts";
import { S_ISGID, S_ISUID } from "./mode.ts";
import type { OpenContent } from "./open-content.ts";
import { markOf } from "./own-version.ts";

export interface OpenIntent {
  readonly write: boolean;
  readonly truncate: boolean;
}

/** Opens the inode's content, or makes the open content fit the intent. Under the inode's lock. */
export async function openContent(context: VfsContext, inode: Inode, intent: OpenIntent): Promise<OpenContent> {
  const open = inode.content;
  if (open === undefined) {
    // Removed or replaced before it was ever sent, after this caller looked it up: nothing has its content any more.
    if (inode.detached && !inode.version) throw new DriverError("stale", `${inode.name} is gone`);
    const parts = await firstParts(context, inode, intent);
    inode.content = settle(context, inode, parts);
  } else {
    await refit(context, inode, open, intent);
    if (open.handles === 0) rebind(context, inode, open);
  }
  const content = inode.content as OpenContent;
  if (intent.write) {
    keepTimes(inode, content, intent);
    recordDirty(context, inode);
  }
  return content;
}

/** The spool file's times are the file's from now on: they start as what they were, and the first write moves them. */
function keepTimes(inode: Inode, { dirty }: OpenContent, intent: OpenIntent): void {
  if (dirty === undefined || intent.truncate || dirty.changed() || inode.attributes === undefined) return;
  dirty.setTimes(inode.attributes.atime, inode.attributes.mtime);
}

/** Content for a file that does not exist yet. */
export function newContent(context: VfsContext, inode: Inode, exclusive: boolean): OpenContent {
  return { ...settle(context, inode, { dirty: context.spool.create() }), exclusive };
}

interface Parts {
  readonly whole?: WholeFile;
  readonly reader?: ContentReader;
  readonly dirty?: DirtyFile;
}

/** `isBacking`: a predecessor gave the kernel the file of the cache. */
async function firstParts(context: VfsContext, inode: Inode, intent: OpenIntent, isBacking = false): Promise<Parts> {
  const { contents, readers, spool, options } = context;
  const version = inode.version;
  if (version === null || version === undefined || intent.truncate) return { dirty: spool.create() };
  const id: ContentId = { key: pathKey(options.prefix, inode), etag: version.etag, size: version.size };
  const cached = contents.openWhole(id);
  if (cached !== undefined) return intent.write ? { dirty: seize(context, cached, isBacking) } : { whole: cached };
  const reader = readers.open(id);
  if (id.size > options.fillAtOpenBytes) return intent.write ? { dirty: overlay(context, reader) } : { reader };
  try {
    const whole = await reader.fill();
    return intent.write ? { dirty: seize(context, whole, isBacking) } : { whole };
  } finally {
    reader.close();
  }
}

async function refit(context: VfsContext, inode: Inode, open: OpenContent, intent: OpenIntent): Promise<void> {
  if (!intent.write) return;
  if (open.dirty === undefined) {
    if (open.whole !== undefined) open.dirty = seize(context, open.whole, open.backingId !== undefined);
    else if (open.reader !== undefined) open.dirty = context.spool.overlay(open.reader);
    else open.dirty = await seizeUnknown(context, inode, open.backingId !== undefined);
    open.whole = undefined;
    open.reader = undefined;
  }
  if (intent.truncate) await open.dirty.truncate(0);
}

/** The cache's file becomes a spool file: the same inode of the local disk, now the writer's. `isBacking`: the kernel has it already. */
function seize({ contents, spool, readers, options }: VfsContext, whole: WholeFile, isBacking = false): DirtyFile {
  const { id } = whole;
  const name = spool.freshName();
  const moved = contents.surrender(id, spool.pathFor(name));
  whole.close();
  const isTracked = !isBacking && id.size >= options.trackFromBytes;
  return moved ? spool.adopt(name, isTracked ? id : undefined) : spool.overlay(readers.open(id));
}

/** What the cache has of the version becomes a spool file, the rest is fetched when it is needed. */
function overlay({ contents, spool }: VfsContext, reader: ContentReader): DirtyFile {
  const name = spool.freshName();
  const ranges = contents.surrenderPartial(reader.id, spool.pathFor(name));
  return spool.overlay(reader, ranges && { spool: name, ranges });
}

/** After a take-over the predecessor's clean backing file is found again through the version, which must not have changed. */
async function seizeUnknown(context: VfsContext, inode: Inode, isBacking: boolean): Promise<DirtyFile> {
  const parts = await firstParts(context, inode, { write: true, truncate: false }, isBacking);
  return parts.dirty as DirtyFile;
}

function settle(context: VfsContext, inode: Inode, parts: Parts): OpenContent {
  const { whole, reader, dirty } = parts;
  const backingId = registerBacking(context, inode, parts);
  return { backingId, whole, reader, dirty, handles: 0, writers: 0, mayBeMapped: false, upload: undefined, sent: [], exclusive: false };
}

/** Content that outlived its last handle, unsent: the kernel may have it again. */
function rebind(context: VfsContext, inode: Inode, content: OpenContent): void {
  content.backingId ??= registerBacking(context, inode, content);
}

/** The kernel's own way to the local file, where there is one that it may take. */
function registerBacking(
  { kernel }: VfsContext,
  inode: Inode,
  { whole, dirty }: Pick<Parts, "whole" | "dirty"> | OpenContent,
): number | undefined {
  const file = dirty?.isTracked ? undefined : (dirty ?? whole);
  // Nobody would tell us of a write that takes these bits away: with HANDLE_KILLPRIV_V2 the kernel leaves that to who sees the write.
  const hasPrivileges = ((inode.attributes?.mode ?? 0) & (S_ISUID | S_ISGID)) !== 0;
  return kernel.passthrough && file !== undefined && !hasPrivileges ? kernel.registerBacking(file.fd) : undefined;
}

/**
 * The bytes of version `before` stand in the bucket as `after` from now on, under another key or ETag: who reads them goes on there,
 * and the cached copy goes along.
 */
export function followVersion({ contents, readers, spool }: VfsContext, inode: Inode, before: ContentId, after: ContentId): void {
  if (before.key === after.key && before.etag === after.etag) return;
  const { content } = inode;
  content?.dirty?.follow(before, after);
  if (content?.reader !== undefined) {
    const left = content.reader;
    content.reader = readers.open(after);
    left.close();
  } else if (content === undefined) {
    const path = spool.pathFor(spool.freshName());
    if (contents.surrender(before, path)) contents.adopt(after, path);
  }
}

/**
 * Stores that this file's newest content, or only its newest attributes, are here: before the kernel may write to it, or hears that
 * they are set. The row of `replaced`, whose name this file took, goes in the same write.
 */
export function recordDirty({ state, options }: VfsContext, inode: Inode, replaced?: NodeId): void {
  const dirty = inode.content?.dirty;
  const { version } = inode;
  if (inode.detached || (dirty === undefined && !(inode.attributesDirty && version))) return;
  const key = pathKey(options.prefix, inode);
  const replaces = inode.content?.replaces === undefined ? version : inode.content.replaces;
  const row: DirtyRow = {
    node: inode.node,
    spool: dirty?.spool ?? ATTRIBUTES_ONLY,
    key,
    base: replaces ? { key, etag: replaces.etag, size: version?.size ?? 0 } : null,
    extents: dirty?.extents() ?? null,
    headers: version?.headers ?? {},
    metadata: storedMetadata(inode),
    ...(inode.content?.closed ? { closed: true } : {}),
    ...(inode.content?.removing ? { removing: true } : {}),
    ...sentOf(inode.content),
    ...(inode.content?.upload === undefined ? {} : { upload: inode.content.upload }),
  };
  state.putDirty(row, replaced);
}

function sentOf(content: OpenContent | undefined): Pick<DirtyRow, "sent"> {
  const versions = [...(content?.sent ?? []), ...(content?.underWay === undefined ? [] : [content.underWay])];
  const sent = versions.flatMap((version) => markOf(version) ?? []);
  return sent.length === 0 ? {} : { sent };
}
