/**
 * `Lookup`: from names to inodes, by as few requests as will do.
 *
 * A directory that fits one LIST page is listed whole on the first look-up: that page then answers every name in it, present or
 * missing, for the metadata TTL. In larger ones each name is asked for itself (HEAD of the key and a LIST of one below it).
 * A LIST has no user metadata: that comes from the listing where the server adds it, from the attribute cache, or by HEAD, and
 * when one entry of a listed directory needs a HEAD its neighbours get theirs in parallel.
 */
import { isDeepStrictEqual } from "node:util";
import { msOfTimespec } from "#core/clock.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { ListedObject, ObjectInfo } from "#s3/object-store.ts";
import type { VfsContext } from "./context.ts";
import { Directory, type Listing } from "./directory.ts";
import { isCopy, isMainPlace, loseName } from "./hard-links.ts";
import type { Inode, InodeChild, InodeDirectory, Version } from "./inode.ts";
import { childKey, directoryKey, folderMarkedBy, folderMarkKey, isShowable, pathKey, RESERVED_NAME } from "./key-names.ts";
import { kindOf } from "./mode.ts";
import { decodeAttributes, decodeXattrs, symlinkTarget } from "./object-metadata.ts";
import { WalkAhead } from "./walk-ahead.ts";

/** Names of a directory this large are looked up one by one, for this long before its size is looked at again. */
const BIG_FOR_MS = 60_000;
/** Directories may be believed this many times longer than files: what is in them is checked by their own listing. */
const DIRECTORY_TTL_FACTOR = 10;
/**
 * The listing of its parent shows that a directory is there, and nothing of its owner, mode and times: its marker does, which is seen
 * when it is listed itself, or after this many TTLs asked for. So a walk that stats directories costs no request each, mostly.
 */
const MARKER_TTL_FACTOR = 60;

type Pages = "first" | "all";

