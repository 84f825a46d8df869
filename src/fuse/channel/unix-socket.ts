/**
 * Unix stream sockets that carry descriptors (SCM_RIGHTS, unix(7)). Node's own sockets cannot: libuv reads them without their ancillary
 * data, and the kernel then closes what was sent. So these are sockets of our own: every call is a non-blocking one on this thread, and
 * libuv's poll, which koffi hands out, says when it is worth while.
 */
import { chmodSync, closeSync } from "node:fs";
import { ERRNO } from "#core/errno.ts";
import { DriverError, type Fault } from "#core/errors.ts";
import { addressOf, errnoName, ReadyWatch, systemCall } from "./libc.ts";

const socketCall = systemCall("int socket(int domain, int type, int protocol)");
const bindCall = systemCall("int bind(int fd, const void *address, unsigned int length)");
const listenCall = systemCall("int listen(int fd, int backlog)");
const acceptCall = systemCall("int accept4(int fd, void *address, void *length, int flags)");
const connectCall = systemCall("int connect(int fd, const void *address, unsigned int length)");
const getsockoptCall = systemCall("int getsockopt(int fd, int level, int name, void *value, void *length)");
const sendmsgCall = systemCall("long sendmsg(int fd, const void *message, int flags)");
const recvmsgCall = systemCall("long recvmsg(int fd, void *message, int flags)");
const fcntlCall = systemCall("int fcntl(int fd, int command, long argument)");
const flockCall = systemCall("int flock(int fd, int operation)");
const pollCall = systemCall("int poll(void *entries, unsigned long count, int timeout)");

// <sys/socket.h>, <sys/un.h>, <fcntl.h>, <poll.h>: the same on x86-64 and arm64.
const AF_UNIX = 1;
const STREAM_CLOEXEC_NONBLOCK = 1 | 0o2000000 | 0o4000;
const CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const F_DUPFD_CLOEXEC = 1030;
const LOCK_EX_NB = 2 | 4;
const POLLERR_HUP_NVAL = 0x8 | 0x10 | 0x20;

/** sun_path, less its closing zero. */
const MAX_PATH_BYTES = 107;
const BACKLOG = 64;

/** What an errno of a socket call means to whoever called. */
const FAULT_OF: Readonly<Record<string, Fault>> = {
  ENOENT: "unavailable",
  ECONNREFUSED: "unavailable",
  ECONNRESET: "unavailable",
  EPIPE: "unavailable",
  // The listener's queue is full.
  EAGAIN: "unavailable",
  EADDRINUSE: "in_use",
  EACCES: "denied",
  EPERM: "denied",
  EMFILE: "no_memory",
  ENFILE: "no_memory",
};

function check(result: number, what: string): number {
  if (result >= 0) return result;
  const name = errnoName(-result);
  throw new DriverError(FAULT_OF[name] ?? "internal", `${what}: ${name}`, { context: { errno: name } });
}

function addressBytes(path: string): Buffer {
  const name = Buffer.from(path);
  if (name.length === 0 || name.length > MAX_PATH_BYTES || name.includes(0)) {
    throw new DriverError("bad_argument", `the socket path "${path}" must have 1 to ${MAX_PATH_BYTES} bytes`);
  }
  const bytes = Buffer.alloc(2 + name.length + 1);
  bytes.writeUInt16LE(AF_UNIX, 0);
  name.copy(bytes, 2);
  return bytes;
}

/** struct msghdr with one iovec and room for one descriptor. Longer fields are zero-extended, which suits glibc and musl. */
const header = Buffer.alloc(56);
const iovec = Buffer.alloc(16);
/** struct cmsghdr and an int: room for a second descriptor would let one in. */
const control = Buffer.alloc(24);
const CONTROL_BYTES = 20;

/** Fills the message; `bytes` must be referenced until the call is over. */
function message(bytes: Uint8Array, controlBytes: number): Buffer {
  iovec.writeBigUInt64LE(addressOf(bytes), 0);
  iovec.writeBigUInt64LE(BigInt(bytes.length), 8);
  header.fill(0);
  header.writeBigUInt64LE(addressOf(iovec), 16);
  header.writeUInt32LE(1, 24);
  if (controlBytes > 0) {
    header.writeBigUInt64LE(addressOf(control), 32);
    header.writeUInt32LE(controlBytes, 40);
  }
  return header;
}

