/** What the keeper holds: one deposit a volume. Every descriptor in it is the vault's own, to be closed by it. */
import { DriverError } from "#core/errors.ts";
import type { Deposit, DepositName } from "./protocol.ts";

export interface VaultPort {
  readonly close: (fd: number) => void;
  /** True when the descriptor's connection has ended, so that nobody can use it any more. */
  readonly hasEnded: (fd: number) => boolean;
}

/** Far more than a node runs pods; against a plugin gone wild. */
const MAX_DEPOSITS = 4096;

export class Vault {
  readonly #port: VaultPort;
  readonly #deposits = new Map<string, Deposit>();

  constructor(port: VaultPort) {
    this.#port = port;
  }

  get size(): number {
    return this.#deposits.size;
  }

  /** Takes the descriptor over, also when it throws. An earlier deposit of the volume is let go. Fault `no_space`. */
  put(deposit: Deposit): void {
    const before = this.#deposits.get(deposit.volumeId);
    if (before === undefined && this.#deposits.size >= MAX_DEPOSITS) {
      this.#port.close(deposit.fd);
      throw new DriverError("no_space", `the keeper holds ${MAX_DEPOSITS} mounts and takes no more`);
    }
    this.#deposits.set(deposit.volumeId, deposit);
    if (before !== undefined) this.#port.close(before.fd);
  }

  /** Its descriptor stays the vault's. */
  get(volumeId: string): Deposit | undefined {
    return this.#deposits.get(volumeId);
  }

  /** Lets go what is of this device; false when there is no such thing. */
  remove({ volumeId, device }: DepositName): boolean {
    const deposit = this.#deposits.get(volumeId);
    if (deposit?.device !== device) return false;
    this.#deposits.delete(volumeId);
    this.#port.close(deposit.fd);
    return true;
  }

  names(): DepositName[] {
    return [...this.#deposits.values()].map(({ volumeId, device }) => ({ volumeId, device }));
  }

  /** Lets go what nobody can use any more, and says what that was. */
  sweep(): DepositName[] {
    const ended = [...this.#deposits.values()].filter(({ fd }) => this.#port.hasEnded(fd));
    for (const deposit of ended) this.remove(deposit);
    return ended.map(({ volumeId, device }) => ({ volumeId, device }));
  }

  clear(): void {
    for (const { fd } of this.#deposits.values()) this.#port.close(fd);
    this.#deposits.clear();
  }
}
