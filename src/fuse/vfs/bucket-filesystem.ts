/**
 * The file system on a bucket: the facade that puts the parts behind the `FileSystem` interface.
 *
 * Reading order: inode.ts (what is known of a file), directory.ts and lookup.ts (names), open-content.ts and files.ts (bytes),
 * uploads.ts (into the bucket), names.ts and rename.ts (changes of the tree), attribute-changes.ts, recovery.ts.
 */
import type { HandleId, NodeId } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import { AttributeChanges } from "./attribute-changes.ts";
import type { VfsContext } from "./context.ts";
import { Files } from "./files.ts";
import type {
  AttrChanges,
  AttrReply,
  Caller,
  DirectorySink,
  Entry,
  FilePlace,
  FileSystem,
  MissingEntry,
  Opened,
  StatFs,
} from "./filesystem.ts";
import { shownToGroup, shownWithUmask } from "./group-view.ts";
import { Handles } from "./handles.ts";
import type { Inode } from "./inode.ts";
import { attrOf } from "./inode-attributes.ts";
import { checkLength, directoryKey, NAME_MAX } from "./key-names.ts";
import { Lookup } from "./lookup.ts";
import { O_EXCL, PERMISSIONS, S_IFREG } from "./mode.ts";
import { Names } from "./names.ts";
import { recover } from "./recovery.ts";
import { Rename } from "./rename.ts";
import { Uploads } from "./uploads.ts";
import { DirectoryStreams } from "./walk-directory.ts";

/** A bucket has no end: statfs(2) shows 1 PiB, all of it free. */
const STATFS: StatFs = { bsize: 4096, blocks: 2 ** 38, bfree: 2 ** 38, bavail: 2 ** 38, files: 2 ** 32, ffree: 2 ** 32, namelen: NAME_MAX };

/** Inodes that the kernel never asked for are let go after this long. */
const SWEEP_MS = 60_000;

export class BucketFileSystem implements FileSystem {
  readonly #sweep: NodeJS.Timeout;
  readonly #context: VfsContext;
  readonly #handles: Handles;
  readonly #lookup: Lookup;
  readonly #uploads: Uploads;
  readonly #files: Files;
  readonly #attributes: AttributeChanges;
  readonly #names: Names;
  readonly #rename: Rename;
  readonly #streams: DirectoryStreams;

