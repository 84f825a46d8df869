/**
 * `VfsWorld`: one mounted file system of one host, without a kernel: the real content cache, readers, spool, journal and attribute
 * cache in a temporary folder, on a store in memory (or any other). A second world on the same store and clock is another host.
 *
 *   await using world = await VfsWorld.open();
 *   await world.user.writeFile("f", "hello");          // what a process does
 *   world.clock.advance(2000);                         // beyond the TTL
 *   await using next = await world.successor(true);    // kill -9, and the engine that takes over
 */
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "#core/clock.ts";
import { DriverError } from "#core/errors.ts";
import { SharedMutex } from "#core/mutex.ts";
import { createDiskContentCache } from "#fuse/cache/disk-cache.ts";
import { createAttrCache } from "#fuse/cache/sqlite-attr-cache.ts";
import { openStateStore } from "#fuse/journal/open-state-store.ts";
import type { StateStore } from "#fuse/journal/state-store.ts";
import { createContentReaders } from "#fuse/read/content-readers.ts";
import { BucketFileSystem } from "#fuse/vfs/bucket-filesystem.ts";
import type { StoreConditions, VfsContext, VfsOptions } from "#fuse/vfs/context.ts";
import { InodeTable } from "#fuse/vfs/inode-table.ts";
import type { KernelPort } from "#fuse/vfs/kernel-port.ts";
import { OrderedStore } from "#fuse/vfs/ordered-store.ts";
import { Removals } from "#fuse/vfs/removals.ts";
import { createSpool, type SpoolOptions } from "#fuse/write/create-spool.ts";
import type { ObjectStore } from "#s3/object-store.ts";
import { KernelUser } from "./kernel-user.ts";
import { MemoryObjectStore } from "./memory-object-store.ts";
import { createMemoryMedium, createMemoryStateStore, type MemoryMedium } from "./memory-state-store.ts";
import { recordingLogger } from "./recording-logger.ts";

export class ManualClock implements Clock {
  #now: number;

  constructor(startMs = Date.now()) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  advance(ms: number): void {
    this.#now += ms;
  }
}

/** The kernel's side of passthrough: keeps a descriptor of its own of each registered file. */
export class FakeKernelPort implements KernelPort {
  readonly passthrough: boolean;
  readonly #files = new Map<number, number>();
  #next = 1;

  constructor(passthrough: boolean) {
    this.passthrough = passthrough;
  }

  get registered(): number {
    return this.#files.size;
  }

  registerBacking(fd: number): number | undefined {
    const id = this.#next++;
    this.#files.set(id, openSync(`/proc/self/fd/${fd}`, "r+"));
    return id;
  }

  unregisterBacking(backingId: number): void {
    const fd = this.fd(backingId);
    this.#files.delete(backingId);
    closeSync(fd);
  }

  /** Descriptor of a registered file. Throws for an id that is not, or no longer, registered. */
  fd(backingId: number): number {
    const fd = this.#files.get(backingId);
    if (fd === undefined) throw new Error(`EINVAL: no backing file ${backingId}`);
    return fd;
  }

  invalidateNode(): void {}

  invalidateEntry(): void {}

  close(): void {
    for (const fd of this.#files.values()) closeSync(fd);
    this.#files.clear();
  }
}

export interface WorldOptions {
  /** Default: a MemoryObjectStore on the world's clock. */
  readonly store?: ObjectStore;
  readonly clock?: ManualClock;
  readonly passthrough?: boolean;
  /** The journal on disk; default: rows in memory. */
  readonly journal?: boolean;
  readonly options?: Partial<VfsOptions>;
  readonly conditions?: Partial<StoreConditions>;
  readonly upload?: Partial<Omit<SpoolOptions, "store" | "dir">>;
}

/** What outlives an engine: the folder, and what the kernel holds. */
interface Remains {
  readonly home: string;
  readonly medium: MemoryMedium;
  readonly kernel: FakeKernelPort;
}

const ALL_CONDITIONS: StoreConditions = { putIfNoneMatch: true, putIfMatch: true, deleteIfMatch: true, copySourceIfMatch: true };

export const METADATA_TTL_MS = 1000;

export class VfsWorld {
  readonly fs: BucketFileSystem;
  readonly user: KernelUser;
  readonly clock: ManualClock;
  readonly store: ObjectStore;
  readonly kernel: FakeKernelPort;
  readonly context: VfsContext;
  readonly log: ReturnType<typeof recordingLogger>;
  /** What was said of uploads: how many files wait, and the last one's fault. */
  readonly uploads: (readonly [waiting: number, fault: string | undefined])[] = [];
  readonly #given: WorldOptions;
  readonly #remains: Remains;
  #over = false;

  private constructor(given: WorldOptions, remains: Remains) {
    this.#given = given;
    this.#remains = remains;
    this.clock = given.clock ?? new ManualClock();
    this.store = given.store ?? new MemoryObjectStore({ clock: this.clock });
    this.kernel = remains.kernel;
    this.log = recordingLogger();
    this.context = this.#createContext();
    this.fs = new BucketFileSystem(this.context);
    this.user = new KernelUser(this.fs, { backing: (id) => this.kernel.fd(id) });
  }

