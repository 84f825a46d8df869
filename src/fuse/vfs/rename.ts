/**
 * `Rename`: S3 has no rename, so the object is copied to its new key and then removed from the old one; a directory's rename does
 * that for every key below it. Order makes a crash harmless: at each moment every content stands under at least one of its names.
 *
 * A file whose newest content is not in the bucket yet is not copied: it is uploaded under its new name, or, while its writer has
 * it open, just takes the new name along.
 */

import { type Etag, ROOT_NODE } from "#core/brand.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { PutResult } from "#s3/object-store.ts";
import { followVersion, recordDirty } from "./content-opening.ts";
import type { VfsContext } from "./context.ts";
import { Exchange } from "./exchange.ts";
import type { Files } from "./files.ts";
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from "./filesystem.ts";
import { isMainPlace, loseName, makeMain } from "./hard-links.ts";
import type { Inode, Place } from "./inode.ts";
import { attributesOf, touch } from "./inode-attributes.ts";
import { childKey, directoryKey, pathKey } from "./key-names.ts";
import type { Lookup } from "./lookup.ts";
import { copySurely, deleteSurely, surely } from "./lost-answers.ts";
import { type Names, removeName } from "./names.ts";
import { type Attributes, withTimes } from "./object-metadata.ts";
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

/** A key as listed below a directory. */
interface Listed {
  readonly key: string;
  readonly size: number;
  readonly etag: Etag;
}

interface TreeMove {
  readonly oldPrefix: string;
  readonly newPrefix: string;
  /** The directory's own attributes from now on. */
  readonly renamed: Attributes;
}

interface Copied {
  readonly target: string;
  readonly result: PutResult;
}

export class Rename {
  readonly #context: VfsContext;
  readonly #lookup: Lookup;
  readonly #files: Files;
  readonly #names: Names;
  readonly #uploads: Uploads;
  readonly #exchange: Exchange;

  constructor(context: VfsContext, parts: { lookup: Lookup; files: Files; names: Names; uploads: Uploads }) {
    this.#context = context;
    this.#lookup = parts.lookup;
    this.#files = parts.files;
    this.#names = parts.names;
    this.#uploads = parts.uploads;
    const moveTo = (inode: Inode, from: Place, to: Place) => this.#moveTo(inode, from, to);
    this.#exchange = new Exchange(context, { ...parts, moveTo });
  }

