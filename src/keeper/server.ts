/** The keeper's side of the socket. It holds what it is given, and does nothing else. */
import { closeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { duplicate, hasHungUp, UnixListener, type UnixSocket } from "#fuse/channel/unix-socket.ts";
import { type Frame, receiveFrame, sendFrame } from "./frame.ts";
import type { Deposit, KeeperAnswer, KeeperRequest } from "./protocol.ts";
import { claimSocketPath } from "./socket-path.ts";
import { isTrusted } from "./trust.ts";
import { Vault } from "./vault.ts";

export interface KeeperServerOptions {
  /** In a folder of the keeper's alone: socket-path.ts. */
  readonly socketPath: string;
  readonly log: Logger;
  /** How often dead descriptors and idle connections are looked for. Default 30 s. */
  readonly sweepMs?: number;
}

export interface KeeperServer {
  /** Resolves when it has stopped serving and every descriptor is closed. */
  readonly ended: Promise<void>;
  /** How many mounts it holds. */
  readonly held: number;
  /**
   * Asks it to end. It does so at once while a plugin is attached, which has copies of everything, and when it holds nothing. Else its
   * copies are the last: it goes on until a plugin has attached, or until it is asked again.
   */
  stop(): void;
}

/** A request is one frame of a process on this machine; who takes longer has forgotten us. */
const REQUEST_MS = 60_000;
const MAX_ID_BYTES = 1024;

/** Serves the socket. Faults: `in_use` while another keeper does, `precondition` for a folder that is not the keeper's alone. */
export async function serveKeeper(options: KeeperServerOptions): Promise<KeeperServer> {
  const claim = await claimSocketPath(options.socketPath);
  try {
    return new Server(options, UnixListener.listen(options.socketPath), claim.release);
  } catch (error) {
    claim.release();
    throw error;
  }
}

class Server implements KeeperServer {
  readonly ended: Promise<void>;
  readonly #log: Logger;
  readonly #listener: UnixListener;
  readonly #vault = new Vault({ close: closeSync, hasEnded: hasHungUp });
  /** Every connection, and when it is late with its request; an attached one never is. */
  readonly #connections = new Map<UnixSocket, number>();
  readonly #attached = new Set<UnixSocket>();
  readonly #sweeper: NodeJS.Timeout;
  #stopping = false;

  constructor({ log, sweepMs = 30_000 }: KeeperServerOptions, listener: UnixListener, release: () => void) {
    this.#log = log;
    this.#listener = listener;
    this.#sweeper = setInterval(() => this.#sweep(), sweepMs);
    this.ended = this.#acceptAll().finally(() => {
      clearInterval(this.#sweeper);
      for (const socket of this.#connections.keys()) socket.close();
      this.#vault.clear();
      release();
    });
  }

  get held(): number {
    return this.#vault.size;
  }

  stop(): void {
    const asked = this.#stopping;
    this.#stopping = true;
    if (asked) this.#listener.close();
    else if (!this.#endIfFree()) {
      this.#log.warn({ mounts: this.#vault.size }, "no node plugin is attached: the mounts live by this process, which waits for one");
    }
  }

  /** Ends when it was asked to and its copies are not the last. */
  #endIfFree(): boolean {
    const attached = [...this.#attached].some((socket) => !socket.over);
    if (!this.#stopping || (this.#vault.size > 0 && !attached)) return false;
    this.#listener.close();
    return true;
  }

  async #acceptAll(): Promise<void> {
    for (;;) {
      try {
        const socket = await this.#listener.accept();
        if (socket === undefined) return;
        void this.#serve(socket);
      } catch (error) {
        // Out of descriptors: who connected waits in the queue.
        this.#log.error({ error }, "cannot accept a connection");
        await sleep(100);
      }
    }
  }

  async #serve(socket: UnixSocket): Promise<void> {
    this.#connections.set(socket, Date.now() + REQUEST_MS);
    try {
      const uid = socket.peerUid();
      if (!isTrusted(uid)) return this.#log.warn({ uid }, "a connection of another user was refused");
      for (let frame = await receiveFrame(socket); frame !== undefined; frame = await receiveFrame(socket)) {
        await this.#answer(socket, frame);
        this.#endIfFree();
      }
    } catch (error) {
      this.#log.debug({ error }, "a connection broke");
    } finally {
      this.#connections.delete(socket);
      this.#attached.delete(socket);
      socket.close();
    }
  }

  async #answer(socket: UnixSocket, frame: Frame): Promise<void> {
    let answer: KeeperAnswer;
    let found: Deposit | undefined;
    try {
      found = this.#handle(socket, frame.header as KeeperRequest, frame);
      answer = { ok: true, ...this.#told(frame.header as KeeperRequest, found) };
    } catch (thrown) {
      const { fault, message } = DriverError.from(thrown);
      answer = { ok: false, fault, message };
    }
    if (found === undefined) return sendFrame(socket, answer);
    // Of our own: the deposit may be withdrawn while this waits.
    const copy = duplicate(found.fd);
    try {
      await sendFrame(socket, answer, found.blob, copy);
    } finally {
      closeSync(copy);
    }
  }

  /** Does what is asked; `fetch` answers the deposit. The frame's descriptor is in the vault or closed afterwards. */
  #handle(socket: UnixSocket, request: KeeperRequest, { blob, fd }: Frame): Deposit | undefined {
    if (request.op === "deposit") return void this.#deposit(request, blob, fd);
    if (fd !== undefined) closeSync(fd);
    switch (request.op) {
      case "list":
        return undefined;
      case "fetch":
        return this.#vault.get(request.volumeId);
      case "withdraw":
        if (this.#vault.remove(request)) this.#log.info({ volumeId: request.volumeId, device: request.device }, "a mount was withdrawn");
        return undefined;
      case "attach":
        this.#attached.add(socket);
        this.#connections.set(socket, Number.POSITIVE_INFINITY);
        return undefined;
      case "leave":
        this.#attached.delete(socket);
        return undefined;
      default:
        throw new DriverError("unsupported", "unknown operation: the keeper is older than the plugin");
    }
  }

  #told({ op }: KeeperRequest, found: Deposit | undefined): Pick<Extract<KeeperAnswer, { ok: true }>, "names" | "found"> {
    if (op === "list") return { names: this.#vault.names() };
    return found === undefined ? {} : { found: { volumeId: found.volumeId, device: found.device } };
  }

  #deposit({ volumeId, device }: Extract<KeeperRequest, { op: "deposit" }>, blob: Uint8Array, fd: number | undefined): void {
    if (fd === undefined) throw new DriverError("bad_argument", "a deposit without a descriptor");
    if (!isName(volumeId) || !isName(device)) {
      closeSync(fd);
      throw new DriverError("bad_argument", `a deposit's volumeId and device must be strings of 1 to ${MAX_ID_BYTES} characters`);
    }
    this.#vault.put({ volumeId, device, fd, blob });
    this.#log.info({ volumeId, device, mounts: this.#vault.size }, "a mount was deposited");
  }

  #sweep(): void {
    for (const name of this.#vault.sweep()) this.#log.info({ ...name }, "a mount has ended and is no longer held");
    for (const [socket, lateAt] of this.#connections) if (Date.now() > lateAt) socket.close();
    this.#endIfFree();
  }
}

function isName(value: unknown): boolean {
  return typeof value === "string" && value.length > 0 && value.length <= MAX_ID_BYTES;
}
