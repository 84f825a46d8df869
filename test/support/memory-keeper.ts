/** A `Keeper` in this process, for tests of what uses one. */
import { closeSync } from "node:fs";
import { DriverError } from "#core/errors.ts";
import { duplicate } from "#fuse/channel/unix-socket.ts";
import type { Attachment, Deposit, Keeper } from "#keeper/client.ts";

export class MemoryKeeper implements Keeper {
  readonly deposits = new Map<string, Deposit>();
  readonly #attached = new Set<() => void>();
  #stopping = false;
  ended = false;

  async list(): Promise<{ volumeId: string; device: string }[]> {
    this.#demandLife();
    return [...this.deposits.values()].map(({ volumeId, device }) => ({ volumeId, device }));
  }

  async deposit({ volumeId, device, fd, blob }: Deposit): Promise<void> {
    this.#demandLife();
    if (blob.length > 1 << 20) throw new DriverError("too_big", "the blob is larger than a mebibyte");
    this.#drop(volumeId);
    this.deposits.set(volumeId, { volumeId, device, fd: duplicate(fd), blob: Uint8Array.from(blob) });
  }

  async fetch(volumeId: string): Promise<Deposit | undefined> {
    this.#demandLife();
    const deposit = this.deposits.get(volumeId);
    return deposit && { ...deposit, fd: duplicate(deposit.fd) };
  }

  async withdraw({ volumeId, device }: { volumeId: string; device: string }): Promise<void> {
    this.#demandLife();
    if (this.deposits.get(volumeId)?.device === device) this.#drop(volumeId);
  }

  async attach(): Promise<Attachment> {
    this.#demandLife();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#attached.add(resolve);
    this.#endIfFree();
    return {
      lost: promise,
      leave: async () => {
        this.#demandLife();
        this.#attached.delete(resolve);
      },
    };
  }

  stop(): void {
    if (this.#stopping) this.kill();
    this.#stopping = true;
    this.#endIfFree();
  }

  /** Ends it as SIGKILL does. */
  kill(): void {
    this.ended = true;
    for (const lost of this.#attached) lost();
    for (const volumeId of this.deposits.keys()) this.#drop(volumeId);
  }

  /** A new, empty keeper serves in its place. */
  revive(): void {
    this.ended = false;
    this.#stopping = false;
    this.#attached.clear();
  }

  #endIfFree(): void {
    if (this.#stopping && (this.deposits.size === 0 || this.#attached.size > 0)) this.kill();
  }

  #demandLife(): void {
    if (this.ended) throw new DriverError("unavailable", "nobody serves the keeper's socket");
  }

  #drop(volumeId: string): void {
    const before = this.deposits.get(volumeId);
    if (before !== undefined) closeSync(before.fd);
    this.deposits.delete(volumeId);
  }
}
