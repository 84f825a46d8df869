/**
 * The second `KernelChannel`: through libfuse 2, by the optional package `fuse-native`. For machines where /dev/fuse may only be reached
 * through libfuse's setuid helper, and for macOS.
 *
 * It mounts by itself, so an engine's death ends the mount. What the library does not pass on, nobody above can have (docs/SEMANTICS.md): the caller's
 * uid, flags at creation and of rename, fallocate, lseek, nanoseconds, a modification time of its own (its utimens hands on the
 * access time twice), names that are not UTF-8, passthrough, notices to the kernel. A file that is removed while it is open is renamed to
 * `.fuse_hidden...` by libfuse until it is closed.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { DriverError } from "#core/errors.ts";
import { type Logger, silentLogger } from "#core/log.ts";
import type { OpHandlers } from "#fuse/wire/ops.ts";
import type { KernelChannel, KernelFeatures } from "./channel.ts";
import { LibfuseOperations } from "./libfuse-operations.ts";
import { FS_TYPE, mountEntries } from "./mount.ts";
import { PathOperations } from "./path-operations.ts";

export interface LibfuseOptions {
  /** An absolute path without symlinks. */
  readonly mountPoint: string;
  /** Shown as the mounted device. */
  readonly source: string;
  readonly allowOther: boolean;
  /** For mount(2), such as `ro` or `nosuid`. */
  readonly mountOptions?: readonly string[];
  readonly log?: Logger;
}

/** The mount table tells nobody in this process of a change: it is looked at. */
const WATCH_MS = 200;
/**
 * Our numbers of files, and nothing of a file kept in the kernel beyond an open: to libfuse each path is a file of its own, so the kernel would
 * go on showing what one name of a file had before it was changed through another.
 */
const LIBFUSE_OPTIONS = ["big_writes", "use_ino", "attr_timeout=0", "auto_cache"];
/** libfuse's largest write. */
const MAX_WRITE = 128 << 10;

/** Fault `precondition` when the package or its library is not there. */
export async function openLibfuseChannel(options: LibfuseOptions): Promise<KernelChannel> {
  const { default: Fuse } = await import("fuse-native").catch((cause: unknown) => {
    throw new DriverError(
      "precondition",
      "channel=fuse-native needs the optional package fuse-native and libfuse 2: npm install fuse-native, apt-get install libfuse2",
      { cause },
    );
  });
  return new LibfuseChannel(Fuse, options);
}

class LibfuseChannel implements KernelChannel {
  readonly features: KernelFeatures = { passthrough: false, resend: false, maxWrite: MAX_WRITE, minor: 0 };
  readonly init = new Uint8Array(0);
  readonly #Fuse: typeof import("fuse-native").default;
  readonly #options: LibfuseOptions;
  readonly #log: Logger;

  constructor(Fuse: typeof import("fuse-native").default, options: LibfuseOptions) {
    this.#Fuse = Fuse;
    this.#options = options;
    this.#log = options.log ?? silentLogger;
  }

  async serve(handlers: OpHandlers): Promise<void> {
    const { mountPoint, source, allowOther, mountOptions = [] } = this.#options;
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const operations = new LibfuseOperations(new PathOperations(handlers, owner), this.#log);
    const fuse = new this.#Fuse(mountPoint, operations.table(), {
      ...{ allowOther, defaultPermissions: true, subtype: FS_TYPE.replace("fuse.", ""), timeout: false },
      // The library joins what it is given by commas; there is no other place for further options.
      fsname: [source, ...mountOptions, ...LIBFUSE_OPTIONS].join(","),
    });
    await new Promise<void>((resolve, reject) => fuse.mount((error) => (error === null ? resolve() : reject(this.#refusal(error)))));
    while (this.#isMounted()) await sleep(WATCH_MS);
    await operations.settled();
  }

  registerBacking(): undefined {
    return undefined;
  }

  unregisterBacking(): void {}

  invalidateNode(): void {}

  invalidateEntry(): void {}

  #refusal(cause: Error): DriverError {
    const { source, mountPoint } = this.#options;
    return new DriverError("precondition", `mounting ${source} on ${mountPoint} through libfuse: ${cause.message}`, { cause });
  }

  #isMounted(): boolean {
    return mountEntries().some(({ mountPoint }) => mountPoint === this.#options.mountPoint);
  }
}