  static async open(given: WorldOptions = {}): Promise<VfsWorld> {
    const home = mkdtempSync(join(tmpdir(), "vfs-world-"));
    const world = new VfsWorld(given, { home, medium: createMemoryMedium(), kernel: new FakeKernelPort(given.passthrough ?? false) });
    world.context.state.beginConnection();
    await world.fs.recover(false);
    return world;
  }

  /** The store, when it is the one in memory. */
  get memory(): MemoryObjectStore {
    return this.store as MemoryObjectStore;
  }

  /** Where data of refused writers is put. Texts by file name. */
  conflicts(): Record<string, string> {
    const { conflictDir } = this.context.options;
    try {
      return Object.fromEntries(readdirSync(conflictDir).map((name) => [name, readFileSync(join(conflictDir, name), "utf8")]));
    } catch {
      return {};
    }
  }

  /** Files in the spool folder. */
  spooled(): string[] {
    return readdirSync(join(this.#remains.home, "spool"));
  }

  /** Another host on the same bucket and clock. */
  other(given: Partial<WorldOptions> = {}): Promise<VfsWorld> {
    const { options, conditions, upload } = this.#given;
    return VfsWorld.open({ ...defined({ options, conditions, upload }), store: this.store, clock: this.clock, ...given });
  }

  /**
   * The engine dies here and now; the next one opens what it left. With `takeover` the kernel's connection goes on, node and handle
   * numbers with it; otherwise a new one begins.
   */
  async successor(takeover: boolean, given: Partial<WorldOptions> = {}): Promise<VfsWorld> {
    await this.#abandon();
    if (!takeover) this.kernel.close();
    const kernel = takeover ? this.kernel : new FakeKernelPort(this.kernel.passthrough);
    const next = new VfsWorld({ ...this.#given, store: this.store, clock: this.clock, ...given }, { ...this.#remains, kernel });
    if (!takeover) next.context.state.beginConnection();
    try {
      await next.fs.recover(takeover);
    } catch (error) {
      await next.#abandon();
      throw error;
    }
    return next;
  }

  /** The unmount: everything is uploaded, then the folders go. */
  async close(): Promise<void> {
    if (this.#over) return;
    try {
      await this.fs.destroy();
    } finally {
      await this.remove();
    }
  }

  /** Ends the world without uploading. */
  async remove(): Promise<void> {
    if (this.#over) return;
    await this.#abandon();
    this.kernel.close();
    rmSync(this.#remains.home, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove();
  }

  async #abandon(): Promise<void> {
    this.#over = true;
    const { readers, contents, attrs, state } = this.context;
    await readers.close();
    await contents.close();
    await attrs.close();
    await state.close();
  }

  #createContext(): VfsContext {
    const { home } = this.#remains;
    const state = this.#openState();
    const bucket = mortal(this.store, () => this.#over);
    const contents = createDiskContentCache({ dir: join(home, "content"), limitBytes: 64 << 20 });
    const { options, upload } = this.#given;
    const conditions = { ...ALL_CONDITIONS, ...this.#given.conditions };
    const { deleteIfMatch } = conditions;
    const trustMs = options?.metadataTtlMs ?? METADATA_TTL_MS;
    const removals = new Removals({ store: bucket, state, clock: this.clock, log: this.log, deleteIfMatch, trustMs });
    const store = new OrderedStore(bucket, removals);
    return {
      store,
      removals,
      conditions,
      options: {
        ...{ uid: 500, gid: 500, fileMode: 0o644, dirMode: 0o755, prefix: "", readOnly: false },
        ...{
          metadataTtlMs: METADATA_TTL_MS,
          fillAtOpenBytes: 64 << 10,
          trackFromBytes: Number.POSITIVE_INFINITY,
          conflictDir: join(home, "conflicts"),
          durability: "remote" as const,
        },
        ...options,
      },
      inodes: new InodeTable(state),
      state,
      attrs: createAttrCache({ path: join(home, "attrs.db") }),
      contents,
      readers: createContentReaders({ store, cache: contents }),
      spool: createSpool({ dir: join(home, "spool"), store, ...upload }),
      kernel: this.kernel,
      clock: this.clock,
      log: this.log,
      namespace: new SharedMutex(),
      onUploads: (waiting, failure) => void this.uploads.push([waiting, waiting === 0 ? undefined : failure?.fault]),
    };
  }

  #openState(): StateStore {
    const { home, medium } = this.#remains;
    return this.#given.journal ? openStateStore({ dir: join(home, "journal") }) : createMemoryStateStore(medium);
  }
}

function defined<T extends object>(given: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** A dead engine sends no more requests, whatever its timers and open promises want. */
function mortal(store: ObjectStore, isDead: () => boolean): ObjectStore {
  return new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (isDead()) return Promise.reject(new DriverError("interrupted", "the engine is dead"));
        return Reflect.apply(value, target, args) as unknown;
      };
    },
  });
}

/** A world whose bucket has `count` small files below `d/`, named so that their order is that of their numbers. */
export async function seededWorld(count: number, given: WorldOptions = {}, listMetadata = false): Promise<VfsWorld> {
  const clock = new ManualClock();
  const world = await VfsWorld.open({ ...given, clock, store: new MemoryObjectStore({ clock, listMetadata }) });
  for (let i = 0; i < count; i++) world.memory.seed(`d/f${String(i).padStart(5, "0")}`, `content ${i}`);
  return world;
}
