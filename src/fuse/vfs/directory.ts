/**
 * `Directory`: what is known of one directory's entries: the last listing of the bucket, overlaid with what was done here.
 *
 * Pure bookkeeping; lookup.ts does the requests. The rule that keeps both in step: a listing tells nothing about a name that was
 * changed here after the listing *began*, or whose change is still under way. For that each change takes a number from one
 * counter, and a listing remembers the counter's value at its start.
 */
import type { ListedObject } from "#s3/object-store.ts";

/** What an entry's inode must tell the directory: whether it is the only place of its newest state. */
interface Placed {
  readonly local: boolean;
}

export interface Child<Node extends Placed> {
  readonly name: string;
  /** The object of that very key, if there is one. */
  object: ListedObject | undefined;
  /** There are keys below `name/`. It then shows as a directory. */
  prefix: boolean;
  inode: Node | undefined;
}

/** One listing as it comes in. */
export interface Listing {
  /** The change counter when the listing began. */
  readonly since: number;
  readonly objects: ReadonlyMap<string, ListedObject>;
  readonly prefixes: ReadonlySet<string>;
  /** False when it was cut off: it then tells nothing about names that are not in it. */
  readonly complete: boolean;
  readonly at: number;
}

const COUNT_UP_TO = 1000;

export class Directory<Node extends Placed> {
  readonly children = new Map<string, Child<Node>>();
  /** When a complete listing was last taken in, ms; 0: never. */
  listedAt = 0;
  /** Complete listings taken in so far. */
  listings = 0;
  /** It has more entries than one page: names are looked up one by one. Until `bigUntil`, ms. */
  bigUntil = 0;
  /** The marker object `dir/` as the last listing showed it: null when there was none, undefined when never listed. */
  marker: ListedObject | null | undefined;
  /** Subdirectories that have Hadoop's mark `name_$folder$`, as far as listings showed. */
  readonly folderMarks = new Set<string>();
  /** A listing under way, shared by all who need one. */
  listing: Promise<void> | undefined;
  #isWhole = false;
  #changes = 0;
  readonly #changedAt = new Map<string, number>();
  readonly #underWay = new Map<string, number>();

  /** The change counter now: remember it when a listing begins. */
  get changes(): number {
    return this.#changes;
  }

  /** Marks a change of `name` as under way until the returned function is called. */
  beginChange(name: string): () => void {
    this.#underWay.set(name, (this.#underWay.get(name) ?? 0) + 1);
    return () => {
      const left = (this.#underWay.get(name) ?? 1) - 1;
      if (left > 0) this.#underWay.set(name, left);
      else this.#underWay.delete(name);
      this.#changes += 1;
      this.#changedAt.set(name, this.#changes);
    };
  }

  /** True when a listing that began at `since` must not change what is known of `name`. */
  isNewer(name: string, since: number): boolean {
    return this.#underWay.has(name) || (this.#changedAt.get(name) ?? 0) > since;
  }

  get(name: string): Child<Node> | undefined {
    return this.children.get(name);
  }

  obtain(name: string): Child<Node> {
    let child = this.children.get(name);
    if (child === undefined) {
      child = { name, object: undefined, prefix: false, inode: undefined };
      this.children.set(name, child);
    }
    return child;
  }

  /** How many directories are in it; undefined while it was not seen whole, or is too large to count them at each stat(2). */
  subdirectories(): number | undefined {
    if (!this.#isWhole || this.children.size > COUNT_UP_TO) return undefined;
    let count = 0;
    for (const { prefix } of this.children.values()) if (prefix) count += 1;
    return count;
  }

  /** It was just made: nothing is in it, and nothing has to be asked about names in it. */
  beginEmpty(at: number): void {
    this.listedAt = at;
    this.#isWhole = true;
  }

  /** Takes a listing in. Answers the inodes whose names are gone from the bucket, for the caller to take from them. */
  merge(listing: Listing): { readonly name: string; readonly inode: Node }[] {
    for (const [name, object] of listing.objects) this.#update(name, object, listing.prefixes.has(name), listing.since);
    for (const name of listing.prefixes) if (!listing.objects.has(name)) this.#update(name, undefined, true, listing.since);
    if (!listing.complete) return [];
    const gone = this.#removeAbsent(listing);
    this.listedAt = listing.at;
    this.listings += 1;
    this.#isWhole = true;
    for (const [name, change] of this.#changedAt) if (change <= listing.since) this.#changedAt.delete(name);
    return gone;
  }

  #update(name: string, object: ListedObject | undefined, prefix: boolean, since: number): void {
    if (this.isNewer(name, since)) return;
    const child = this.obtain(name);
    child.object = object;
    child.prefix = prefix;
  }

  #removeAbsent({ objects, prefixes, since }: Listing): { name: string; inode: Node }[] {
    const gone: { name: string; inode: Node }[] = [];
    for (const [name, child] of this.children) {
      if (objects.has(name) || prefixes.has(name) || this.isNewer(name, since)) continue;
      child.object = undefined;
      child.prefix = false;
      if (child.inode?.local) continue;
      this.children.delete(name);
      if (child.inode !== undefined) gone.push({ name, inode: child.inode });
    }
    return gone;
  }

  /** What was listed may no longer hold: the next use asks the bucket again. */
  expire(): void {
    this.listedAt = 0;
  }
}