  constructor(context: VfsContext) {
    this.#context = context;
    this.#handles = new Handles(context.state);
    const lookup = new Lookup(context);
    const uploads = new Uploads(context);
    const files = new Files(context, this.#handles, lookup, uploads);
    const attributes = new AttributeChanges(context, { files, uploads, lookup });
    const names = new Names(context, { lookup, files, attributes, uploads });
    this.#rename = new Rename(context, { lookup, files, names, uploads });
    this.#streams = new DirectoryStreams(context, this.#handles, lookup, (inode) => this.#entry(inode));
    // The root is there before anything is asked; its marker, where a prefix has one, is seen by the first listing.
    lookup.apply(context.inodes.root, undefined);
    this.#sweep = setInterval(() => context.inodes.sweep(context.clock.now() - SWEEP_MS), SWEEP_MS).unref();
    this.#lookup = lookup;
    this.#uploads = uploads;
    this.#files = files;
    this.#attributes = attributes;
    this.#names = names;
  }

  /** Takes up what a predecessor left: its tree and handles if the connection goes on, its unsent files in any case. */
  recover(takeover: boolean): Promise<void> {
    return recover(this.#context, { handles: this.#handles, uploads: this.#uploads }, takeover);
  }

  /** Numbers for `bucketmount status`. */
  usage(): { inodes: number; handles: number; dirtyFiles: number; dirtyBytes: number } {
    const dirty = [...this.#context.inodes.all()].filter((inode) => this.#uploads.isDue(inode));
    const dirtyBytes = dirty.reduce((sum, inode) => sum + (inode.content?.dirty?.stat().size ?? 0), 0);
    return { inodes: this.#context.inodes.size, handles: this.#handles.size, dirtyFiles: dirty.length, dirtyBytes };
  }

  /** From now on everything belongs to this group; what the kernel holds of attributes is forgotten. */
  showToGroup(group: number | undefined): void {
    const { options, inodes, kernel } = this.#context;
    if (options.group === group) return;
    options.group = group;
    for (const { node, lookups } of inodes.all()) if (lookups > 0 || node === inodes.root.node) kernel.invalidateNode(node, -1, 0);
  }

  #inode(node: NodeId): Inode {
    return this.#context.inodes.get(node);
  }

  #attrReply(inode: Inode): AttrReply {
    const { umask = 0, group } = this.#context.options;
    return { attr: shownToGroup(shownWithUmask(attrOf(inode), umask), group), ttlMs: this.#lookup.ttlMs(inode) };
  }

  #entry(inode: Inode): Entry {
    return { ...this.#attrReply(inode), node: inode.node, entryTtlMs: this.#lookup.ttlMs(inode) };
  }

  /** The entry, counted as one look-up of the kernel's. */
  #give(found: Inode): Entry {
    const { inodes } = this.#context;
    const inode = inodes.present(found);
    const entry = this.#entry(inode);
    inodes.hold(inode);
    return entry;
  }

  /** Changes of single names may go side by side, but not while a directory is being renamed. */
  #change<T>(section: () => Promise<T>): Promise<T> {
    return this.#context.namespace.shared(section);
  }

  async lookup(parent: NodeId, name: string): Promise<Entry | MissingEntry> {
    checkLength(name);
    const directory = this.#inode(parent);
    const inode = await this.#lookup.find(directory, name);
    return inode === undefined ? { node: 0, entryTtlMs: this.#context.options.metadataTtlMs } : this.#give(inode);
  }

  forget(node: NodeId, count: number): void {
    this.#context.inodes.forget(node, count);
  }

  async getattr(node: NodeId): Promise<AttrReply> {
    const inode = this.#inode(node);
    // An open file goes on being what was opened, whatever its name means by now.
    if (inode.content === undefined || inode.attributes === undefined) await this.#lookup.revalidate(inode);
    return this.#attrReply(inode);
  }

  async setattr(node: NodeId, changes: AttrChanges): Promise<AttrReply> {
    const inode = this.#inode(node);
    if (inode.content === undefined || inode.attributes === undefined) await this.#lookup.revalidate(inode);
    await this.#change(() => this.#attributes.apply(inode, changes));
    return this.#attrReply(inode);
  }

  async readlink(node: NodeId): Promise<string> {
    const inode = this.#inode(node);
    if (inode.kind !== "symlink") throw new DriverError("bad_argument", `${inode.name} is not a symlink`);
    await this.#lookup.revalidate(inode);
    inode.symlinkTarget ??= await this.#lookup.readTarget(inode);
    return inode.symlinkTarget;
  }

  symlink(parent: NodeId, name: string, target: string, caller: Caller): Promise<Entry> {
    return this.#change(async () => this.#give(await this.#names.symlink(this.#inode(parent), name, target, caller)));
  }

  mknod(parent: NodeId, name: string, mode: number, rdev: number, caller: Caller): Promise<Entry> {
    return this.#change(async () => this.#give(await this.#names.mknod(this.#inode(parent), name, mode, rdev, caller)));
  }

  mkdir(parent: NodeId, name: string, mode: number, caller: Caller): Promise<Entry> {
    return this.#change(async () => this.#give(await this.#names.mkdir(this.#inode(parent), name, mode, caller)));
  }

  unlink(parent: NodeId, name: string): Promise<void> {
    return this.#change(() => this.#names.unlink(this.#inode(parent), name));
  }

  rmdir(parent: NodeId, name: string): Promise<void> {
    return this.#change(() => this.#names.rmdir(this.#inode(parent), name));
  }

  rename(parent: NodeId, name: string, newParent: NodeId, newName: string, flags: number): Promise<void> {
    return this.#rename.rename(this.#inode(parent), name, this.#inode(newParent), newName, flags);
  }

  async link(node: NodeId, newParent: NodeId, newName: string): Promise<Entry> {
    const inode = await this.#current(node);
    return this.#change(async () => this.#give(await this.#names.link(inode, this.#inode(newParent), newName)));
  }

  open(node: NodeId, flags: number): Promise<Opened> {
    return this.#files.open(node, flags);
  }

  create(parent: NodeId, name: string, mode: number, flags: number, caller: Caller): Promise<{ entry: Entry; opened: Opened }> {
    return this.#change(async () => {
      const directory = this.#inode(parent);
      this.#names.checkName(directory, name);
      const there = await this.#lookup.find(directory, name);
      if (there !== undefined) return this.#createOver(there, flags);
      await this.#lookup.ensureAttributes(directory);
      const inode = this.#names.make(directory, name, S_IFREG | (mode & PERMISSIONS), caller);
      const opened = await this.#openNew(inode, flags);
      this.#names.enter(inode);
      return { entry: this.#give(inode), opened };
    });
  }

  tmpfile(parent: NodeId, mode: number, flags: number, caller: Caller): Promise<{ entry: Entry; opened: Opened }> {
    return this.#change(async () => {
      const inode = await this.#names.makeUnnamed(this.#inode(parent), S_IFREG | (mode & PERMISSIONS), caller);
      const opened = await this.#openNew(inode, flags);
      return { entry: this.#give(inode), opened };
    });
  }

