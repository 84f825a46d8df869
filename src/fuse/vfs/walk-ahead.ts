/**
 * `WalkAhead`: guesses what a walk through the tree asks for next, and starts those requests side by side.
 *
 * `ls -l` wants one entry's attributes after the other, `find` lists one directory after the other; each waits for its answer before it
 * asks again, so without a guess a walk takes as many round trips as there are entries. Entries are asked for in the order in which the
 * directory showed them, and that order is what is followed here. A guess that fails costs nobody anything: the real request tells.
 */
import type { Inode, InodeChild } from "./inode.ts";

/** HEADs that run ahead of a walk through one directory. */
const HEADS = 64;
/** Directories that are listed ahead of a walk through their parent. */
const LISTS = 4;

/** Starts a request for a child that will probably be wanted; undefined when nothing has to be asked. */
type Start = (parent: Inode, child: InodeChild) => Promise<unknown> | undefined;

/** Where a walk through one directory is, and how far the guesses went before it. */
interface Walk {
  readonly rest: Iterator<InodeChild>;
  /** Guessed and not asked for yet. */
  readonly expected: Set<InodeChild>;
  running: number;
}

export class WalkAhead {
  readonly #start: { readonly head: Start; readonly list: Start };
  readonly #heads = new WeakMap<Inode, Walk>();
  readonly #lists = new WeakMap<Inode, Walk>();

  constructor(start: { readonly head: Start; readonly list: Start }) {
    this.#start = start;
  }

  /** Somebody needs this child's attributes, which are not known. */
  resolving(parent: Inode, child: InodeChild): void {
    this.#follow(this.#heads, parent, child, HEADS, this.#start.head);
  }

  /** Somebody listed this directory. Its siblings follow only if the one before it was listed too: then it is a walk. */
  listed(inode: Inode): void {
    const { parent } = inode;
    const child = parent?.directory?.get(inode.name);
    if (parent !== null && child !== undefined) this.#follow(this.#lists, parent, child, LISTS, this.#start.list);
  }

  #follow(walks: WeakMap<Inode, Walk>, parent: Inode, child: InodeChild, limit: number, start: Start): void {
    const known = walks.get(parent);
    // The first step only tells where a walk would go on; the second one that goes there is followed.
    if (known === undefined || !known.expected.delete(child)) {
      const begun = beginAfter(parent, child);
      if (begun !== undefined) walks.set(parent, begun);
      return;
    }
    while (known.running < limit) {
      const next = known.rest.next();
      if (next.done === true) break;
      known.expected.add(next.value);
      this.#run(known, start(parent, next.value));
    }
    if (known.expected.size === 0) walks.delete(parent);
  }

  #run(walk: Walk, request: Promise<unknown> | undefined): void {
    if (request === undefined) return;
    walk.running += 1;
    const done = () => {
      walk.running -= 1;
    };
    request.then(done, done);
  }
}

/** A walk that stands at `child` and expects the entry after it. */
function beginAfter(parent: Inode, child: InodeChild): Walk | undefined {
  const rest = parent.directory?.children.values();
  if (rest === undefined) return undefined;
  for (const at of rest) if (at === child) break;
  const next = rest.next();
  return next.done === true ? undefined : { rest, expected: new Set([next.value]), running: 0 };
}
