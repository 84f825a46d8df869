/** `Handles`: what the kernel has open. Each has a row in the state store before the kernel learns its number. */
import type { HandleId, NodeId } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import type { StateStore } from "#fuse/journal/state-store.ts";
import type { Inode, InodeChild } from "./inode.ts";
import { wantsWrite } from "./mode.ts";

export interface FileHandle {
  readonly id: HandleId;
  readonly inode: Inode;
  readonly flags: number;
  readonly writes: boolean;
}

export interface DirectoryHandle {
  readonly id: HandleId;
  readonly inode: Inode;
  /** The entries as the stream shows them, taken when it is at its start. */
  entries: readonly InodeChild[] | undefined;
}

export class Handles {
  readonly #state: StateStore;
  readonly #files = new Map<HandleId, FileHandle>();
  readonly #directories = new Map<HandleId, DirectoryHandle>();
  #next: number;

  constructor(state: StateStore) {
    this.#state = state;
    this.#next = state.recovered.maxHandle + 1;
  }

  get size(): number {
    return this.#files.size + this.#directories.size;
  }

  openFile(inode: Inode, flags: number): FileHandle {
    const handle: FileHandle = { id: this.#next++ as HandleId, inode, flags, writes: wantsWrite(flags) };
    const backingId = inode.content?.backingId;
    this.#state.putHandle({ handle: handle.id, node: inode.node, kind: "file", flags, ...(backingId === undefined ? {} : { backingId }) });
    this.#files.set(handle.id, handle);
    return handle;
  }

  openDirectory(inode: Inode): DirectoryHandle {
    const handle: DirectoryHandle = { id: this.#next++ as HandleId, inode, entries: undefined };
    this.#state.putHandle({ handle: handle.id, node: inode.node, kind: "dir", flags: 0 });
    this.#directories.set(handle.id, handle);
    return handle;
  }

  /** Puts back a handle of a predecessor. */
  restore(handle: FileHandle | DirectoryHandle): void {
    if ("flags" in handle) this.#files.set(handle.id, handle);
    else this.#directories.set(handle.id, handle);
  }

  file(id: HandleId): FileHandle {
    const handle = this.#files.get(id);
    if (handle === undefined) throw new DriverError("bad_handle", `file handle ${id} is not open`);
    return handle;
  }

  directory(id: HandleId): DirectoryHandle {
    const handle = this.#directories.get(id);
    if (handle === undefined) throw new DriverError("bad_handle", `directory handle ${id} is not open`);
    return handle;
  }

  close(id: HandleId): FileHandle | DirectoryHandle | undefined {
    const handle = this.#files.get(id) ?? this.#directories.get(id);
    this.#files.delete(id);
    this.#directories.delete(id);
    this.#state.dropHandle(id);
    return handle;
  }

  /** True while somebody has the directory open. */
  isOpen(node: NodeId): boolean {
    for (const { inode } of this.#directories.values()) if (inode.node === node) return true;
    return false;
  }
}
