/** The node plugin's side of the keeper, and the public face of this folder for it. */
import { closeSync } from "node:fs";
import { DriverError, FAULTS, type Fault } from "#core/errors.ts";
import { duplicate, hasHungUp, UnixSocket } from "#fuse/channel/unix-socket.ts";
import { type Frame, receiveFrame, sendFrame } from "./frame.ts";
import {
  type Attachment,
  type Deposit,
  type DepositName,
  type Keeper,
  type KeeperAnswer,
  type KeeperRequest,
  MAX_BLOB_BYTES,
} from "./protocol.ts";
import { isTrusted } from "./trust.ts";

export type { Attachment, Deposit, DepositName, Keeper } from "./protocol.ts";

export interface KeeperClientOptions {
  readonly socketPath: string;
  /** How long an answer may take. Default 10 s: the keeper answers within a millisecond, unless the machine stands still. */
  readonly answerMs?: number;
}

/** Nothing is connected before the first call. Every call throws `unavailable` or `timed_out` when the keeper cannot be reached. */
export function createKeeperClient({ socketPath, answerMs = 10_000 }: KeeperClientOptions): Keeper {
  const ask = (request: KeeperRequest, blob?: Uint8Array, fd?: number) =>
    withConnection(socketPath, answerMs, (socket) => exchange(socket, request, blob, fd));
  return {
    async list() {
      const { names } = withoutDescriptor(await ask({ op: "list" }));
      return names ?? [];
    },

    async deposit({ volumeId, device, fd, blob }: Deposit) {
      if (blob.length > MAX_BLOB_BYTES) {
        throw new DriverError(
          "too_big",
          `what is to be kept of volume ${volumeId} has ${blob.length} bytes; the keeper takes ${MAX_BLOB_BYTES}`,
        );
      }
      // Of our own: the caller may close the other while this waits.
      const copy = duplicate(fd);
      try {
        withoutDescriptor(await ask({ op: "deposit", volumeId, device }, blob, copy));
      } finally {
        closeSync(copy);
      }
    },

    async fetch(volumeId: string) {
      const reply = await ask({ op: "fetch", volumeId });
      const { found } = reply.answer;
      if (found === undefined || reply.fd === undefined) return void withoutDescriptor(reply);
      return { ...found, blob: reply.blob, fd: reply.fd };
    },

    async withdraw({ volumeId, device }: DepositName) {
      withoutDescriptor(await ask({ op: "withdraw", volumeId, device }));
    },

    attach: () => attach(socketPath, answerMs),
  };
}

/** True when the connection of this /dev/fuse has ended, so that no engine can serve it any more. Does not wait. */
export function hasEnded(fuseFd: number): boolean {
  return hasHungUp(fuseFd);
}

interface Reply extends Omit<Frame, "header"> {
  readonly answer: Extract<KeeperAnswer, { ok: true }>;
}

async function attach(socketPath: string, answerMs: number): Promise<Attachment> {
  const socket = connect(socketPath);
  const within = <T>(work: () => Promise<T>) => closingAfter(socket, answerMs, work);
  try {
    withoutDescriptor(await within(() => exchange(socket, { op: "attach" })));
  } catch (error) {
    socket.close();
    throw error;
  }
  const answers: PromiseWithResolvers<void>[] = [];
  const lost = watch(socket, answers);
  return {
    lost,
    leave: () =>
      within(async () => {
        const left = Promise.withResolvers<void>();
        answers.push(left);
        // The answer comes to `watch`; when the connection breaks, so does it.
        left.promise.catch(() => undefined);
        await sendFrame(socket, { op: "leave" } satisfies KeeperRequest);
        await left.promise;
      }),
  };
}

/** Reads until the connection ends: each frame settles the oldest of `answers`, the end all of them. */
async function watch(socket: UnixSocket, answers: PromiseWithResolvers<void>[]): Promise<void> {
  try {
    for (let frame = await receiveFrame(socket); frame !== undefined; frame = await receiveFrame(socket)) {
      withoutDescriptor(replyOf(frame));
      answers.shift()?.resolve();
    }
  } catch {
    // A broken connection is an ended one.
  } finally {
    socket.close();
    for (const answer of answers) answer.reject(new DriverError("unavailable", "the keeper is gone"));
  }
}

async function withConnection<T>(socketPath: string, answerMs: number, work: (socket: UnixSocket) => Promise<T>): Promise<T> {
  const socket = connect(socketPath);
  try {
    return await closingAfter(socket, answerMs, () => work(socket));
  } finally {
    socket.close();
  }
}

/** A listener that is not ours must not get a descriptor, still less a secret. */
function connect(socketPath: string): UnixSocket {
  const socket = UnixSocket.connect(socketPath);
  const uid = socket.peerUid();
  if (isTrusted(uid)) return socket;
  socket.close();
  throw new DriverError("denied", `the keeper's socket ${socketPath} is served by uid ${uid}, which is neither root nor this process's`);
}

/** Closing the socket is what ends the work that waits on it. */
async function closingAfter<T>(socket: UnixSocket, ms: number, work: () => Promise<T>): Promise<T> {
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    socket.close();
  }, ms);
  try {
    return await work();
  } catch (error) {
    throw late ? new DriverError("timed_out", `the keeper did not answer within ${ms / 1000} s`, { cause: error }) : error;
  } finally {
    clearTimeout(timer);
  }
}

async function exchange(socket: UnixSocket, request: KeeperRequest, blob?: Uint8Array, fd?: number): Promise<Reply> {
  await sendFrame(socket, request, blob, fd);
  const frame = await receiveFrame(socket);
  if (frame === undefined) throw new DriverError("unavailable", "the keeper ended without an answer");
  return replyOf(frame);
}

function replyOf({ header, blob, fd }: Frame): Reply {
  const answer = header as KeeperAnswer;
  if (answer.ok) return { answer, blob, fd };
  if (fd !== undefined) closeSync(fd);
  throw new DriverError(Object.hasOwn(FAULTS, answer.fault) ? (answer.fault as Fault) : "internal", `the keeper: ${answer.message}`);
}

function withoutDescriptor({ answer, fd }: Reply): Reply["answer"] {
  if (fd !== undefined) closeSync(fd);
  return answer;
}