export class Lookup {
  readonly #context: VfsContext;
  readonly #heads = new Map<string, Promise<Version | undefined>>();
  readonly #ahead = new WalkAhead({
    head: (parent, child) => this.#headSoon(parent, child),
    list: (parent, child) => this.#listSoon(parent, child),
  });

  constructor(context: VfsContext) {
    this.#context = context;
  }

  /** How long the kernel and we ourselves believe what is known of this inode, ms. */
  ttlMs(inode: Inode): number {
    const { metadataTtlMs } = this.#context.options;
    return inode.kind === "dir" ? metadataTtlMs * DIRECTORY_TTL_FACTOR : metadataTtlMs;
  }

  directoryOf(inode: Inode): InodeDirectory {
    if (inode.kind !== "dir") throw new DriverError("not_dir", `${inode.name} is not a directory`);
    inode.directory ??= new Directory();
    return inode.directory;
  }

  /** The inode of `name`, no older than the TTL; undefined when there is none. */
  async find(parent: Inode, name: string): Promise<Inode | undefined> {
    if (!isShowable(name) || isReserved(parent, name)) return undefined;
    const directory = this.directoryOf(parent);
    const known = directory.get(name)?.inode;
    if (known !== undefined && (known.local || this.#isFresh(known))) return known;
    if (!(await this.#ensureListed(parent, directory, "first"))) return this.#findAlone(parent, directory, name);
    const child = directory.get(name);
    return child === undefined ? undefined : this.resolve(parent, child);
  }

  #isFresh(inode: Inode): boolean {
    return inode.attributes !== undefined && this.#context.clock.now() - inode.validatedAt < this.ttlMs(inode);
  }

  /** Makes sure that the inode still is what its name means. Throws `stale` when it is gone or replaced. */
  async revalidate(inode: Inode): Promise<void> {
    if (inode.detached || inode.local || this.#isFresh(inode)) return;
    if (inode.parent === null) return this.#revalidateRoot(inode);
    const found = await this.find(inode.parent, inode.name);
    if (found !== inode) throw new DriverError("stale", `${inode.name} was removed or replaced`);
  }

  /** A mount's root is always there; only its marker may change, where it has one. */
  async #revalidateRoot(root: Inode): Promise<void> {
    await this.ensureAttributes(root);
  }

  /** Makes the attributes of a directory known, however old: after a take-over, or when its marker was replaced elsewhere, they are not. */
  async ensureAttributes(inode: Inode): Promise<void> {
    if (inode.attributes !== undefined) return;
    const key = directoryKey(this.#context.options.prefix, inode);
    this.apply(inode, key === "" ? undefined : await this.#head(key));
  }

  /** Makes all headers of the inode's version known, before a request that replaces them: a listing shows only some. */
  async complete(inode: Inode): Promise<void> {
    const { version } = inode;
    if (!version?.listed) return;
    const key = pathKey(this.#context.options.prefix, inode);
    const whole = await this.#head(key);
    // Another version by now: the request's own condition will find out.
    if (inode.version === version && whole?.etag === version.etag) inode.version = whole;
  }

  /** Lists the directory whole (all pages) unless a listing within the TTL is there. */
  async listAll(inode: Inode): Promise<InodeDirectory> {
    const directory = this.directoryOf(inode);
    if (inode.detached) return directory;
    await this.#ensureListed(inode, directory, "all");
    this.#ahead.listed(inode);
    return directory;
  }

  /** True when the directory has a complete listing within the TTL after it. */
  async #ensureListed(inode: Inode, directory: InodeDirectory, pages: Pages): Promise<boolean> {
    const { clock, options } = this.#context;
    if (inode.detached) return true;
    if (clock.now() - directory.listedAt < options.metadataTtlMs) return true;
    if (pages === "first" && clock.now() < directory.bigUntil) return false;
    // With a TTL of 0 the listing that was just taken is the answer, so freshness is not asked again after it.
    const before = directory.listings;
    directory.listing ??= this.#list(inode, directory, pages).finally(() => {
      directory.listing = undefined;
    });
    await directory.listing;
    if (directory.listings !== before) return true;
    return pages === "all" ? this.#ensureListed(inode, directory, pages) : false;
  }

  async #list(inode: Inode, directory: InodeDirectory, pages: Pages): Promise<void> {
    const { store, options, clock } = this.#context;
    const prefix = directoryKey(options.prefix, inode);
    const since = directory.changes;
    // What a listing tells is as old as its first page.
    const at = clock.now();
    const objects = new Map<string, ListedObject>();
    const prefixes = new Set<string>();
    const marks = new Set<string>();
    let marker: ListedObject | null = null;
    let continuation: string | undefined;
    do {
      const page = await store.list({ prefix, delimiter: "/", ...(continuation === undefined ? {} : { continuation }) });
      for (const object of page.objects) {
        const name = object.key.slice(prefix.length);
        const folder = folderMarkedBy(name);
        if (name === "") marker = object;
        else if (folder !== undefined && object.size === 0 && !isReserved(inode, folder)) marks.add(folder);
        else if (isShowable(name) && !isReserved(inode, name)) objects.set(name, object);
      }
      for (const below of page.prefixes) {
        const name = below.slice(prefix.length, -1);
        if (isShowable(name) && !isReserved(inode, name)) prefixes.add(name);
      }
      continuation = page.next;
    } while (continuation !== undefined && pages === "all");
    const complete = continuation === undefined;
    if (complete) directory.folderMarks.clear();
    for (const name of marks) {
      directory.folderMarks.add(name);
      prefixes.add(name);
    }
    const listing: Listing = { since, objects, prefixes, complete, at };
    for (const gone of directory.merge(listing)) loseName(this.#context, gone.inode, { parent: inode, name: gone.name }, "superseded");
    directory.bigUntil = complete && objects.size + prefixes.size <= 1000 ? 0 : clock.now() + BIG_FOR_MS;
    directory.marker = marker;
    this.#applyMarker(inode, marker);
    if (objects.size + prefixes.size > 0 || marker !== null) inode.validatedAt = clock.now();
  }

  /** The directory's own attributes, as far as the listing of it tells: its marker is the first key in it. */
  #applyMarker(inode: Inode, marker: ListedObject | null): void {
    const held = inode.version;
    if (inode.attributesDirty || held === undefined) return;
    if (marker === null) {
      inode.version = null;
    } else if (held !== null && isSameVersion(held, marker)) {
      inode.version = { ...held, lastModified: marker.lastModified };
    } else {
      const cached = this.#context.attrs.get(marker.key, marker);
      if (cached !== undefined) this.apply(inode, cached);
      else inode.attributes = undefined; // changed elsewhere: whoever needs them asks HEAD
    }
  }

  /** One name of a directory too large to list: both forms are asked for at once. */
  async #findAlone(parent: Inode, directory: InodeDirectory, name: string): Promise<Inode | undefined> {
    const { store, options } = this.#context;
    const key = childKey(options.prefix, parent, name);
    const since = directory.changes;
    const [version, below] = await Promise.all([this.#head(key), store.list({ prefix: `${key}/`, maxKeys: 1 })]);
    let prefix = below.objects.length > 0 || below.prefixes.length > 0;
    // A further request for what is not there: only where such marks were seen.
    if (version === undefined && !prefix && directory.folderMarks.size > 0) {
      prefix = (await this.#head(folderMarkKey(key)))?.size === 0;
      if (prefix) directory.folderMarks.add(name);
    }
    if (directory.isNewer(name, since)) return directory.get(name)?.inode;
    if (version === undefined && !prefix) return this.#vanish(parent, name);
    const child = directory.obtain(name);
    child.prefix = prefix;
    child.object = version === undefined ? undefined : { key, size: version.size, etag: version.etag, lastModified: version.lastModified };
    return this.resolve(parent, child, version);
  }

  #vanish(parent: Inode, name: string): undefined {
    const { children } = this.directoryOf(parent);
    const inode = children.get(name)?.inode;
    children.delete(name);
    if (inode !== undefined) loseName(this.#context, inode, { parent, name }, "superseded");
    return undefined;
  }

  /** The inode of a listed child, with its attributes, asking HEAD only for what nobody knows. */
  async resolve(parent: Inode, child: InodeChild, head?: Version): Promise<Inode | undefined> {
    if (this.#isUnsure(parent, child) && child.inode !== undefined) await this.revalidate(child.inode).catch(() => undefined);
    const settled = this.known(parent, child);
    if (settled !== undefined) return settled;
    const { options } = this.#context;
    const key = childKey(options.prefix, parent, child.name);
    if (head === undefined) this.#ahead.resolving(parent, child);
    if (child.prefix) return this.#resolveDirectory(parent, child, `${key}/`);
    const version = head ?? (await this.#head(key));
    if (version !== undefined) return this.#place(parent, child, version);
    return child.inode?.local ? child.inode : this.#vanish(parent, child.name);
  }

  /** As `resolve`, without any request: undefined when one would be needed. */
  known(parent: Inode, child: InodeChild): Inode | undefined {
    const { inode, object } = child;
    if (inode?.local) return inode;
    if (this.#isUnsure(parent, child)) return undefined;
    if (child.prefix) return inode?.kind === "dir" && this.#isMarkerFresh(inode) ? inode : undefined;
    if (object === undefined) return inode;
    const held = inode?.version;
    if (inode !== undefined && held && inode.attributes !== undefined && isSameVersion(held, object)) {
      inode.version = { ...held, lastModified: object.lastModified };
      return this.#confirm(parent, inode);
    }
    const { attrs } = this.#context;
    // HEAD tells more than the listings that show metadata do.
    const version: Version | undefined = attrs.get(object.key, object) ?? versionFromListing(object);
    return version === undefined ? undefined : this.#place(parent, child, { ...version, lastModified: object.lastModified });
  }

  /** A further name of a file of which nothing is known since a take-over: its own name tells what this one must be a copy of. */
  #isUnsure(parent: Inode, { inode, name }: InodeChild): boolean {
    return inode?.others !== undefined && inode.version === undefined && !isMainPlace(inode, { parent, name });
  }

  #isMarkerFresh({ attributes, validatedAt }: Inode): boolean {
    const { clock, options } = this.#context;
    return attributes !== undefined && clock.now() - validatedAt < options.metadataTtlMs * MARKER_TTL_FACTOR;
  }

  #confirm(parent: Inode, inode: Inode): Inode {
    const listedAt = parent.directory?.listedAt ?? 0;
    inode.validatedAt = Math.max(inode.validatedAt, listedAt);
    return inode;
  }

  async #resolveDirectory(parent: Inode, child: InodeChild, key: string): Promise<Inode> {
    const version = await this.#head(key);
    const inode = child.inode?.kind === "dir" ? child.inode : this.#replace(parent, child, "dir");
    if (isSameMarker(inode, version)) inode.version = version ?? null;
    else if (!inode.attributesDirty) this.apply(inode, version, key);
    inode.validatedAt = this.#context.clock.now();
    return inode;
  }

  /** Gives the child an inode that stands for this version: the one it has, or a new one where that is bound to another. */
  #place(parent: Inode, child: InodeChild, version: Version): Inode {
    const { options, clock } = this.#context;
    const key = childKey(options.prefix, parent, child.name);
    const kind = kindOf(decodeAttributes({ key, ...version }, options).mode);
    let inode = child.inode;
    if (inode !== undefined && inode.others !== undefined && !isMainPlace(inode, { parent, name: child.name }) && isCopy(inode, version)) {
      return this.#confirm(parent, inode);
    }
    const isOther = inode !== undefined && !isMainPlace(inode, { parent, name: child.name });
    // Open handles read the version they opened: a newer one gets an inode, and so a node number, of its own.
    const bound = inode?.content !== undefined && inode.version !== undefined && inode.version?.etag !== version.etag;
    if (inode === undefined || inode.kind !== kind || bound || isOther) inode = this.#replace(parent, child, kind);
    this.apply(inode, version, key);
    inode.validatedAt = clock.now();
    return inode;
  }

  #replace(parent: Inode, child: InodeChild, kind: Inode["kind"]): Inode {
    const { inodes } = this.#context;
    const previous = child.inode;
    const inode = inodes.create(kind, parent, child.name);
    if (previous !== undefined) loseName(this.#context, previous, { parent, name: child.name }, "superseded");
    this.directoryOf(parent).obtain(child.name).inode = inode;
    child.inode = inode;
    return inode;
  }

  /** Takes a version's attributes over. Undefined: a directory without a marker, which shows the defaults. */
  apply(inode: Inode, version: Version | undefined, key = ""): void {
    const { options } = this.#context;
    const source = version ?? { size: 0, lastModified: this.#firstSeenMs(inode), headers: {}, metadata: {} };
    inode.version = version ?? null;
    inode.attributes = decodeAttributes({ ...source, key: inode.kind === "dir" ? "/" : key }, options);
    inode.xattrs = decodeXattrs(source.metadata);
    inode.symlinkTarget = inode.kind === "symlink" ? symlinkTarget(source.metadata) : undefined;
  }

  /** A directory without a marker has no times of its own: it keeps those it was first shown with. */
  #firstSeenMs(inode: Inode): number {
    return inode.attributes === undefined ? this.#context.clock.now() : msOfTimespec(inode.attributes.mtime);
  }

  /** HEAD, shared by all who ask for the key at one time; fills the attribute cache. Undefined when there is no such object. */
  #head(key: string): Promise<Version | undefined> {
    let head = this.#heads.get(key);
    if (head === undefined) {
      head = this.#askHead(key).finally(() => this.#heads.delete(key));
      this.#heads.set(key, head);
    }
    return head;
  }

  async #askHead(key: string): Promise<Version | undefined> {
    const { store, attrs } = this.#context;
    try {
      const info: ObjectInfo = await store.head(key);
      const version: Version = {
        etag: info.etag,
        size: info.size,
        lastModified: info.lastModified,
        headers: info.headers,
        metadata: info.metadata,
      };
      attrs.put(key, version);
      return version;
    } catch (error) {
      if (isFault(error, "not_found")) return undefined;
      throw error;
    }
  }

  /** A HEAD that somebody will probably want next; undefined when what it would tell is known. */
  #headSoon(parent: Inode, child: InodeChild): Promise<unknown> | undefined {
    const { options, attrs } = this.#context;
    const { object, prefix, inode } = child;
    if (inode !== undefined) return undefined;
    const key = childKey(options.prefix, parent, child.name);
    // Of a directory no listing shows the version by which a cached answer could be found again: its inode keeps it.
    if (prefix) return this.#resolveDirectory(parent, child, `${key}/`);
    return object === undefined || attrs.get(object.key, object) !== undefined ? undefined : this.#head(key);
  }

  /** A directory that somebody will probably list next; undefined when there is none to list. */
  #listSoon(parent: Inode, child: InodeChild): Promise<unknown> | undefined {
    if (!child.prefix) return undefined;
    return this.resolve(parent, child).then((inode) => inode && this.#ensureListed(inode, this.directoryOf(inode), "first"));
  }

  /** A symlink's target from the object's body, as s3fs stores it. */
  async readTarget(inode: Inode): Promise<string> {
    const { store, options } = this.#context;
    const key = pathKey(options.prefix, inode);
    const etag = inode.version?.etag;
    const body = await store.get(key, etag === undefined ? {} : { ifMatch: etag });
    const chunks: Uint8Array[] = [];
    for await (const chunk of body.stream) chunks.push(chunk);
    return Buffer.concat(chunks).toString().trim();
  }
}

/** The driver's own names at the root of a bucket. */
export function isReserved(parent: Inode, name: string): boolean {
  return parent.parent === null && name === RESERVED_NAME;
}

/** HEAD and PUT know whole seconds, LIST may know milliseconds. */
export function isSameVersion(held: Version, listed: ListedObject): boolean {
  return held.etag === listed.etag && held.size === listed.size && Math.abs(held.lastModified - listed.lastModified) <= 1000;
}

/** A marker that says what it said: the directory's times moved since, in memory alone. All markers have the ETag of nothing. */
function isSameMarker({ attributes, version }: Inode, found: Version | undefined): boolean {
  if (attributes === undefined || version === undefined) return false;
  if (version === null || found === undefined) return version === null && found === undefined;
  const isSameTime = "mtime" in version.metadata || version.lastModified === found.lastModified;
  return isSameTime && isDeepStrictEqual(version.metadata, found.metadata);
}

function versionFromListing({ details, etag, size, lastModified }: ListedObject): Version | undefined {
  if (details === undefined) return undefined;
  const headers = details.contentType === undefined ? {} : { contentType: details.contentType };
  return { etag, size, lastModified, headers, metadata: details.metadata, listed: true };
}
