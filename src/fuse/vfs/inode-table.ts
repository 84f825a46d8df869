/**
 * `InodeTable`: node numbers to inodes, and the lookup counts by which the kernel holds them.
 *
 * An inode stays while the kernel holds it, while it has open content, or while it is the way to another that does (a child keeps
 * its parents). Each number that the kernel may hold has a row in the state store, written before the kernel learns the number.
 */
import { type NodeId, ROOT_NODE } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import type { NodeKind, StateStore } from "#fuse/journal/state-store.ts";
import { Inode, type InodeChild, type Place } from "./inode.ts";

/** Files with several names that are known for as long as the mount lives; of more, those that the kernel forgets become separate files. */
const LINKED_MAX = 50_000;

export class InodeTable {
  readonly root: Inode;
  readonly #inodes = new Map<NodeId, Inode>();
  readonly #state: StateStore;
  #next: number;
  /** Inodes that have `others`. */
  #linked = 0;

  constructor(state: StateStore) {
    this.#state = state;
    this.#next = Math.max(state.recovered.maxNode, ROOT_NODE) + 1;
    this.root = new Inode(ROOT_NODE, "dir", null, "");
    this.root.keep = true;
    this.#inodes.set(ROOT_NODE, this.root);
  }

  get size(): number {
    return this.#inodes.size;
  }

  all(): Iterable<Inode> {
    return this.#inodes.values();
  }

  /** Throws `stale` for a number that is not, or no longer, given out. */
  get(node: NodeId): Inode {
    const inode = this.#inodes.get(node);
    if (inode === undefined) throw new DriverError("stale", `node ${node} is not known`);
    return inode;
  }

  create(kind: NodeKind, parent: Inode, name: string): Inode {
    const inode = new Inode(this.#next++ as NodeId, kind, parent, name);
    this.#inodes.set(inode.node, inode);
    parent.liveChildren += 1;
    return inode;
  }

  /** Puts back an inode of a predecessor; its parent is put back first. */
  restore(inode: Inode): void {
    inode.keep = true;
    this.#inodes.set(inode.node, inode);
    if (inode.parent !== null) inode.parent.liveChildren += 1;
  }

  /** Gives the inode another place, for rename. */
  move(inode: Inode, parent: Inode, name: string): void {
    const before = inode.parent;
    parent.liveChildren += 1;
    inode.parent = parent;
    inode.name = name;
    this.record(inode);
    if (before === null) return;
    before.liveChildren -= 1;
    this.release(before);
  }

  /** No name leads to the inode any more; it lives on while it is open or the kernel holds it. */
  detach(inode: Inode, why: "removed" | "superseded" = "removed"): void {
    inode.superseded = why === "superseded";
    const child = inode.parent?.directory?.get(inode.name);
    if (child?.inode === inode) child.inode = undefined;
    inode.detached = true;
    for (const place of inode.others ?? []) this.removePlace(inode, place);
    if (inode.lookups > 0 || inode.content !== undefined) this.record(inode);
    this.release(inode);
  }

  /** Gives the file a further name. It is known for as long as it has more than one. */
  addPlace(inode: Inode, place: Place): void {
    place.parent.liveChildren += 1;
    if (inode.others === undefined) this.#linked += 1;
    inode.others = [...(inode.others ?? []), place];
    this.record(inode);
  }

  /** Takes one of the further names away. */
  removePlace(inode: Inode, { parent, name }: Place): void {
    const left = inode.others?.filter((other) => other.parent !== parent || other.name !== name) ?? [];
    if (left.length === (inode.others?.length ?? 0)) return;
    inode.others = left.length === 0 ? undefined : left;
    if (inode.others === undefined) this.#linked -= 1;
    const child = parent.directory?.get(name);
    if (child?.inode === inode) child.inode = undefined;
    parent.liveChildren -= 1;
    this.release(parent);
    if (inode.detached || this.#isFree(inode)) this.release(inode);
    else this.record(inode);
  }

  /** `place` becomes the inode's own, and its own one of the others. */
  swapPlaces(inode: Inode, place: Place): void {
    const { parent, name } = inode;
    if (parent === null) return;
    inode.others = inode.others?.map((other) => (other.parent === place.parent && other.name === place.name ? { parent, name } : other));
    inode.parent = place.parent;
    inode.name = place.name;
    this.record(inode);
  }

  /**
   * The inode to show the kernel for one that a look-up found: it, or what took its place. While the look-up waited, a FORGET of all
   * earlier ones may have let it go.
   */
  present(inode: Inode): Inode {
    if (this.#inodes.has(inode.node)) return inode;
    if (inode.parent !== null && !this.#inodes.has(inode.parent.node)) {
      inode.parent = this.present(inode.parent);
      this.record(inode.parent);
    }
    const child: InodeChild | undefined = inode.detached ? undefined : inode.parent?.directory?.get(inode.name);
    if (child?.inode !== undefined) return child.inode;
    this.#inodes.set(inode.node, inode);
    if (inode.parent !== null) inode.parent.liveChildren += 1;
    if (child !== undefined) child.inode = inode;
    return inode;
  }

  /** The kernel is about to learn of this inode, which is in the table, once more. */
  hold(inode: Inode): void {
    if (inode.lookups === 0) this.record(inode);
    inode.lookups += 1;
  }

  /** Stores where the inode stands now: after a move or removal too. */
  record(inode: Inode): void {
    if (inode.parent === null) return;
    const { node, parent, name, kind, detached, others } = inode;
    const links = others?.map((place) => {
      const etag = place.parent.directory?.get(place.name)?.object?.etag;
      return { parent: place.parent.node, name: place.name, ...(etag === undefined ? {} : { etag }) };
    });
    this.#state.putInode({
      ...{ node, parent: parent.node, name, kind },
      ...(detached ? { unlinked: true } : {}),
      ...(links === undefined ? {} : { links }),
    });
  }

  /** Lets inodes go that were made for listings or by guess, were last seen before `since` (ms) and never came to the kernel. */
  sweep(since: number): void {
    for (const inode of [...this.#inodes.values()]) if (inode.lookups === 0 && inode.validatedAt < since) this.release(inode);
  }

  forget(node: NodeId, count: number): void {
    const inode = this.#inodes.get(node);
    if (inode === undefined) return;
    inode.lookups = Math.max(0, inode.lookups - count);
    if (inode.lookups === 0) this.release(inode);
  }

  /** Lets an inode go if nothing holds it; then perhaps its parents. */
  release(inode: Inode): void {
    for (let at: Inode | null = inode; at !== null && this.#isFree(at); at = at.parent) {
      this.#inodes.delete(at.node);
      this.#state.dropInode(at.node);
      if (at.parent !== null) at.parent.liveChildren -= 1;
      const child: InodeChild | undefined = at.parent?.directory?.get(at.name);
      if (child?.inode === at) child.inode = undefined;
      for (const place of at.others ?? []) this.removePlace(at, place);
    }
  }

  #isFree(inode: Inode): boolean {
    if (inode.others !== undefined && !inode.detached && this.#linked <= LINKED_MAX) return false;
    if (inode.keep || inode.lookups > 0 || inode.liveChildren > 0 || inode.content !== undefined) return false;
    return (inode.detached || !inode.local) && this.#inodes.has(inode.node);
  }
}