  /** rename(2), and renameat2(2) with RENAME_NOREPLACE or RENAME_EXCHANGE; other flags are refused. */
  async rename(from: Inode, oldName: string, to: Inode, newName: string, flags: number): Promise<void> {
    if (![0, RENAME_NOREPLACE, RENAME_EXCHANGE].includes(flags)) {
      throw new DriverError("bad_argument", "only RENAME_NOREPLACE and RENAME_EXCHANGE are supported, one of them");
    }
    this.#names.checkName(from, oldName);
    this.#names.checkName(to, newName);
    if (flags === RENAME_EXCHANGE) {
      const sides = [
        { parent: from, name: oldName },
        { parent: to, name: newName },
      ] as const;
      return this.#context.namespace.exclusive(() => this.#exchange.exchange(...sides, this.#names.now()));
    }
    const move = await this.#prepare(from, oldName, to, newName, flags);
    if (move.inode === move.replaced) return;
    const { namespace } = this.#context;
    const doneFrom = this.#lookup.directoryOf(from).beginChange(oldName);
    const doneTo = this.#lookup.directoryOf(to).beginChange(newName);
    try {
      if (move.inode.kind === "dir") await namespace.exclusive(() => this.#moveDirectory(move));
      else await namespace.shared(() => move.inode.lock.run(() => this.#moveOver(move)));
    } catch (error) {
      for (const directory of [from.directory, to.directory]) directory?.expire();
      throw isFault(error, "not_found") ? new DriverError("stale", `${oldName} was removed elsewhere`, { cause: error }) : error;
    } finally {
      doneFrom();
      doneTo();
    }
    if (move.replaced?.detached) await this.#uploads.forget(move.replaced);
    await this.#uploads.letGo(move.inode);
    await this.#names.keepParent(from);
  }

  /** To a name that is free, while nothing else changes names. */
  async #moveTo(inode: Inode, { parent: from, name: oldName }: Place, { parent: to, name: newName }: Place): Promise<void> {
    const move = { inode, from, to, oldName, newName, replaced: undefined };
    if (inode.kind === "dir") await this.#moveDirectory(move);
    else await inode.lock.run(() => this.#moveOver(move));
  }

  /** Nothing may bring the replaced file back: what is under way of it is waited for, and nothing new begins. */
  async #moveOver(move: Move): Promise<void> {
    const { inode, replaced, from, oldName } = move;
    await this.#uploads.beforeMove(inode);
    if (inode.others !== undefined) {
      // Sent under the name that it has, and moved by the name that is asked for.
      await this.#uploads.upload(inode);
      makeMain(this.#context, inode, { parent: from, name: oldName });
    }
    if (inode.detached) throw new DriverError("stale", `${inode.name} was replaced elsewhere`);
    if (replaced === undefined) return this.#moveFile(move);
    await replaced.lock.run(async () => {
      await this.#uploads.abandonSending(replaced);
      await this.#leaveToOthers(replaced, { parent: move.to, name: move.newName });
      await this.#moveFile(move);
    });
  }

  /** A replaced file that has other names goes on under these. Under its lock. */
  async #leaveToOthers(replaced: Inode, place: Place): Promise<void> {
    const [next] = replaced.others ?? [];
    if (next === undefined) return;
    await this.#uploads.upload(replaced);
    await this.#files.keepForOpenHandles(replaced);
    if (isMainPlace(replaced, place)) makeMain(this.#context, replaced, next);
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
    await this.#lookup.complete(inode);
    const before = inode.version;
    // Of an upload whose answer was lost.
    const isLeft = !before && (await this.#uploads.objectOf(inode, oldKey)) !== undefined;
    if (this.#uploads.isDue(inode)) {
      // Written to since: a successor could not tell what is taken from the old name's version and what stands under the new name.
      await inode.content?.dirty?.fill();
      await this.#moveUnsent(move);
    } else if (before) {
      const condition = conditions.copySourceIfMatch ? { sourceIfMatch: before.etag } : {};
      const renamed = { ...attributesOf(inode), ctime: this.#names.now() };
      // The copy has another Last-Modified: what showed that as its mtime is given one.
      const replace = { headers: before.headers, metadata: withTimes(before.metadata, renamed) };
      const copied = await copySurely(store, oldKey, newKey, { sourceSize: before.size, replace, ...condition });
      this.#shift(move);
      this.#complete(move);
      inode.attributes = renamed;
      inode.version = { ...before, metadata: replace.metadata };
      this.#follow(inode, oldKey, newKey, copied);
      this.#uploads.settle(inode, newKey);
      recordDirty(this.#context, inode);
    }
    if (!before && !isLeft) return;
    await deleteSurely(store, oldKey);
    attrs.drop(oldKey);
  }

  /**
   * The file is here only. A writer that has it open will bring it to the new name at its close, if nothing stands there; with
   * `durability=local` it goes there soon, in place of what stands there. Otherwise it is uploaded now. When that fails the file keeps
   * its old name.
   */
  async #moveUnsent(move: Move): Promise<void> {
    const { inode, replaced } = move;
    const { content, version } = inode;
    const { durability } = this.#context.options;
    const waits = this.#uploads.movesUnsent(inode) && (durability === "local" || !replaced?.version);
    const undo = this.#shift(move);
    try {
      if (waits) this.#takePlace(inode, replaced);
      else if (content !== undefined) content.replaces = replaced?.version ?? null;
      if (waits) recordDirty(this.#context, inode, replaced?.node);
      else await this.#uploads.upload(inode);
    } catch (error) {
      if (waits) inode.version = version;
      if (content !== undefined) content.replaces = undefined;
      // Detached: another host was at the new name first, and the data was put aside.
      if (!inode.detached) undo();
      throw error;
    } finally {
      if (content !== undefined) content.replaces = undefined;
    }
    this.#complete(move);
  }

  /** What stands under the unsent file's new name is what its upload will replace; nothing else of that passes to it. */
  #takePlace(inode: Inode, replaced: Inode | undefined): void {
    const { storageClass } = this.#context.options;
    const headers = storageClass === undefined ? {} : { storageClass };
    if (replaced?.version) inode.version = { ...replaced.version, headers, metadata: {} };
    inode.attributes = { ...attributesOf(inode), ctime: this.#names.now() };
    this.#uploads.defer(inode);
  }

  /** The same content stands under another key: known attributes, cached bytes and open readers go along. */
  #follow(inode: Inode, oldKey: string, newKey: string, { etag, dateMs }: PutResult): void {
    const { version } = inode;
    if (!version) return;
    const { size } = version;
    inode.version = { ...version, etag, lastModified: dateMs };
    this.#context.attrs.put(newKey, inode.version, { fromPut: true });
    followVersion(this.#context, inode, { key: oldKey, etag: version.etag, size }, { key: newKey, etag, size });
  }

  /** Puts the inode under its new name, in front of what stands there. Answers what takes it back. */
  #shift({ inode, from, to, oldName, newName, replaced }: Move): () => void {
    const { inodes } = this.#context;
    const source = this.#lookup.directoryOf(from);
    const target = this.#lookup.directoryOf(to);
    const oldObject = source.get(oldName)?.object;
    const newObject = target.get(newName)?.object;
    const prefix = inode.kind === "dir";
    removeName(source, inode);
    inodes.move(inode, to, newName);
    Object.assign(target.obtain(newName), { inode, prefix, object: prefix ? undefined : oldObject });
    return () => {
      if (replaced === undefined) target.children.delete(newName);
      else Object.assign(target.obtain(newName), { inode: replaced, prefix: replaced.kind === "dir", object: newObject });
      inodes.move(inode, from, oldName);
      Object.assign(source.obtain(oldName), { inode, prefix, object: oldObject });
      recordDirty(this.#context, inode);
    };
  }

  /** The rename holds: what stood under the new name is gone. */
  #complete({ inode, from, to, newName, replaced }: Move): void {
    const now = this.#names.now();
    if (replaced?.others !== undefined) {
      loseName(this.#context, replaced, { parent: to, name: newName }, "removed");
      this.#lookup.directoryOf(to).obtain(newName).inode = inode;
      replaced.attributes = { ...attributesOf(replaced), ctime: now };
    } else if (replaced !== undefined) {
      this.#context.state.dropDirty(replaced.node);
      this.#context.inodes.detach(replaced);
    }
    touch(from, now);
    touch(to, now);
  }

  async #moveDirectory(move: Move): Promise<void> {
    const { inode, from, to, oldName, newName } = move;
    const { options, store } = this.#context;
    await this.#flushBelow(inode);
    await this.#names.replaceFolderMark(from, inode);
    const oldPrefix = `${childKey(options.prefix, from, oldName)}/`;
    const newPrefix = `${childKey(options.prefix, to, newName)}/`;
    const keys = await this.#keysBelow(oldPrefix);
    const held = this.#versionsBelow(inode, keys);
    await this.#lookup.ensureAttributes(inode);
    const renamed = { ...attributesOf(inode), ctime: this.#names.now() };
    const copies = await this.#copyAll(keys, { oldPrefix, newPrefix, renamed });
    this.#shift(move);
    this.#complete(move);
    inode.attributes = renamed;
    for (const [key, { result }] of copies) {
      const file = held.get(key);
      if (file !== undefined) this.#follow(file, key, newPrefix + key.slice(oldPrefix.length), result);
    }
    this.#expireBelow(inode);
    const failures = await store.deleteMany(keys.map(({ key }) => key));
    const failure = failures[0];
    if (failure !== undefined) throw DriverError.from(failure.error);
    if (inode.version && directoryKey(options.prefix, inode) !== "") inode.validatedAt = 0;
  }

  /** What is dirty below goes to the bucket first, unless nobody waits for it: its key is about to change. */
  async #flushBelow(directory: Inode): Promise<void> {
    for (const inode of [...this.#context.inodes.all()]) {
      if (!this.#uploads.isDue(inode) && inode.content?.dirty === undefined) continue;
      if (!inode.isWithin(directory)) continue;
      await inode.lock.run(() => this.#uploads.beforeParentMoves(inode));
    }
  }

  /** Files below whose known version is the one that was listed, by key. */
  #versionsBelow(directory: Inode, keys: readonly Listed[]): Map<string, Inode> {
    const etags = new Map(keys.map(({ key, etag }) => [key, etag]));
    const held = new Map<string, Inode>();
    for (const inode of this.#context.inodes.all()) {
      if (!inode.version || inode.kind === "dir" || inode.detached || !inode.isWithin(directory)) continue;
      const key = pathKey(this.#context.options.prefix, inode);
      if (etags.get(key) === inode.version.etag) held.set(key, inode);
    }
    return held;
  }

  async #keysBelow(prefix: string): Promise<Listed[]> {
    const { store } = this.#context;
    const found: Listed[] = [];
    let continuation: string | undefined;
    do {
      const page = await store.list({ prefix, ...(continuation === undefined ? {} : { continuation }) });
      for (const { key, size, etag } of page.objects) found.push({ key, size, etag });
      continuation = page.next;
    } while (continuation !== undefined);
    return found;
  }

  /** All or nothing as far as the bucket allows: when a copy fails, the copies that were made are removed again. */
  async #copyAll(keys: readonly Listed[], { oldPrefix, newPrefix, renamed }: TreeMove): Promise<Map<string, Copied>> {
    const copies = new Map<string, Copied>();
    let next = 0;
    const worker = async () => {
      for (let item = keys[next++]; item !== undefined; item = keys[next++]) {
        const { key, size } = item;
        const target = newPrefix + key.slice(oldPrefix.length);
        try {
          copies.set(key, { target, result: await this.#copy(key, size, target, key === oldPrefix ? renamed : undefined) });
        } catch (error) {
          next = keys.length;
          throw error;
        }
      }
    };
    const results = await Promise.allSettled(Array.from({ length: PARALLEL_COPIES }, worker));
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return copies;
    await this.#context.store.deleteMany([...copies.values()].map(({ target }) => target));
    throw failed.reason;
  }

  /** versitygw refuses to copy a key that ends in "/"; a marker is empty, so it is as good to put it anew. */
  async #copy(source: string, size: number, target: string, times?: Attributes): Promise<PutResult> {
    const { store } = this.#context;
    if (size === 0 && source.endsWith("/")) {
      const { etag, headers, metadata: before } = await store.head(source);
      const metadata = times === undefined ? before : withTimes(before, times);
      const put = () => store.put(target, new Uint8Array(0), { headers, metadata });
      return surely(store, target, put, async () => ({ size, etag, metadata }));
    }
    return copySurely(store, source, target, { sourceSize: size });
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
