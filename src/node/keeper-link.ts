/**
 * The plugin's standing connection to the keeper: every mount of this process is deposited there, again whenever the keeper was
 * replaced, and what an earlier plugin deposited is taken over. Without a keeper everything works, until this process ends: its mounts
 * then end with it, where its engines do (a pod).
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "#core/log.ts";
import type { Attachment, Deposit, DepositName, Keeper } from "#keeper/client.ts";

export interface KeeperLinkOptions {
  readonly keeper: Keeper;
  /** Every descriptor that this process holds, now. */
  readonly held: () => readonly Deposit[];
  /** Takes over a descriptor that this process did not have. */
  readonly take: (found: Deposit) => void;
  readonly log: Logger;
  /** How often to look for what others deposited. Default 2 s. */
  readonly lookMs?: number;
}

const LOOK_MS = 2000;

/** How long to wait before the n-th attempt to reach the keeper: it is replaced within seconds, and a try costs nothing. */
function retryDelayMs(failures: number): number {
  return Math.min(1000, 50 * 2 ** Math.min(failures, 10));
}

export class KeeperLink {
  readonly #options: KeeperLinkOptions;
  readonly #closing = new AbortController();
  #attachment: Attachment | undefined;

  constructor(options: KeeperLinkOptions) {
    this.#options = options;
  }

  /** True while the keeper has copies of everything. */
  get attached(): boolean {
    return this.#attachment !== undefined;
  }

  /** Resolves when all that the keeper holds was given to `take`, or when it could not be reached; the link goes on trying. */
  start(): Promise<void> {
    return new Promise((resolve) => void this.#run(resolve));
  }

  /** Deposits one more mount. A keeper that is away gets it when it is back. */
  async keep(deposit: Deposit): Promise<void> {
    if (!this.attached) return;
    await this.#options.keeper.deposit(deposit).catch((error: unknown) => {
      this.#options.log.warn(
        { error, volumeId: deposit.volumeId },
        "the keeper did not take the mount: it has it after the next reconnect",
      );
    });
  }

  /** The mount is gone. A keeper that cannot be told finds out by itself. */
  async letGo(name: DepositName): Promise<void> {
    if (!this.attached) return;
    await this.#options.keeper.withdraw(name).catch((error: unknown) => {
      this.#options.log.debug({ error, volumeId: name.volumeId }, "the keeper was not told that the mount is gone");
    });
  }

  /**
   * To be called when this process is about to end and takes its engines along: resolves when the keeper knows that it has the last
   * copies, waiting for one that is being replaced. False when that took longer than `ms`: the mounts end with this process.
   */
  async leave(ms: number): Promise<boolean> {
    for (const end = Date.now() + ms; ; await sleep(50)) {
      const left = await this.#attachment?.leave().then(
        () => true,
        () => false,
      );
      if (left || this.#options.held().length === 0) return true;
      if (Date.now() >= end) return false;
    }
  }

  /** Ends the link; the keeper keeps what it has. */
  close(): void {
    this.#closing.abort();
  }

  async #run(first: () => void): Promise<void> {
    const { keeper, log } = this.#options;
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted; ) {
      try {
        await this.#synchronise();
        this.#attachment = await keeper.attach();
        failures = 0;
        log.info({ mounts: this.#options.held().length }, "the keeper holds copies of all mounts");
        first();
        await this.#takeWhatTurnsUp(this.#attachment.lost);
        log.warn({}, "the keeper is gone; the next one gets every mount");
      } catch (error) {
        failures += 1;
        if (failures === 1) log.warn({ error }, "no keeper can be reached: until then a mount ends when this plugin's pod does");
        first();
      }
      this.#attachment = undefined;
      await sleep(retryDelayMs(failures), undefined, { signal }).catch(() => undefined);
    }
  }

  async #synchronise(): Promise<void> {
    const { keeper, held } = this.#options;
    await this.#takeUnknown();
    for (const deposit of held()) await keeper.deposit(deposit);
  }

  async #takeUnknown(): Promise<void> {
    const { keeper, held, take } = this.#options;
    const here = new Set(held().map(({ volumeId }) => volumeId));
    for (const { volumeId } of await keeper.list()) {
      const found = here.has(volumeId) ? undefined : await keeper.fetch(volumeId);
      if (found !== undefined) take(found);
    }
  }

  /**
   * A plugin that is about to end may find the new keeper after its successor did, and deposit what nobody else has: without this its
   * mounts would be held and never served. Resolves when the keeper is gone.
   */
  async #takeWhatTurnsUp(lost: Promise<void>): Promise<void> {
    const { signal } = this.#closing;
    const gone = lost.then(() => true);
    const pause = () => sleep(this.#options.lookMs ?? LOOK_MS, false, { signal }).catch(() => true);
    while (!(await Promise.race([gone, pause()]))) {
      await this.#takeUnknown().catch((error: unknown) => this.#options.log.debug({ error }, "the keeper does not say what it holds"));
    }
    await lost;
  }
}
