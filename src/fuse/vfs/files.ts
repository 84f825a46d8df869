/** `Files`: open, read, write, flush, release: the operations on open files. */
import { readSync } from "node:fs";
import type { HandleId, NodeId } from "#core/brand.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { DirtyFile } from "#fuse/write/dirty-file.ts";
import { newContent, openContent, recordDirty } from "./content-opening.ts";
import type { VfsContext } from "./context.ts";
import { copyWhole } from "./copied-content.ts";
import type { Caller, FilePlace, Opened } from "./filesystem.ts";
import type { FileHandle, Handles } from "./handles.ts";
import type { Inode, Version } from "./inode.ts";
import { pathKey } from "./key-names.ts";
import type { Lookup } from "./lookup.ts";
import { O_ACCMODE, O_EXCL, O_RDWR, O_TRUNC, wantsWrite } from "./mode.ts";
import type { OpenContent } from "./open-content.ts";
import type { Uploads } from "./uploads.ts";

/** fallocate(2)'s modes, as <linux/falloc.h> numbers them. FUSE passes on these alone. */
const FALLOC_FL = { KEEP_SIZE: 0x01, PUNCH_HOLE: 0x02, ZERO_RANGE: 0x10 } as const;
const FALLOCATE_MODES = new Set([
  0,
  FALLOC_FL.KEEP_SIZE,
  FALLOC_FL.KEEP_SIZE | FALLOC_FL.PUNCH_HOLE,
  FALLOC_FL.ZERO_RANGE,
  FALLOC_FL.ZERO_RANGE | FALLOC_FL.KEEP_SIZE,
]);
const ZEROS = new Uint8Array(1 << 20);

export class Files {
  readonly #context: VfsContext;
  readonly #handles: Handles;
  readonly #lookup: Lookup;
  readonly #uploads: Uploads;

