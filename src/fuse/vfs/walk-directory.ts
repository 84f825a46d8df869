/** `DirectoryStreams`: opendir, readdir, readdirplus. */
import type { HandleId, NodeId } from "#core/brand.ts";
import type { VfsContext } from "./context.ts";
import type { DirectorySink, Entry } from "./filesystem.ts";
import type { DirectoryHandle, Handles } from "./handles.ts";
import type { Inode, InodeChild } from "./inode.ts";
import type { Lookup } from "./lookup.ts";
import { S_IFDIR, S_IFMT } from "./mode.ts";

/** "." and ".." come first, at offsets 0 and 1; the n-th entry is at offset n + 2. */
const DOTS = 2;

export class DirectoryStreams {
  readonly #context: VfsContext;
  readonly #handles: Handles;
  readonly #lookup: Lookup;
  readonly #entryOf: (inode: Inode) => Entry;

  constructor(context: VfsContext, handles: Handles, lookup: Lookup, entryOf: (inode: Inode) => Entry) {
    this.#context = context;
    this.#handles = handles;
    this.#lookup = lookup;
    this.#entryOf = entryOf;
  }

  open(node: NodeId): HandleId {
    const inode = this.#context.inodes.get(node);
    this.#lookup.directoryOf(inode);
    return this.#handles.openDirectory(inode).id;
  }

  /** A stream from offset 0 shows the directory as it is now; going on with it shows the same entries, whatever happens meanwhile. */
  async read(id: HandleId, offset: number, plus: boolean, sink: DirectorySink): Promise<void> {
    const handle = this.#handles.directory(id);
    if (offset === 0 || handle.entries === undefined) {
      const directory = await this.#lookup.listAll(handle.inode);
      handle.entries = [...directory.children.values()];
    }
    if (!this.#dots(handle, offset, sink)) return;
    const now = this.#lookup.directoryOf(handle.inode);
    for (let i = Math.max(0, offset - DOTS); i < handle.entries.length; i++) {
      const child = handle.entries[i] as InodeChild;
      // What was removed since keeps its offset and is not shown: naming it to the kernel would bring it back.
      if (now.get(child.name) !== child) continue;
      if (!this.#entry(handle.inode, child, i + DOTS + 1, plus, sink)) return;
    }
  }

  #dots({ inode }: DirectoryHandle, offset: number, sink: DirectorySink): boolean {
    const dots = [
      { name: ".", ino: inode.node, type: S_IFDIR, nextOffset: 1 },
      { name: "..", ino: inode.parent?.node ?? inode.node, type: S_IFDIR, nextOffset: 2 },
    ];
    return dots.slice(offset).every(sink);
  }

  #entry(parent: Inode, child: InodeChild, nextOffset: number, plus: boolean, sink: DirectorySink): boolean {
    const known = this.#lookup.known(parent, child);
    // Not known without a request: the name alone. Whoever wants more looks it up, and its neighbours are asked for too.
    if (known?.attributes === undefined) {
      const type = child.prefix ? S_IFDIR : 0;
      // Any number but 0, which readdir(3) would hide; the real one comes with the look-up.
      return sink({ name: child.name, ino: known?.node ?? UNKNOWN_INO, type, nextOffset });
    }
    const type = known.attributes.mode & S_IFMT;
    const entry = plus ? this.#entryOf(known) : undefined;
    const taken = sink({ name: child.name, ino: known.node, type, nextOffset, entry });
    if (taken && plus) this.#context.inodes.hold(known);
    return taken;
  }

  close(id: HandleId): void {
    this.#handles.close(id);
  }
}

/** FUSE_UNKNOWN_INO of the kernel's own libraries: "no number yet". */
const UNKNOWN_INO = 0xffff_ffff;
