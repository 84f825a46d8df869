/**
 * `Rename`: S3 has no rename, so the object is copied to its new key and then removed from the old one; a directory's rename does
 * that for every key below it. Order makes a crash harmless: at each moment every content stands under at least one of its names.
 *
 * A file whose newest content is not in the bucket yet is not copied: it is uploaded under its new name, or, while its writer has
 * it open, just takes the new name along.
 */

import { ROOT_NODE } from "#core/brand.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { ContentId } from "#fuse/cache/content-cache.ts";
import { recordDirty } from "./content-opening.ts";
import type { VfsContext } from "./context.ts";
import type { Files } from "./files.ts";
import { RENAME_NOREPLACE } from "./filesystem.ts";
import type { Inode } from "./inode.ts";
import { touch } from "./inode-attributes.ts";
import { childKey, directoryKey } from "./key-names.ts";
import type { Lookup } from "./lookup.ts";
import { type Names, removeName } from "./names.ts";
import type { Uploads } from "./uploads.ts";

/** Copies of one directory's rename in flight. */
const PARALLEL_COPIES = 32;

interface Move {
  readonly inode: Inode;
  readonly from: Inode;
  readonly to: Inode;
  readonly oldName: string;
  readonly newName: string;
  readonly replaced: Inode | undefined;
}

export class Rename {
  readonly #context: VfsContext;
  readonly #lookup: Lookup;
  readonly #files: Files;
  readonly #names: Names;
  readonly #uploads: Uploads;

  constructor(context: VfsContext, parts: { lookup: Lookup; files: Files; names: Names; uploads: Uploads }) {
    this.#context = context;
    this.#lookup = parts.lookup;
    this.#files = parts.files;
    this.#names = parts.names;
    this.#uploads = parts.uploads;
  }

  /** rename(2) and renameat2(2) with RENAME_NOREPLACE; other flags are refused. */
  async rename(from: Inode, oldName: string, to: Inode, newName: string, flags: number): Promise<void> {
    if ((flags & ~RENAME_NOREPLACE) !== 0) throw new DriverError("bad_argument", "only RENAME_NOREPLACE is supported");
    this.#names.checkName(from, oldName);
    this.#names.checkName(to, newName);
    const move = await this.#prepare(from, oldName, to, newName, flags);
    if (move.inode === move.replaced) return;
    const { namespace } = this.#context;
    const doneFrom = this.#lookup.directoryOf(from).beginChange(oldName);
    const doneTo = this.#lookup.directoryOf(to).beginChange(newName);
    try {
      if (move.inode.kind === "dir") await namespace.exclusive(() => this.#moveDirectory(move));
      else await namespace.shared(() => move.inode.lock.run(() => this.#moveFile(move)));
    } catch (error) {
      for (const directory of [from.directory, to.directory]) directory?.expire();
      throw isFault(error, "not_found") ? new DriverError("stale", `${oldName} was removed elsewhere`, { cause: error }) : error;
    } finally {
      doneFrom();
      doneTo();
    }
    await this.#names.keepParent(from);
  }

  async #prepare(from: Inode, oldName: string, to: Inode, newName: string, flags: number): Promise<Move> {
    const inode = await this.#lookup.find(from, oldName);
    if (inode === undefined) throw new DriverError("not_found", `no ${oldName} here`);
    const replaced = await this.#lookup.find(to, newName);
    if (to.isWithin(inode)) throw new DriverError("bad_argument", "a directory cannot be moved into itself");
    if (replaced !== undefined && replaced !== inode) await this.#checkReplaceable(inode, replaced, flags);
    return { inode, from, to, oldName, newName, replaced };
  }

  async #checkReplaceable(inode: Inode, replaced: Inode, flags: number): Promise<void> {
    if ((flags & RENAME_NOREPLACE) !== 0) throw new DriverError("exists", `${replaced.name} is there already`);
    if (inode.kind === "dir" && replaced.kind !== "dir") throw new DriverError("not_dir", `${replaced.name} is not a directory`);
    if (inode.kind !== "dir" && replaced.kind === "dir") throw new DriverError("is_dir", `${replaced.name} is a directory`);
    if (replaced.kind === "dir") await this.#names.checkEmpty(replaced);
  }

  async #moveFile(move: Move): Promise<void> {
    const { inode, from, to, oldName, newName, replaced } = move;
    const { store, options, conditions, attrs } = this.#context;
    const oldKey = childKey(options.prefix, from, oldName);
    const newKey = childKey(options.prefix, to, newName);
    if (replaced !== undefined) await this.#files.keepForOpenHandles(replaced);
    const before = inode.version;
    if (this.#uploads.isDue(inode)) {
      await this.#moveUnsent(move);
    } else if (before) {
      const condition = conditions.copySourceIfMatch ? { sourceIfMatch: before.etag } : {};
      const { etag, dateMs } = await store.copy(oldKey, newKey, { sourceSize: before.size, ...condition });
      this.#place(move);
      inode.version = { ...before, etag, lastModified: dateMs };
      this.#carryContent(inode, { key: oldKey, etag: before.etag, size: before.size }, { key: newKey, etag, size: before.size });
      this.#uploads.settle(inode, newKey);
      recordDirty(this.#context, inode);
    }
    if (!before) return;
    await store.delete(oldKey);
    attrs.drop(oldKey);
  }

  /**
   * The newest content is here only. A writer that has it open will bring it to the new name at its close, if nothing stands
   * under the old one; otherwise it is uploaded now, so that the old object can go.
   */
  async #moveUnsent(move: Move): Promise<void> {
    const { inode, replaced } = move;
    const before = inode.version;
    this.#place(move);
    // What stands under the new name now is what an upload replaces.
    inode.version = replaced?.version ?? null;
    if (!before && (inode.content?.writers ?? 0) > 0 && !replaced?.version) {
      recordDirty(this.#context, inode);
      return;
    }
    await this.#uploads.upload(inode);
  }

  /** A cached copy of the content goes on under the new key: the bytes are the same. */
  #carryContent(inode: Inode, before: ContentId, after: ContentId): void {
    if (inode.content !== undefined) return;
    const { contents, spool } = this.#context;
    const path = spool.pathFor(spool.freshName());
    if (contents.surrender(before, path)) contents.adopt(after, path);
  }

