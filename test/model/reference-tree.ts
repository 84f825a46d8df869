/** A POSIX tree in memory, as simple as can be: what the file system on a bucket is compared with. */
import type { Fault } from "#core/errors.ts";

export interface ReferenceFile {
  readonly kind: "file";
  bytes: Buffer;
  mode: number;
}

export interface ReferenceDirectory {
  readonly kind: "dir";
  mode: number;
  readonly entries: Map<string, ReferenceNode>;
}

export type ReferenceNode = ReferenceFile | ReferenceDirectory;

/** What the tree refuses, by the fault that the file system must give. */
export class Refused extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault);
    this.fault = fault;
  }
}

const directory = (mode: number): ReferenceDirectory => ({ kind: "dir", mode, entries: new Map() });

export class ReferenceTree {
  readonly root = directory(0o755);

  /** Throws `not_found` or `not_dir`. */
  find(path: string): ReferenceNode {
    let at: ReferenceNode = this.root;
    for (const name of path.split("/")) {
      if (at.kind !== "dir") throw new Refused("not_dir");
      const next = at.entries.get(name);
      if (next === undefined) throw new Refused("not_found");
      at = next;
    }
    return at;
  }

  /** The file, made if need be. */
  openForWriting(path: string, truncate: boolean): ReferenceFile {
    const { parent, name } = this.#place(path);
    const there = parent.entries.get(name) ?? ({ kind: "file", bytes: Buffer.alloc(0), mode: 0o644 } satisfies ReferenceFile);
    if (there.kind === "dir") throw new Refused("is_dir");
    parent.entries.set(name, there);
    if (truncate) there.bytes = Buffer.alloc(0);
    return there;
  }

  read(path: string): Buffer {
    const node = this.find(path);
    if (node.kind === "dir") throw new Refused("is_dir");
    return node.bytes;
  }

  truncate(path: string, size: number): void {
    const node = this.find(path);
    if (node.kind === "dir") throw new Refused("is_dir");
    node.bytes = resized(node.bytes, size);
  }

  chmod(path: string, mode: number): void {
    this.find(path).mode = mode;
  }

  mkdir(path: string): void {
    const { parent, name } = this.#place(path);
    if (parent.entries.has(name)) throw new Refused("exists");
    parent.entries.set(name, directory(0o755));
  }

  unlink(path: string): void {
    const { parent, name } = this.#place(path);
    if (this.find(path).kind === "dir") throw new Refused("is_dir");
    parent.entries.delete(name);
  }

  rmdir(path: string): void {
    const { parent, name } = this.#place(path);
    const node = this.find(path);
    if (node.kind !== "dir") throw new Refused("not_dir");
    if (node.entries.size > 0) throw new Refused("not_empty");
    parent.entries.delete(name);
  }

  rename(from: string, to: string): void {
    const source = this.#place(from);
    const target = this.#place(to);
    const node = this.find(from);
    const replaced = target.parent.entries.get(target.name);
    if (`${to}/`.startsWith(`${from}/`) && to !== from) throw new Refused(node.kind === "dir" ? "bad_argument" : "not_dir");
    if (replaced === node) return;
    if (replaced !== undefined) {
      if (node.kind === "dir" && replaced.kind !== "dir") throw new Refused("not_dir");
      if (node.kind !== "dir" && replaced.kind === "dir") throw new Refused("is_dir");
      if (replaced.kind === "dir" && replaced.entries.size > 0) throw new Refused("not_empty");
    }
    source.parent.entries.delete(source.name);
    target.parent.entries.set(target.name, node);
  }

  /** Another host replaced the content: whoever has the old one open keeps that. */
  replace(path: string, bytes: Buffer): void {
    const { parent, name } = this.#place(path);
    const node = parent.entries.get(name);
    if (node?.kind === "dir") throw new Refused("is_dir");
    parent.entries.set(name, { kind: "file", bytes, mode: node?.mode ?? 0o644 });
  }

  /** Every path below the root with what stat and read tell. */
  dump(): Record<string, string> {
    const lines: Record<string, string> = {};
    const walk = (at: ReferenceDirectory, prefix: string) => {
      for (const [name, node] of at.entries) {
        lines[prefix + name] = describeNode(node.kind, node.mode, node.kind === "file" ? node.bytes : Buffer.alloc(0));
        if (node.kind === "dir") walk(node, `${prefix}${name}/`);
      }
    };
    walk(this.root, "");
    return lines;
  }

  #place(path: string): { parent: ReferenceDirectory; name: string } {
    const at = path.lastIndexOf("/");
    const parent = at < 0 ? this.root : this.find(path.slice(0, at));
    if (parent.kind !== "dir") throw new Refused("not_dir");
    return { parent, name: path.slice(at + 1) };
  }
}

export function written(bytes: Buffer, offset: number, data: Buffer): Buffer {
  const grown = Buffer.alloc(Math.max(bytes.length, offset + data.length));
  bytes.copy(grown);
  data.copy(grown, offset);
  return grown;
}

export function resized(bytes: Buffer, size: number): Buffer {
  const next = Buffer.alloc(size);
  bytes.copy(next);
  return next;
}

export function describeNode(kind: "file" | "dir", mode: number, bytes: Buffer): string {
  return `${kind} ${(mode & 0o7777).toString(8)} ${bytes.toString("hex")}`;
}
