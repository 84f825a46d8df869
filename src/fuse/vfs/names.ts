/**
 * `Names`: making and removing files, directories, symlinks. Each is in the bucket, or out of it or on its way out (removals.ts), when the call
 * returns.
 */

import type { Etag } from "#core/brand.ts";
import { type Timespec, timespecOfMs } from "#core/clock.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { NodeKind } from "#fuse/journal/state-store.ts";
import type { AttributeChanges } from "./attribute-changes.ts";
import { recordDirty } from "./content-opening.ts";
import type { VfsContext } from "./context.ts";
import type { Files } from "./files.ts";
import type { Caller } from "./filesystem.ts";
import { groupAccess } from "./group-view.ts";
import { copyTo, loseName } from "./hard-links.ts";
import type { Inode, InodeDirectory, Place } from "./inode.ts";
import { attributesOf, attrOf, storedMetadata, touch } from "./inode-attributes.ts";
import { checkName, childKey, directoryKey, folderMarkKey, isShowable, pathKey } from "./key-names.ts";
import { isReserved, type Lookup } from "./lookup.ts";
import { kindOf, PERMISSIONS, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISGID } from "./mode.ts";
import { METADATA_LIMIT_BYTES, metadataBytes, withTimes } from "./object-metadata.ts";
import { ACCESS_ACL, DEFAULT_ACL, inheritAcl } from "./posix-acl.ts";
import type { Uploads } from "./uploads.ts";

export class Names {
  readonly #context: VfsContext;
  readonly #lookup: Lookup;
  readonly #files: Files;
  readonly #attributes: AttributeChanges;
  readonly #uploads: Uploads;

  constructor(context: VfsContext, parts: { lookup: Lookup; files: Files; attributes: AttributeChanges; uploads: Uploads }) {
    this.#context = context;
    this.#lookup = parts.lookup;
    this.#files = parts.files;
    this.#attributes = parts.attributes;
    this.#uploads = parts.uploads;
  }

  /** A new inode without content, known here only. `mode` has type bits. */
  make(parent: Inode, name: string, mode: number, caller: Caller, rdev = 0): Inode {
    const now = this.now();
    const { inodes, options } = this.#context;
    const { group } = options;
    const { mode: allowed, xattrs } = options.acl ? initialAccess(parent, mode, caller, group) : { mode };
    const inode = inodes.create(kindOf(mode), parent, name);
    const inherits = (attributesOf(parent).mode & S_ISGID) !== 0;
    const access = group === undefined ? 0 : groupAccess(mode);
    inode.attributes = {
      mode: allowed | access | (inherits && (mode & S_IFMT) === S_IFDIR ? S_ISGID : 0),
      uid: caller.uid,
      gid: group ?? (inherits ? attributesOf(parent).gid : caller.gid),
      rdev,
      atime: now,
      mtime: now,
      ctime: now,
    };
    inode.version = null;
    inode.validatedAt = this.#context.clock.now();
    if (xattrs !== undefined) this.#inherit(inode, xattrs);
    return inode;
  }