  constructor(context: VfsContext, handles: Handles, lookup: Lookup, uploads: Uploads) {
    this.#context = context;
    this.#handles = handles;
    this.#lookup = lookup;
    this.#uploads = uploads;
    uploads.onRetried((inode) => inode.lock.run(() => this.#retire(inode)));
  }

  async open(node: NodeId, flags: number): Promise<Opened> {
    const inode = this.#context.inodes.get(node);
    if (inode.kind === "dir") throw new DriverError("is_dir", `${inode.name} is a directory`);
    if (wantsWrite(flags)) this.checkWritable();
    await this.#lookup.revalidate(inode);
    return this.openInode(inode, flags);
  }

  checkWritable(): void {
    if (this.#context.options.readOnly) throw new DriverError("read_only", "the mount is read-only");
  }

  /** Opens an inode that was just looked up. A version that is gone by now gives `stale`, on which the kernel looks up again. */
  openInode(inode: Inode, flags: number): Promise<Opened> {
    return inode.lock.run(async () => {
      try {
        if (wantsWrite(flags)) await this.#lookup.complete(inode);
        const content = await openContent(this.#context, inode, { write: wantsWrite(flags), truncate: (flags & O_TRUNC) !== 0 });
        return this.#opened(inode, content, flags);
      } catch (error) {
        if (isFault(error, "stale", "not_found")) this.#distrust(inode);
        throw isFault(error, "not_found") ? new DriverError("stale", `${inode.name} was removed elsewhere`, { cause: error }) : error;
      }
    });
  }

  #distrust(inode: Inode): void {
    inode.validatedAt = 0;
    inode.parent?.directory?.expire();
  }

  /** The first open of a file that create(2) just made. */
  openNew(inode: Inode, flags: number): Promise<Opened> {
    return inode.lock.run(async () => {
      inode.content = newContent(this.#context, inode, (flags & O_EXCL) !== 0);
      takeTimes(inode, inode.content);
      recordDirty(this.#context, inode);
      return this.#opened(inode, inode.content, flags);
    });
  }

  #opened(inode: Inode, content: OpenContent, flags: number): Opened {
    content.handles += 1;
    if (wantsWrite(flags)) {
      content.writers += 1;
      this.#uploads.sendAhead(inode);
    }
    if ((flags & O_ACCMODE) === O_RDWR && content.backingId !== undefined) content.mayBeMapped = true;
    const handle = this.#handles.openFile(inode, flags);
    if (content.backingId !== undefined) {
      inode.pageCacheEtag = undefined;
      return { handle: handle.id, backingId: content.backingId };
    }
    // Pages that the kernel kept from an earlier open are right if nobody wrote another way since.
    const etag = inode.version?.etag;
    const keepCache = content.handles > 1 || (etag !== undefined && inode.pageCacheEtag === etag && content.dirty === undefined);
    inode.pageCacheEtag = etag;
    return { handle: handle.id, keepCache };
  }

  async read(id: HandleId, offset: number, size: number, caller: Caller): Promise<readonly Uint8Array[]> {
    const { inode } = this.#handles.file(id);
    const content = contentOf(inode);
    if (!isOpenHere(content)) await inode.lock.run(() => this.#reopenClean(inode));
    const { reader } = content;
    try {
      return await this.#read(content, offset, size, caller);
    } catch (error) {
      // The version went to another key meanwhile, or a writer came: the same bytes are read there.
      if (reader === undefined || content.reader === reader) throw error;
      return this.#read(content, offset, size, caller);
    }
  }

  async #read(content: OpenContent, offset: number, size: number, caller: Caller): Promise<readonly Uint8Array[]> {
    if (content.dirty !== undefined) return content.dirty.read(offset, size, caller.signal);
    if (content.whole !== undefined) return [readWhole(content.whole.fd, offset, size)];
    return content.reader?.read(offset, size, caller.signal) ?? [];
  }

  /** After a take-over an open file's clean content is opened again when it is first read. */
  async #reopenClean(inode: Inode): Promise<OpenContent> {
    const content = contentOf(inode);
    if (isOpenHere(content)) return content;
    await this.#lookup.revalidate(inode);
    const { contents, readers, options } = this.#context;
    if (!inode.version) throw new DriverError("stale", `${inode.name} is gone`);
    const id = { key: pathKey(options.prefix, inode), etag: inode.version.etag, size: inode.version.size };
    content.whole = contents.openWhole(id);
    if (content.whole === undefined) content.reader = readers.open(id);
    return content;
  }

  async write(id: HandleId, offset: number, data: Uint8Array): Promise<number> {
    const { inode, writes } = this.#handles.file(id);
    const { dirty } = contentOf(inode);
    if (!writes || dirty === undefined) throw new DriverError("bad_handle", "the file is not open for writing");
    checkReachable(offset + data.byteLength);
    const grown = dirty.extents();
    const written = await dirty.write(offset, data);
    // What is valid in a sparse spool file must be known to a successor before the writer goes on.
    if (grown !== null) recordDirty(this.#context, inode);
    return written;
  }

  /**
   * close(2) of a writer waits until the object is in the bucket and gets the error; with `durability=local` it waits for nothing.
   * Readers' closes cost nothing.
   */
  async flush(id: HandleId): Promise<void> {
    const { inode, writes } = this.#handles.file(id);
    if (!writes) return;
    if (this.#uploads.defer(inode)) this.#uploads.tellRefusal(inode);
    else await inode.lock.run(() => this.#uploads.sync(inode));
  }

  async fsync(id: HandleId): Promise<void> {
    const { inode } = this.#handles.file(id);
    await inode.lock.run(() => this.#uploads.sync(inode));
  }

  async release(id: HandleId): Promise<void> {
    const handle = this.#handles.close(id) as FileHandle | undefined;
    if (handle === undefined) return;
    const { inode } = handle;
    await inode.lock.run(async () => {
      const content = contentOf(inode);
      content.handles -= 1;
      if (handle.writes) content.writers -= 1;
      if (content.handles === 0) await this.#retire(inode);
    });
  }

  /** The last handle is gone: what a mapping wrote after the last close is sent, then the local file becomes the cache's. */
  async #retire(inode: Inode): Promise<void> {
    const { kernel, inodes } = this.#context;
    const content = inode.content;
    if (content === undefined || content.handles > 0) return;
    if (content.backingId !== undefined) kernel.unregisterBacking(content.backingId);
    content.backingId = undefined;
    if (this.#uploads.defer(inode) && this.#uploads.isDue(inode)) return;
    try {
      await this.#uploads.upload(inode);
    } catch (error) {
      if (!inode.detached) {
        this.#uploads.retryLater(inode, error);
        return;
      }
    }
    this.#letGo(inode, content);
    inode.content = undefined;
    inodes.release(inode);
  }

  #letGo(inode: Inode, content: OpenContent): void {
    content.whole?.close();
    content.reader?.close();
    const { dirty } = content;
    if (dirty === undefined) return;
    if (inode.version && !inode.detached) this.#giveToCache(inode, inode.version, dirty);
    dirty.discard();
    this.#context.state.dropDirty(inode.node);
  }

  /** What is here of the version, which is in the bucket by now, is the cache's from now on. What it has no use for stays. */
  #giveToCache(inode: Inode, { etag, size }: Version, dirty: DirtyFile): void {
    const { contents, options } = this.#context;
    const id = { key: pathKey(options.prefix, inode), etag, size };
    const ranges = dirty.extents();
    dirty.close();
    if (ranges === null) contents.adopt(id, dirty.path);
    else contents.adoptPartial(id, dirty.path, ranges);
  }

  /** truncate(2) and ftruncate(2). Without an open writer it is as a close: the new size is in the bucket when it returns, or soon. */
  async truncate(inode: Inode, size: number): Promise<void> {
    this.checkWritable();
    checkReachable(size);
    await inode.lock.run(async () => {
      const content = await openContent(this.#context, inode, { write: true, truncate: size === 0 });
      await content.dirty?.truncate(size);
      recordDirty(this.#context, inode);
      inode.pageCacheEtag = undefined;
      if (content.writers > 0 || this.#uploads.defer(inode)) return;
      try {
        await this.#uploads.upload(inode);
      } finally {
        // After a failure too: it sees to it that what could not be sent is tried again.
        await this.#retire(inode);
      }
    });
  }

  /** Before its object goes: what is still only in the bucket comes here, so that those who have the file open can go on. */
  async keepForOpenHandles(inode: Inode): Promise<void> {
    const content = inode.content;
    if (content === undefined || content.handles === 0) return;
    if (content.dirty !== undefined) return content.dirty.fill();
    if (content.reader === undefined) return;
    content.whole = await content.reader.fill();
    content.reader.close();
    content.reader = undefined;
  }

  async fallocate(id: HandleId, mode: number, offset: number, length: number): Promise<void> {
    const { inode } = this.#handles.file(id);
    const { dirty } = contentOf(inode);
    if (dirty === undefined) throw new DriverError("bad_handle", "the file is not open for writing");
    if (!FALLOCATE_MODES.has(mode)) throw new DriverError("unsupported", "this mode of fallocate is not supported");
    const end = offset + length;
    if ((mode & (FALLOC_FL.PUNCH_HOLE | FALLOC_FL.ZERO_RANGE)) !== 0) await this.#zero(inode, dirty, offset, end);
    if ((mode & FALLOC_FL.KEEP_SIZE) === 0 && end > dirty.stat().size) await this.truncate(inode, end);
  }

  /** Between two files that are open here: the locks in the order of the nodes. */
  async copyRange(from: FilePlace, to: FilePlace, length: number): Promise<number> {
    const { inode: source } = this.#handles.file(from.handle);
    const { inode: target, writes } = this.#handles.file(to.handle);
    if (!writes) throw new DriverError("bad_handle", "the file is not open for writing");
    if (source === target || from.offset !== 0 || to.offset !== 0) throw new DriverError("unsupported", "only whole files are copied");
    const [low, high] = source.node < target.node ? [source, target] : [target, source];
    return low.lock.run(() => high.lock.run(() => copyWhole(this.#context, source, target, length)));
  }

  /** Zeros as far as the file goes: an object has no holes, and Node.js cannot make one in the spool file. */
  async #zero(inode: Inode, dirty: DirtyFile, start: number, end: number): Promise<void> {
    const last = Math.min(end, dirty.stat().size);
    for (let at = start; at < last; at += ZEROS.length) await dirty.write(at, ZEROS.subarray(0, Math.min(ZEROS.length, last - at)));
    if (dirty.extents() !== null) recordDirty(this.#context, inode);
  }
}

/** A new file's times are its spool file's from the first moment: what stat(2) shows first is what stays. */
function takeTimes(inode: Inode, { dirty }: OpenContent): void {
  const mtime = dirty?.stat().mtime;
  if (mtime !== undefined && inode.attributes !== undefined) inode.attributes = { ...inode.attributes, atime: mtime, mtime, ctime: mtime };
}

/** The kernel passes on sizes to 2^63. Beyond 2^53 they are not exact any more, and Node.js would write at the file's start. */
function checkReachable(end: number): void {
  if (!Number.isSafeInteger(end)) throw new DriverError("too_big", "a file may not be larger than 8 PiB");
}

function contentOf(inode: Inode): OpenContent {
  if (inode.content === undefined) throw new DriverError("bad_handle", `${inode.name} is not open`);
  return inode.content;
}

/** False after a take-over, until somebody needs the bytes. */
function isOpenHere({ dirty, whole, reader }: OpenContent): boolean {
  return dirty !== undefined || whole !== undefined || reader !== undefined;
}

function readWhole(fd: number, offset: number, size: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(size);
  return bytes.subarray(0, readSync(fd, bytes, 0, size, offset));
}