  async #openNew(inode: Inode, flags: number): Promise<Opened> {
    try {
      return await this.#files.openNew(inode, flags);
    } catch (error) {
      this.#context.inodes.detach(inode);
      throw error;
    }
  }

  async #createOver(inode: Inode, flags: number): Promise<{ entry: Entry; opened: Opened }> {
    if ((flags & O_EXCL) !== 0) throw new DriverError("exists", `${inode.name} is there already`);
    if (inode.kind === "dir") throw new DriverError("is_dir", `${inode.name} is a directory`);
    const opened = await this.#files.openInode(inode, flags);
    return { entry: this.#give(inode), opened };
  }

  read(handle: HandleId, offset: number, size: number, caller: Caller): Promise<readonly Uint8Array[]> {
    return this.#files.read(handle, offset, size, caller);
  }

  write(handle: HandleId, offset: number, data: Uint8Array): Promise<number> {
    return this.#files.write(handle, offset, data);
  }

  async flush(handle: HandleId): Promise<void> {
    await this.#change(() => this.#files.flush(handle));
    await this.#uploads.room();
  }

  fsync(handle: HandleId): Promise<void> {
    return this.#change(() => this.#files.fsync(handle));
  }

  release(handle: HandleId): Promise<void> {
    return this.#change(() => this.#files.release(handle));
  }

  fallocate(handle: HandleId, mode: number, offset: number, length: number): Promise<void> {
    return this.#change(() => this.#files.fallocate(handle, mode, offset, length));
  }

  copyFileRange(from: FilePlace, to: FilePlace, length: number): Promise<number> {
    return this.#change(() => this.#files.copyRange(from, to, length));
  }

  /** Unknown holes are data: the kernel's own answer for file systems without SEEK_HOLE is right, and ENOSYS asks for it. */
  async lseek(): Promise<number> {
    throw new DriverError("not_implemented", "the kernel seeks itself");
  }

  async opendir(node: NodeId): Promise<HandleId> {
    return this.#streams.open(node);
  }

  readdir(handle: HandleId, offset: number, plus: boolean, sink: DirectorySink): Promise<void> {
    return this.#streams.read(handle, offset, plus, sink);
  }

  async releasedir(handle: HandleId): Promise<void> {
    this.#streams.close(handle);
  }

  /** Names are in the bucket before their call returns, except for files that nobody waited for: those are sent now, or are on their way out. */
  async fsyncdir(handle: HandleId): Promise<void> {
    const { removals, options } = this.#context;
    const { inode } = this.#handles.directory(handle);
    await this.#uploads.allIn(inode);
    await removals.finish(directoryKey(options.prefix, inode));
  }

  async statfs(): Promise<StatFs> {
    return STATFS;
  }

  async getxattr(node: NodeId, name: string): Promise<Uint8Array> {
    return this.#attributes.getXattr(await this.#current(node), name);
  }

  async setxattr(node: NodeId, name: string, value: Uint8Array, flags: number, _caller?: Caller, killSetGid = false): Promise<void> {
    const inode = await this.#current(node);
    await this.#change(() => this.#attributes.setXattr(inode, name, value, flags, killSetGid));
  }

  async listxattr(node: NodeId, caller: Caller): Promise<readonly string[]> {
    return this.#attributes.listXattrs(await this.#current(node), caller);
  }

  async removexattr(node: NodeId, name: string): Promise<void> {
    const inode = await this.#current(node);
    await this.#change(() => this.#attributes.removeXattr(inode, name));
  }

  async #current(node: NodeId): Promise<Inode> {
    const inode = this.#inode(node);
    if (inode.content === undefined || inode.attributes === undefined) await this.#lookup.revalidate(inode);
    return inode;
  }

  async syncAll(): Promise<void> {
    // A removal that fails is logged, and is no data that is lost.
    const removed = this.#context.removals.settledUnder("");
    try {
      await this.#uploads.all();
    } finally {
      await removed;
    }
  }

  async destroy(): Promise<void> {
    clearInterval(this.#sweep);
    this.#uploads.stop();
    await this.syncAll();
  }
}