  #inherit(inode: Inode, xattrs: ReadonlyMap<string, Uint8Array>): void {
    inode.xattrs = xattrs;
    if (metadataBytes(storedMetadata(inode)) <= METADATA_LIMIT_BYTES) return;
    this.#context.inodes.detach(inode);
    throw new DriverError(
      "no_space",
      `the default ACL of ${inode.parent?.name} does not fit twice into ${METADATA_LIMIT_BYTES} bytes of metadata`,
    );
  }

  /** A new inode that no name leads to, for O_TMPFILE: it ends with its last handle unless `link` names it. */
  async makeUnnamed(parent: Inode, mode: number, caller: Caller): Promise<Inode> {
    this.#files.checkWritable();
    if (parent.detached) throw new DriverError("not_found", `${parent.name} was removed`);
    this.#lookup.directoryOf(parent);
    await this.#lookup.ensureAttributes(parent);
    const inode = this.make(parent, "", mode, caller);
    inode.detached = true;
    inode.unnamed = true;
    return inode;
  }

  now(): Timespec {
    return timespecOfMs(this.#context.clock.now());
  }

  /** Throws unless `name` may be made in `parent`: writable, a fit name, nothing there. */
  async checkFree(parent: Inode, name: string): Promise<void> {
    this.checkName(parent, name);
    if ((await this.#lookup.find(parent, name)) !== undefined) throw new DriverError("exists", `${name} is there already`);
    await this.#lookup.ensureAttributes(parent);
  }

  checkName(parent: Inode, name: string): void {
    this.#files.checkWritable();
    checkName(name);
    if (!isShowable(name)) throw new DriverError("bad_argument", `${name} cannot be a file's name`);
    if (isReserved(parent, name)) throw new DriverError("not_permitted", `${name} is the driver's own`);
    if (parent.detached) throw new DriverError("not_found", `${parent.name} was removed`);
  }

  /** Puts the new inode into its directory. */
  enter(inode: Inode): void {
    const parent = inode.parent as Inode;
    const child = this.#lookup.directoryOf(parent).obtain(inode.name);
    child.inode = inode;
    child.prefix = inode.kind === "dir";
    touch(parent, this.now());
  }

  async mkdir(parent: Inode, name: string, mode: number, caller: Caller): Promise<Inode> {
    await this.checkFree(parent, name);
    const inode = this.make(parent, name, S_IFDIR | (mode & PERMISSIONS), caller);
    await this.#announced(inode, () => this.#attributes.putMarker(inode));
    this.#lookup.directoryOf(inode).beginEmpty(this.#context.clock.now());
    return inode;
  }

  async symlink(parent: Inode, name: string, target: string, caller: Caller): Promise<Inode> {
    await this.checkFree(parent, name);
    // Neither a header nor what others read as text can carry it.
    if (!target.isWellFormed()) throw new DriverError("bad_argument", "the target is not valid UTF-8");
    const inode = this.make(parent, name, S_IFLNK | 0o777, caller);
    inode.symlinkTarget = target;
    await this.#announced(inode, () => this.#putObject(inode, Buffer.from(target)));
    return inode;
  }

  async mknod(parent: Inode, name: string, mode: number, rdev: number, caller: Caller): Promise<Inode> {
    await this.checkFree(parent, name);
    const type = mode & S_IFMT;
    const inode = this.make(parent, name, (type === 0 ? S_IFREG : type) | (mode & PERMISSIONS), caller, rdev);
    await this.#announced(inode, () => this.#putObject(inode, new Uint8Array(0)));
    return inode;
  }

  /** link(2). When it returns, the object stands under both names. */
  async link(inode: Inode, parent: Inode, name: string): Promise<Inode> {
    if (inode.kind === "dir") throw new DriverError("not_permitted", "a directory has one name");
    await this.checkFree(parent, name);
    const place: Place = { parent, name };
    if (inode.unnamed) {
      await inode.lock.run(() => this.#nameFirst(inode, place));
      return inode;
    }
    await inode.lock.run(async () => {
      if (inode.detached) throw new DriverError("not_found", `${inode.name} was removed`);
      await this.#lookup.complete(inode);
      inode.attributes = { ...attributesOf(inode), ctime: this.now() };
      await this.#uploads.upload(inode);
      if (!inode.version) throw new DriverError("stale", `${inode.name} has no object`);
      inode.version = { ...inode.version, metadata: withTimes(inode.version.metadata, attrOf(inode)) };
      await copyTo(this.#context, inode, place);
      this.#context.inodes.addPlace(inode, place);
      Object.assign(this.#lookup.directoryOf(parent).obtain(name), { inode, prefix: false });
    });
    touch(parent, this.now());
    return inode;
  }

  /** The first name of an O_TMPFILE: it is in the bucket when link returns, or soon where nobody waits. Under the inode's lock. */
  async #nameFirst(inode: Inode, { parent, name }: Place): Promise<void> {
    const { inodes } = this.#context;
    inode.unnamed = false;
    inode.detached = false;
    inode.attributes = { ...attributesOf(inode), ctime: this.now() };
    if (inode.content !== undefined) inode.content.exclusive = true;
    inodes.move(inode, parent, name);
    this.enter(inode);
    recordDirty(this.#context, inode);
    if (this.#uploads.defer(inode)) return;
    try {
      await this.#uploads.upload(inode);
    } catch (error) {
      removeName(this.#lookup.directoryOf(parent), inode);
      this.#context.state.dropDirty(inode.node);
      inodes.detach(inode);
      throw error;
    }
  }

  async #putObject(inode: Inode, body: Uint8Array): Promise<void> {
    const { store, options, conditions } = this.#context;
    const key = pathKey(options.prefix, inode);
    const metadata = storedMetadata(inode);
    const headers = options.storageClass === undefined ? {} : { storageClass: options.storageClass };
    const condition = conditions.putIfNoneMatch ? { ifNoneMatch: "*" as const } : {};
    const { etag, dateMs } = await store.put(key, body, { headers, metadata, ...condition });
    inode.version = { etag, size: body.length, lastModified: dateMs, headers, metadata };
    this.#uploads.settle(inode, key);
  }

  /** Runs the request that makes the inode's object; on failure the inode never was. */
  async #announced(inode: Inode, request: () => Promise<void>): Promise<void> {
    const parent = inode.parent as Inode;
    const done = this.#lookup.directoryOf(parent).beginChange(inode.name);
    try {
      await request();
      this.enter(inode);
    } catch (error) {
      this.#context.inodes.detach(inode);
      throw error;
    } finally {
      done();
    }
  }

  async unlink(parent: Inode, name: string): Promise<void> {
    this.checkName(parent, name);
    const inode = await this.#require(parent, name);
    if (inode.kind === "dir") throw new DriverError("is_dir", `${name} is a directory`);
    await inode.lock.run(() => (inode.others === undefined ? this.#unlinkLocked(parent, inode) : this.#unlinkOne(inode, { parent, name })));
    await this.#uploads.forget(inode);
    await this.keepParent(parent);
  }

  async #unlinkLocked(parent: Inode, inode: Inode): Promise<void> {
    const { options, state, attrs, inodes } = this.#context;
    const directory = this.#lookup.directoryOf(parent);
    const done = directory.beginChange(inode.name);
    try {
      await this.#uploads.abandonSending(inode);
      if (inode.detached) throw new DriverError("stale", `${inode.name} was replaced elsewhere`);
      const key = pathKey(options.prefix, inode);
      const etag = await this.#uploads.objectOf(inode, key);
      if (etag !== undefined) {
        await this.#files.keepForOpenHandles(inode);
        await this.#removeObject(parent, inode, key, etag);
        attrs.drop(key);
      }
      state.dropDirty(inode.node);
      removeName(directory, inode);
      touch(parent, this.now());
      inodes.detach(inode);
    } catch (error) {
      distrustAfter(error, inode, directory);
      throw error;
    } finally {
      done();
    }
  }

  /** Waits for the bucket where the file is changed here too: of such a one the journal must tell what became of its object. */
  #removeObject(parent: Inode, inode: Inode, key: string, etag: Etag): Promise<void> {
    const { removals, kernel } = this.#context;
    const { node, name, content, version } = inode;
    if (content?.dirty !== undefined || version?.etag !== etag) return this.#uploads.removing(inode, () => removals.removeNow(key, etag));
    const { lastModified, metadata } = version;
    const { mtime, ctime } = metadata;
    return removals.remove({ node, key, etag, mtime, ctime, lastModified }, () => {
      this.#lookup.directoryOf(parent).expire();
      kernel.invalidateEntry(parent.node, name);
    });
  }

  /** One of several names. Under the inode's lock. */
  async #unlinkOne(inode: Inode, place: Place): Promise<void> {
    const { removals, options, attrs } = this.#context;
    const { parent, name } = place;
    const directory = this.#lookup.directoryOf(parent);
    const done = directory.beginChange(name);
    try {
      // What goes on under another name is sent there, and nothing of it is on its way to this one.
      await this.#uploads.upload(inode);
      const key = childKey(options.prefix, parent, name);
      const etag = directory.get(name)?.object?.etag;
      await this.#files.keepForOpenHandles(inode);
      await removals.removeNow(key, etag);
      attrs.drop(key);
      loseName(this.#context, inode, place, "removed");
      directory.children.delete(name);
      inode.attributes = { ...attributesOf(inode), ctime: this.now() };
      touch(parent, this.now());
    } catch (error) {
      distrustAfter(error, inode, directory);
      throw error;
    } finally {
      done();
    }
  }

  async #require(parent: Inode, name: string): Promise<Inode> {
    const inode = await this.#lookup.find(parent, name);
    if (inode === undefined) throw new DriverError("not_found", `no ${name} here`);
    return inode;
  }

  async rmdir(parent: Inode, name: string): Promise<void> {
    this.checkName(parent, name);
    const inode = await this.#require(parent, name);
    if (inode.kind !== "dir") throw new DriverError("not_dir", `${name} is not a directory`);
    await this.checkEmpty(inode);
    const { removals, options, attrs, inodes } = this.#context;
    const directory = this.#lookup.directoryOf(parent);
    const done = directory.beginChange(name);
    try {
      const key = directoryKey(options.prefix, inode);
      await removals.removeNow(key);
      attrs.drop(key);
      await this.#dropFolderMark(parent, name);
      removeName(directory, inode);
      touch(parent, this.now());
      inodes.detach(inode);
    } finally {
      done();
    }
    await this.keepParent(parent);
  }

  /** Before a directory moves: Hadoop's mark for it, which stands beside it, gives way to a marker of our own, which moves with it. */
  async replaceFolderMark(parent: Inode, inode: Inode): Promise<void> {
    if (!this.#lookup.directoryOf(parent).folderMarks.has(inode.name)) return;
    await this.#lookup.ensureAttributes(inode);
    if (!inode.version) await this.#attributes.putMarker(inode);
    await this.#dropFolderMark(parent, inode.name);
  }

  /** Only while it is empty: somebody's data may have such a key, or have come to it since the listing. */
  async #dropFolderMark(parent: Inode, name: string): Promise<void> {
    const { store, conditions, options } = this.#context;
    const { folderMarks } = this.#lookup.directoryOf(parent);
    if (!folderMarks.delete(name)) return;
    const key = folderMarkKey(childKey(options.prefix, parent, name));
    const found = await store.head(key).catch((error: unknown) => {
      if (!isFault(error, "not_found")) throw error;
    });
    if (found?.size === 0) await store.delete(key, conditions.deleteIfMatch ? { ifMatch: found.etag } : {});
  }

  /** Throws `not_empty` unless bucket and host know of nothing in the directory. */
  async checkEmpty(inode: Inode): Promise<void> {
    const { store, removals, options, clock } = this.#context;
    const prefix = directoryKey(options.prefix, inode);
    // One that fails makes the directory's listing void.
    await removals.settledUnder(prefix);
    const notEmpty = () => new DriverError("not_empty", `${inode.name} is not empty`);
    const directory = this.#lookup.directoryOf(inode);
    for (const child of directory.children.values()) if (child.inode?.local) throw notEmpty();
    // Seen whole within the TTL, and what was in it was removed here. What another host adds meanwhile stays: only the marker goes.
    if (directory.children.size === 0 && clock.now() - directory.listedAt < options.metadataTtlMs) return;
    const page = await store.list({ prefix, maxKeys: 2 });
    if (page.prefixes.length > 0 || page.objects.some(({ key }) => key !== prefix)) throw notEmpty();
  }

  /**
   * A directory that is only a part of keys would vanish with its last entry. It is given a marker then, so that what was a
   * directory stays one until somebody removes it.
   */
  async keepParent(parent: Inode): Promise<void> {
    const { directory } = parent;
    const key = directoryKey(this.#context.options.prefix, parent);
    if (parent.detached || key === "" || directory === undefined || directory.marker || parent.version) return;
    if (directory.children.size > 0) return;
    await this.#lookup.ensureAttributes(parent);
    if (!parent.version) await this.#attributes.putMarker(parent);
  }

  /** The key that `name` has, or would have. */
  keyOf(parent: Inode, name: string, kind: NodeKind): string {
    const key = childKey(this.#context.options.prefix, parent, name);
    return kind === "dir" ? `${key}/` : key;
  }
}

/**
 * Mode and ACLs of something that is made in `parent`, where the kernel leaves that to us. A mount for a group has one rule for all that is
 * in it, and inherits no ACLs.
 */
function initialAccess(
  parent: Inode,
  mode: number,
  { umask = 0 }: Caller,
  group: number | undefined,
): { readonly mode: number; readonly xattrs?: ReadonlyMap<string, Uint8Array> } {
  if ((mode & S_IFMT) === S_IFLNK) return { mode };
  const given = group === undefined ? parent.xattrs.get(DEFAULT_ACL) : undefined;
  const inherited = given === undefined ? undefined : inheritAcl(given, mode);
  if (given === undefined || inherited === undefined) return { mode: mode & ~umask };
  const xattrs = new Map<string, Uint8Array>();
  if (inherited.acl !== undefined) xattrs.set(ACCESS_ACL, inherited.acl);
  if ((mode & S_IFMT) === S_IFDIR) xattrs.set(DEFAULT_ACL, given);
  return { mode: inherited.mode, xattrs };
}

/** Somebody replaced it, or it may be gone: the kernel looks again, and the caller's next try means what is there. */
function distrustAfter(error: unknown, inode: Inode, directory: InodeDirectory): void {
  if (!isFault(error, "stale", "unavailable", "timed_out")) return;
  inode.validatedAt = 0;
  directory.expire();
}

/** Takes the inode's name out of its directory's list. */
export function removeName(directory: InodeDirectory, inode: Inode): void {
  if (directory.get(inode.name)?.inode === inode) directory.children.delete(inode.name);
}
