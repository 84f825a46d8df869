/**
 * The keeper: a process that holds, for each mount of this machine, a copy of its /dev/fuse descriptor, and what a successor of the
 * node plugin must know to serve it. As long as one copy is open the kernel keeps the connection, so the mounts outlive the death of
 * the plugin and all its engines: who uses them waits for the successor, and sees no error.
 *
 *   plugin -> keeper: deposit, withdraw, list, fetch, each on a connection of its own (one frame, one answer: frame.ts)
 *   plugin -> keeper: attach, on a connection that stays: both sides see at once when the other is gone
 *
 * The keeper does not look into what it holds. Credentials are in it, so it is in the keeper's memory only.
 */

/** Names one connection of the kernel. A device number is used again after the mount's end, so it is never compared alone. */
export interface DepositName {
  readonly volumeId: string;
  /** `major:minor` of the mount. */
  readonly device: string;
}

export interface Deposit extends DepositName {
  /** Of /dev/fuse. */
  readonly fd: number;
  /** At most MAX_BLOB_BYTES. */
  readonly blob: Uint8Array;
}

/** A connection that stays. */
export interface Attachment {
  /** Resolves when the keeper is gone. */
  readonly lost: Promise<void>;
  /**
   * Says that the caller is about to end: resolves when the keeper knows that it holds the only copies, which it then does not give up
   * until somebody else has attached. Fault `unavailable` when the keeper is gone: nobody holds anything.
   */
  leave(): Promise<void>;
}

/** All faults of a keeper that cannot be reached are `unavailable` or `timed_out`. */
export interface Keeper {
  list(): Promise<readonly DepositName[]>;
  /** Keeps a copy of the descriptor, in place of the volume's earlier one. The caller's stays open. Fault `too_big`. */
  deposit(deposit: Deposit): Promise<void>;
  /** A descriptor of the caller's own, or undefined when nothing is kept for the volume. */
  fetch(volumeId: string): Promise<Deposit | undefined>;
  /** Closes the copy, if it is of this device. */
  withdraw(name: DepositName): Promise<void>;
  /** To be called when copies of all descriptors are here: from then on the keeper may end. */
  attach(): Promise<Attachment>;
}

/** An engine's configuration has a few KiB; a bundle of certificate authorities some hundred. */
export const MAX_BLOB_BYTES = 1 << 20;

/** A request's header. */
export type KeeperRequest =
  | { readonly op: "list" }
  | ({ readonly op: "deposit" } & DepositName)
  | { readonly op: "fetch"; readonly volumeId: string }
  | ({ readonly op: "withdraw" } & DepositName)
  | { readonly op: "attach" }
  | { readonly op: "leave" };

/** An answer's header. `names` answers `list`, `found` answers `fetch`. */
export type KeeperAnswer =
  | { readonly ok: true; readonly names?: readonly DepositName[]; readonly found?: DepositName }
  | { readonly ok: false; readonly fault: string; readonly message: string };
