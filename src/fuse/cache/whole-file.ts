import { closeSync } from "node:fs";
import type { ContentId, WholeFile } from "./content-cache.ts";
import type { IndexEntry } from "./file-index.ts";

/** Counts who has a file open. */
export interface PinHost {
  pin(entry: IndexEntry): void;
  unpin(entry: IndexEntry): void;
}

/** An open whole file: pins its entry until it is closed, and owns the descriptor. */
export class DiskWholeFile implements WholeFile {
  readonly id: ContentId;
  readonly fd: number;
  readonly path: string;
  readonly #host: PinHost;
  readonly #entry: IndexEntry;
  #closed = false;

  constructor(host: PinHost, entry: IndexEntry, id: ContentId, fd: number, path: string) {
    this.#host = host;
    this.#entry = entry;
    this.id = id;
    this.fd = fd;
    this.path = path;
    host.pin(entry);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.fd);
    this.#host.unpin(this.#entry);
  }
}
