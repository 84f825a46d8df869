/**
 * `Exchange`: renameat2(2) with RENAME_EXCHANGE. The store has no exchange, so the first object is copied aside, and each one over the
 * other. Where one of the two is a directory, three renames do the same. At each moment both contents stand under some name; when an engine
 * dies in between, one of them may be under the name beside, `.exchange-...`.
 */
import { randomUUID } from "node:crypto";
import { DriverError } from "#core/errors.ts";
import type { PutResult, UserMetadata } from "#s3/object-store.ts";
import { followVersion, recordDirty } from "./content-opening.ts";
import type { VfsContext } from "./context.ts";
import type { Files } from "./files.ts";
import { makeMain } from "./hard-links.ts";
import type { Inode, Place, Version } from "./inode.ts";
import { attributesOf, touch } from "./inode-attributes.ts";
import { childKey } from "./key-names.ts";
import type { Lookup } from "./lookup.ts";
import { copySurely, deleteSurely } from "./lost-answers.ts";
import { type Attributes, withTimes } from "./object-metadata.ts";
import { isSameTime } from "./own-version.ts";
import type { Uploads } from "./uploads.ts";

interface Side {
  readonly inode: Inode;
  readonly place: Place;
  readonly key: string;
  readonly version: Version;
  /** From now on. */
  readonly attributes: Attributes;
}

/** Renames an inode to a name that is free, while nothing else changes names. */
type MoveTo = (inode: Inode, from: Place, to: Place) => Promise<void>;

export class Exchange {
  readonly #context: VfsContext;
  readonly #lookup: Lookup;
  readonly #files: Files;
  readonly #uploads: Uploads;
  readonly #moveTo: MoveTo;

  constructor(context: VfsContext, parts: { lookup: Lookup; files: Files; uploads: Uploads; moveTo: MoveTo }) {
    this.#context = context;
    this.#moveTo = parts.moveTo;
    this.#lookup = parts.lookup;
    this.#files = parts.files;
    this.#uploads = parts.uploads;
  }

