/**
 * Directory entries of READDIR and READDIRPLUS replies, into a buffer of the size the kernel asked for. Each entry is a
 * struct, the name without a NUL, and padding to 8 bytes.
 */
import type { ValuesOf } from "#core/struct.ts";
import { Dirent, Direntplus } from "./abi.ts";
import { decodeName, encodeNameInto } from "./name-codec.ts";

/** An entry as fuse_dirent has it. */
export interface DirentValues {
  readonly ino: number;
  /** Cookie of the place after this entry: the next request's `offset`. */
  readonly off: number;
  /** DT_* of <dirent.h>; 0 (DT_UNKNOWN): the reader must ask by stat(2). */
  readonly type: number;
  readonly name: string;
}

/** The d_type of a mode's file type bits: by design of dirent.h they are the same number, 12 bits down. */
export function direntType(mode: number): number {
  return (mode & 0o170000) >>> 12;
}

function align8(size: number): number {
  return (size + 7) & ~7;
}

/** Takes entries until the buffer is full. */
export class DirentWriter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #used = 0;

  constructor(sizeBytes: number) {
    this.#bytes = new Uint8Array(sizeBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Adds an entry of READDIR. False: it did not fit, and nothing was written. */
  add(entry: DirentValues): boolean {
    const namelen = this.#name(entry.name, Dirent.size);
    if (namelen < 0) return false;
    Dirent.write(this.#view, this.#used, { ino: entry.ino, off: entry.off, namelen, type: entry.type });
    this.#used += align8(Dirent.size + namelen);
    return true;
  }

  /** Adds an entry of READDIRPLUS. Node id 0 in `entryOut` means "attributes not given": the kernel then looks the name up when it needs it. */
  addPlus(entry: DirentValues, entryOut: ValuesOf<typeof Direntplus>["entry_out"]): boolean {
    const namelen = this.#name(entry.name, Direntplus.size);
    if (namelen < 0) return false;
    const dirent = { ino: entry.ino, off: entry.off, namelen, type: entry.type };
    Direntplus.write(this.#view, this.#used, { entry_out: entryOut, dirent });
    this.#used += align8(Direntplus.size + namelen);
    return true;
  }

  /** Writes the name behind a struct of `structSize` and clears the padding. Returns its length, or -1 when the entry does not fit. */
  #name(name: string, structSize: number): number {
    const start = this.#used + structSize;
    if (start >= this.#bytes.length) return -1;
    const namelen = encodeNameInto(name, this.#bytes.subarray(start));
    const end = this.#used + align8(structSize + namelen);
    if (namelen < 0 || end > this.#bytes.length) return -1;
    this.#bytes.fill(0, start + namelen, end);
    return namelen;
  }

  /** The reply: empty at the end of the directory. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#used);
  }
}

/** The entries of a READDIR reply. */
export function decodeDirents(bytes: Uint8Array): DirentValues[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: DirentValues[] = [];
  for (let at = 0; at + Dirent.size <= bytes.length; ) {
    const { ino, off, namelen, type } = Dirent.at(view, at);
    const start = at + Dirent.size;
    entries.push({ ino, off, type, name: decodeName(bytes.subarray(start, start + namelen)) });
    at += align8(Dirent.size + namelen);
  }
  return entries;
}