  /** Changes the tree: the inode stands under its new name, what stood there is detached. */
  #place({ inode, from, to, oldName, newName, replaced }: Move): void {
    const { inodes } = this.#context;
    const source = this.#lookup.directoryOf(from);
    const target = this.#lookup.directoryOf(to);
    const object = source.get(oldName)?.object;
    removeName(source, inode);
    if (replaced !== undefined) {
      removeName(target, replaced);
      this.#context.state.dropDirty(replaced.node);
      inodes.detach(replaced);
    }
    inodes.move(inode, to, newName);
    const child = target.obtain(newName);
    child.inode = inode;
    child.prefix = inode.kind === "dir";
    child.object = inode.kind === "dir" ? undefined : object;
    const now = this.#names.now();
    touch(from, now);
    touch(to, now);
  }

  async #moveDirectory(move: Move): Promise<void> {
    const { inode, from, to, oldName, newName } = move;
    const { options, store } = this.#context;
    await this.#flushBelow(inode);
    const oldPrefix = `${childKey(options.prefix, from, oldName)}/`;
    const newPrefix = `${childKey(options.prefix, to, newName)}/`;
    const keys = await this.#keysBelow(oldPrefix);
    await this.#copyAll(keys, oldPrefix, newPrefix);
    this.#place(move);
    this.#expireBelow(inode);
    const failures = await store.deleteMany(keys.map(({ key }) => key));
    const failure = failures[0];
    if (failure !== undefined) throw DriverError.from(failure.error);
    if (inode.version && directoryKey(options.prefix, inode) !== "") inode.validatedAt = 0;
  }

  /** What is dirty below goes to the bucket first; files that were never there just follow their parents' new name. */
  async #flushBelow(directory: Inode): Promise<void> {
    for (const inode of this.#context.inodes.all()) {
      if (!inode.isWithin(directory) || !this.#uploads.isDue(inode)) continue;
      await inode.lock.run(() => this.#uploads.upload(inode));
    }
  }

  async #keysBelow(prefix: string): Promise<{ key: string; size: number }[]> {
    const { store } = this.#context;
    const found: { key: string; size: number }[] = [];
    let continuation: string | undefined;
    do {
      const page = await store.list({ prefix, ...(continuation === undefined ? {} : { continuation }) });
      for (const { key, size } of page.objects) found.push({ key, size });
      continuation = page.next;
    } while (continuation !== undefined);
    return found;
  }

  /** All or nothing as far as the bucket allows: when a copy fails, the copies that were made are removed again. */
  async #copyAll(keys: readonly { key: string; size: number }[], oldPrefix: string, newPrefix: string): Promise<void> {
    const { store } = this.#context;
    const made: string[] = [];
    let next = 0;
    const worker = async () => {
      for (let item = keys[next++]; item !== undefined; item = keys[next++]) {
        const target = newPrefix + item.key.slice(oldPrefix.length);
        await this.#copy(item.key, item.size, target);
        made.push(target);
      }
    };
    const results = await Promise.allSettled(Array.from({ length: PARALLEL_COPIES }, worker));
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return;
    await store.deleteMany(made);
    throw failed.reason;
  }

  /** versitygw refuses to copy a key that ends in "/"; a marker is empty, so it is as good to put it anew. */
  async #copy(source: string, size: number, target: string): Promise<void> {
    const { store } = this.#context;
    if (size === 0 && source.endsWith("/")) {
      const { headers, metadata } = await store.head(source);
      await store.put(target, new Uint8Array(0), { headers, metadata });
    } else {
      await store.copy(source, target, { sourceSize: size });
    }
  }

  /** Keys and times below are new: everything known by listing is asked again. */
  #expireBelow(directory: Inode): void {
    for (const inode of this.#context.inodes.all()) {
      if (!inode.isWithin(directory)) continue;
      inode.directory?.expire();
      if (inode.node !== ROOT_NODE && !inode.local) inode.validatedAt = 0;
      if (inode.content?.dirty !== undefined) recordDirty(this.#context, inode);
    }
  }
}