  /** Both names must be there. Throws `bad_argument` where one is below the other. While nothing else changes names. */
  async exchange(a: Place, b: Place, now: Attributes["ctime"]): Promise<void> {
    const [first, second] = [await this.#find(a), await this.#find(b)];
    if (first === second) return;
    if (a.parent.isWithin(second) || b.parent.isWithin(first))
      throw new DriverError("bad_argument", "a directory cannot be exchanged with what is below it");
    const done = [a, b].map(({ parent, name }) => this.#lookup.directoryOf(parent).beginChange(name));
    try {
      if (first.kind === "dir" || second.kind === "dir") await this.#swapTrees(first, a, second, b);
      else await this.#swapFiles(first, a, second, b, now);
    } finally {
      for (const { parent } of [a, b]) parent.directory?.expire();
      for (const end of done) end();
    }
    for (const { parent } of [a, b]) touch(parent, now);
  }

  async #swapFiles(first: Inode, a: Place, second: Inode, b: Place, now: Attributes["ctime"]): Promise<void> {
    const [low, high] = first.node < second.node ? [first, second] : [second, first];
    await low.lock.run(() =>
      high.lock.run(async () => {
        const sides = [await this.#prepare(first, a, now), await this.#prepare(second, b, now)] as const;
        await this.#swap(...sides);
      }),
    );
  }

  /** What fails is undone, in the other order. */
  async #swapTrees(first: Inode, a: Place, second: Inode, b: Place): Promise<void> {
    const aside = { parent: a.parent, name: asideName() };
    const steps = [
      [first, a, aside],
      [second, b, a],
      [first, aside, b],
    ] as const;
    const done = this.#lookup.directoryOf(aside.parent).beginChange(aside.name);
    const undo: (() => Promise<void>)[] = [];
    try {
      for (const file of [first, second]) if (file.kind !== "dir") await file.lock.run(() => this.#uploads.upload(file));
      for (const [inode, from, to] of steps) {
        // A move that fails at its end, when the old keys are removed, has taken place: what is there must not be written over.
        undo.unshift(async () => {
          if (inode.parent === to.parent && inode.name === to.name) await this.#moveTo(inode, to, from);
        });
        await this.#moveTo(inode, from, to);
      }
    } catch (error) {
      for (const back of undo) await back();
      throw error;
    } finally {
      done();
    }
  }

  async #find({ parent, name }: Place): Promise<Inode> {
    const inode = await this.#lookup.find(parent, name);
    if (inode === undefined) throw new DriverError("not_found", `no ${name} here`);
    return inode;
  }

  /** Everything of the file is in its object, and what is open no longer needs it under its key. */
  async #prepare(inode: Inode, place: Place, ctime: Attributes["ctime"]): Promise<Side> {
    await this.#uploads.upload(inode);
    await this.#lookup.complete(inode);
    await this.#files.keepForOpenHandles(inode);
    makeMain(this.#context, inode, place);
    const { version, detached } = inode;
    if (detached || !version) throw new DriverError("stale", `${place.name} was replaced elsewhere`);
    const key = childKey(this.#context.options.prefix, place.parent, place.name);
    return { inode, place, key, version, attributes: { ...attributesOf(inode), ctime } };
  }

  async #swap(a: Side, b: Side): Promise<void> {
    const { store, options } = this.#context;
    const aside = childKey(options.prefix, a.place.parent, asideName());
    await this.#copy(a, a.key, aside);
    let bAtA: PutResult | undefined;
    let aAtB: PutResult;
    try {
      bAtA = await this.#copy(b, b.key, a.key);
      aAtB = await this.#copyFrom(a, aside, b.key);
    } catch (error) {
      // A copy whose answer is lost may have been carried out: then the first name has the second's only content. Another host's stays.
      if (bAtA !== undefined && isSameTime((await store.head(b.key)).metadata, metadataOf(a))) await this.#copyFrom(b, a.key, b.key);
      await this.#copyFrom(a, aside, a.key);
      await deleteSurely(store, aside);
      throw error;
    }
    this.#place(a, b.place, { key: b.key, ...aAtB });
    this.#place(b, a.place, { key: a.key, ...bAtA });
    await deleteSurely(store, aside);
  }

  /** From another key, where the content has another ETag. */
  async #copyFrom(side: Side, from: string, to: string): Promise<PutResult> {
    const { etag } = await this.#context.store.head(from);
    return this.#copy({ ...side, version: { ...side.version, etag } }, from, to);
  }

  #copy(side: Side, from: string, to: string): Promise<PutResult> {
    const { store, conditions } = this.#context;
    const { version } = side;
    const replace = { headers: version.headers, metadata: metadataOf(side) };
    const condition = conditions.copySourceIfMatch ? { sourceIfMatch: version.etag } : {};
    return copySurely(store, from, to, { sourceSize: version.size, replace, ...condition });
  }

  #place(side: Side, { parent, name }: Place, at: PutResult & { readonly key: string }): void {
    const { inode, key: oldKey, version, attributes } = side;
    const { size } = version;
    this.#context.inodes.move(inode, parent, name);
    inode.attributes = attributes;
    inode.version = { ...version, etag: at.etag, lastModified: at.dateMs, metadata: metadataOf(side) };
    const object = { key: at.key, size, etag: at.etag, lastModified: at.dateMs };
    Object.assign(this.#lookup.directoryOf(parent).obtain(name), { inode, prefix: false, object });
    followVersion(this.#context, inode, { key: oldKey, etag: version.etag, size }, { key: at.key, etag: at.etag, size });
    this.#uploads.settle(inode, at.key);
    recordDirty(this.#context, inode);
  }
}

/** What its object gets. */
function metadataOf({ version, attributes }: Side): UserMetadata {
  return withTimes(version.metadata, attributes);
}

function asideName(): string {
  return `.exchange-${randomUUID()}`;
}