function putDescriptor(fd: number): void {
  control.fill(0);
  control.writeUInt32LE(CONTROL_BYTES, 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(fd, 16);
}

/** The descriptor that the last recvmsg brought. */
function takeDescriptor(): number | undefined {
  if (header.readUInt32LE(40) < CONTROL_BYTES) return undefined;
  const isRights = control.readInt32LE(8) === SOL_SOCKET && control.readInt32LE(12) === SCM_RIGHTS;
  return isRights ? control.readInt32LE(16) : undefined;
}

/** What one `receive` brought. `bytes` is 0 when the other end has closed. Who receives a descriptor closes it. */
export interface Received {
  readonly bytes: number;
  readonly fd: number | undefined;
}

export class UnixSocket {
  readonly #fd: number;
  readonly #waits = new Set<ReadyWatch>();
  #closed = false;

  /** Of an open, non-blocking socket, which is closed with this. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Faults: `unavailable` when nobody listens there, `denied`, `bad_argument` for a path that is too long. */
  static connect(path: string): UnixSocket {
    const address = addressBytes(path);
    const fd = check(socketCall(AF_UNIX, STREAM_CLOEXEC_NONBLOCK, 0), "making a socket");
    try {
      check(connectCall(fd, address, address.length), `connecting to ${path}`);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return new UnixSocket(fd);
  }

  /** The user at the other end, as the kernel knows it: whoever connected, or made the listening socket. */
  peerUid(): number {
    const ucred = Buffer.alloc(12);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(ucred.length);
    check(getsockoptCall(this.#fd, SOL_SOCKET, SO_PEERCRED, ucred, length), "asking who is at the other end");
    return ucred.readUInt32LE(4);
  }

  /** True when the other end is known to be gone, without waiting. */
  get over(): boolean {
    return this.#closed || hasHungUp(this.#fd);
  }

  /** Sends all of it, `fd` with the first byte. Fault `unavailable` when the other end is gone, or this one was closed. */
  async send(bytes: Uint8Array, fd?: number): Promise<void> {
    let passed = fd;
    for (let sent = 0; sent < bytes.length; ) {
      if (this.#closed) throw closedHere();
      if (passed !== undefined) putDescriptor(passed);
      const rest = bytes.subarray(sent);
      const result = sendmsgCall(this.#fd, message(rest, passed === undefined ? 0 : control.length), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (result === -ERRNO.EAGAIN) await this.#ready({ writable: true });
      else if (result !== -ERRNO.EINTR) {
        sent += check(result, "sending");
        passed = undefined;
      }
    }
  }

  /** Waits for bytes. Fault `unavailable` when the connection broke or was closed here meanwhile. */
  async receive(into: Uint8Array): Promise<Received> {
    for (;;) {
      if (this.#closed) throw closedHere();
      const result = recvmsgCall(this.#fd, message(into, CONTROL_BYTES), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (result === -ERRNO.EAGAIN) await this.#ready({ readable: true });
      else if (result !== -ERRNO.EINTR) return { bytes: check(result, "receiving"), fd: takeDescriptor() };
    }
  }

  /** Who waits in `send` or `receive` fails. May be called twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const wait of this.#waits) wait.cancel();
    closeSync(this.#fd);
  }

  async #ready(events: { readonly readable?: true; readonly writable?: true }): Promise<void> {
    const wait = new ReadyWatch(this.#fd, events);
    this.#waits.add(wait);
    await wait.ready;
    this.#waits.delete(wait);
  }
}

function closedHere(): DriverError {
  return new DriverError("unavailable", "the connection was closed");
}

export class UnixListener {
  readonly #fd: number;
  #wait: ReadyWatch | undefined;
  #closed = false;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Listens on a path where nothing is yet, for this user alone (0600). Faults: `in_use`, `denied`, `unavailable` without the folder. */
  static listen(path: string): UnixListener {
    const address = addressBytes(path);
    const fd = check(socketCall(AF_UNIX, STREAM_CLOEXEC_NONBLOCK, 0), "making a socket");
    try {
      check(bindCall(fd, address, address.length), `listening on ${path}`);
      chmodSync(path, 0o600);
      check(listenCall(fd, BACKLOG), `listening on ${path}`);
      return new UnixListener(fd);
    } catch (error) {
      closeSync(fd);
      throw DriverError.from(error);
    }
  }

  /** The next connection; undefined once the listener is closed. Throws when the process has no descriptor left for it. */
  async accept(): Promise<UnixSocket | undefined> {
    while (!this.#closed) {
      const result = acceptCall(this.#fd, null, null, CLOEXEC_NONBLOCK);
      if (result !== -ERRNO.EAGAIN && result !== -ERRNO.EINTR) return new UnixSocket(check(result, "accepting a connection"));
      this.#wait = new ReadyWatch(this.#fd, { readable: true });
      await this.#wait.ready;
      this.#wait = undefined;
    }
    return undefined;
  }

  /** The path stays; whoever waits in `accept` gets undefined. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wait?.cancel();
    closeSync(this.#fd);
  }
}

/** A second descriptor of the same open file, closed by exec. Node has no call for it, and opening /proc/self/fd/N again is another file. */
export function duplicate(fd: number): number {
  return check(fcntlCall(fd, F_DUPFD_CLOEXEC, 0), `duplicating descriptor ${fd}`);
}

/** True for a socket whose other end is gone, and for a /dev/fuse whose connection has ended. Does not wait. */
export function hasHungUp(fd: number): boolean {
  const entry = Buffer.alloc(8);
  entry.writeInt32LE(fd, 0);
  return check(pollCall(entry, 1, 0), "polling") > 0 && (entry.readUInt16LE(6) & POLLERR_HUP_NVAL) !== 0;
}

/** flock(2) of an open file, without waiting: false while another open file has it. Gone when the last descriptor of this one is closed. */
export function lockExclusively(fd: number): boolean {
  const result = flockCall(fd, LOCK_EX_NB);
  return result !== -ERRNO.EAGAIN && check(result, `locking descriptor ${fd}`) === 0;
}
