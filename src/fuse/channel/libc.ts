/**
 * The system calls Node has no function for, through koffi: the only importer of koffi in the project.
 *
 * The symbols come from the process itself (`load(null)`), which is linked with the machine's libc: so the same code runs
 * with glibc and with musl. mount and umount2 run on another thread: they may wait for a file system, and a process that
 * waits for a mount which it watches over must go on working.
 */
import { constants } from "node:fs";
import koffi from "koffi";
import { ERRNO, type ErrnoName } from "#core/errno.ts";
import { DriverError, type Fault } from "#core/errors.ts";

const self = koffi.load(null);
const mountCall = self.func("int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)");
const umountCall = self.func("int umount2(const char *target, int flags)");
const exitCall = self.func("void _exit(int status)");
const fcntlCall = self.func("int fcntl(int fd, int command, long argument)");
const readCall = self.func("long read(int fd, void *buffer, unsigned long size)");
const ioctlCall = self.func("int ioctl(int fd, unsigned long request, void *argument)");

/** mount(2)'s flags, from <linux/mount.h>. */
export const MS = { RDONLY: 1, NOSUID: 2, NODEV: 4, NOEXEC: 8, REMOUNT: 32, BIND: 4096 } as const;

/** umount2(2)'s flags. */
export const MNT = { FORCE: 1, DETACH: 2 } as const;
export const UMOUNT_NOFOLLOW = 8;

const NAMES = new Map<number, ErrnoName>(Object.entries(ERRNO).map(([name, number]) => [number, name as ErrnoName]));

/** "ENOENT" of 2; "errno 200" of a number that has no name here. */
export function errnoName(number: number): string {
  return NAMES.get(number) ?? `errno ${number}`;
}

/** What an errno of mount(2) and umount2(2) means to us, and what to tell the user. */
const MEANING: Readonly<Record<string, { readonly fault: Fault; readonly hint?: string }>> = {
  EBUSY: { fault: "in_use", hint: "a process has a file or its working directory there, or it is mounted already" },
  ENOENT: { fault: "not_found", hint: "no such file or directory" },
  EPERM: { fault: "denied", hint: "needs root (CAP_SYS_ADMIN)" },
  EACCES: { fault: "denied" },
  EINVAL: { fault: "bad_argument" },
  ENOTDIR: { fault: "not_dir", hint: "not a directory" },
  ENOTCONN: { fault: "unavailable", hint: "the file system there has lost its engine" },
  ENODEV: { fault: "precondition", hint: "the kernel has no FUSE: modprobe fuse" },
  ENOMEM: { fault: "no_memory" },
};

/** The error of a failed call: `what` says what was tried and on which path. */
export function systemError(what: string, errno: number, hints: Readonly<Record<string, string>> = {}): DriverError {
  const name = errnoName(errno);
  const meaning = MEANING[name];
  const hint = hints[name] ?? meaning?.hint;
  return new DriverError(meaning?.fault ?? "internal", `${what}: ${name}${hint === undefined ? "" : ` (${hint})`}`, {
    context: { errno: name },
  });
}

/** Calls off this thread; resolves with 0 or the errno. */
function offThread(call: typeof mountCall, ...args: readonly unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    call.async(...args, (error: Error | null, result: number) => {
      if (error !== null) reject(error);
      else resolve(result === 0 ? 0 : koffi.errno());
    });
  });
}

/** mount(2). Resolves with 0 or the errno. */
export function mount(source: string, target: string, type: string | null, flags: number, data: string | null): Promise<number> {
  return offThread(mountCall, source, target, type, flags, data);
}

/** umount2(2). Resolves with 0 or the errno. */
export function umount2(target: string, flags: number): Promise<number> {
  return offThread(umountCall, target, flags);
}

/** ioctl(2) with a pointer argument. Returns its result, or minus the errno. */
export function ioctl(fd: number, request: number, argument: Uint8Array): number {
  const result: number = ioctlCall(fd, request, argument);
  return result < 0 ? -koffi.errno() : result;
}

/** fcntl(2)'s commands, from <fcntl.h>. */
const F_GETFL = 3;
const F_SETFL = 4;

/** Makes reads and writes that would have to wait fail with EAGAIN: a property of the open file, with whoever else holds it. */
export function setNonBlocking(fd: number): void {
  fcntlCall(fd, F_SETFL, fcntlCall(fd, F_GETFL, 0) | constants.O_NONBLOCK);
}

/** read(2) on this thread. Returns the bytes read, or minus the errno: no error object is made for an EAGAIN. */
export function readNow(fd: number, buffer: Uint8Array): number {
  const result = Number(readCall(fd, buffer, buffer.byteLength));
  return result < 0 ? -koffi.errno() : result;
}

/** A function of libc's that answers an int or long: the result, or minus the errno. It runs on this thread, so it must not block. */
export function systemCall(declaration: string): (...args: readonly unknown[]) => number {
  const call = self.func(declaration);
  return (...args) => {
    const result = Number(call(...args));
    return result < 0 ? -koffi.errno() : result;
  };
}

/** A function of libc's that may block: it runs on another thread. Resolves with 0, or with errno when it answers anything else. */
export function blockingCall(declaration: string): (...args: readonly unknown[]) => Promise<number> {
  const call = self.func(declaration);
  return (...args) => offThread(call, ...args);
}

/** Where a buffer lies, for structs that point to it. It holds as long as the buffer is referenced. */
export function addressOf(buffer: Uint8Array): bigint {
  return koffi.address(buffer);
}

/** Waits, in the event loop and without a thread, until a socket can be read or written, or its other end is gone. */
export class ReadyWatch {
  readonly #handle: ReturnType<typeof koffi.node.poll>;
  #settle: ((ready: boolean) => void) | undefined;

  constructor(fd: number, events: { readonly readable?: true; readonly writable?: true }) {
    const tell = (): void => {
      this.#handle.stop();
      // Called from outside of any JavaScript: what is resolved here would wait for the next turn of the loop.
      setImmediate(() => this.#end(true));
    };
    this.ready = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#handle = koffi.node.poll(fd, { ...events, disconnect: true }, tell);
  }

  /** True when something can be done; false when `cancel` was first. */
  readonly ready: Promise<boolean>;

  /** To be called before the descriptor is closed. */
  cancel(): void {
    this.#end(false);
  }

  #end(ready: boolean): void {
    if (this.#settle === undefined) return;
    this.#handle.close();
    this.#settle(ready);
    this.#settle = undefined;
  }
}

/** Calls, in the event loop and without a thread, whenever a descriptor can be read or its other end is gone. Reading is up to who hears. */
export class ReadableWatch {
  readonly #handle: ReturnType<typeof koffi.node.poll>;

  /** `tell` is called from outside of any JavaScript: promises that it resolves wait for the next turn of the loop. */
  constructor(fd: number, tell: () => void) {
    this.#handle = koffi.node.poll(fd, { readable: true, disconnect: true }, tell);
  }

  /** To be called before the descriptor is closed. */
  close(): void {
    this.#handle.close();
  }
}

/** _exit(2): ends the process without running anything on the way out. */
export function exitAtOnce(status: number): void {
  exitCall(status);
}
