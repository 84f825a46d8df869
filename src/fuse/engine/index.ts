/**
 * The public face of `fuse`, and where one volume's engine is put together: store, local folders, file system, kernel channel.
 *
 *   state folder: journal/ (what a successor must know)   spool/ (unsent data)   content/ (cached versions)
 *                 attrs.db (what HEAD told)               conflicts/ (data of writers whose object was replaced elsewhere)
 *
 * Order at the start: the store is asked first, so that a wrong bucket or key is one clear error; then the connection; then what
 * a predecessor left. Order at the end: the mount is gone, what is unsent goes to the bucket, then the folders are let go.
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { causeOf } from "#core/causes.ts";
import { systemClock } from "#core/clock.ts";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { SharedMutex } from "#core/mutex.ts";
import { storeUrl } from "#core/store-url.ts";
import { createDiskContentCache } from "#fuse/cache/disk-cache.ts";
import { createAttrCache } from "#fuse/cache/sqlite-attr-cache.ts";
import type { KernelChannel } from "#fuse/channel/channel.ts";
import { openKernelChannel } from "#fuse/channel/device-channel.ts";
import { openLibfuseChannel } from "#fuse/channel/libfuse-channel.ts";
import { isFolderLocked } from "#fuse/journal/folder-lock.ts";
import { openStateStore } from "#fuse/journal/open-state-store.ts";
import type { StateStore } from "#fuse/journal/state-store.ts";
import { createContentReaders } from "#fuse/read/content-readers.ts";
import { BucketFileSystem } from "#fuse/vfs/bucket-filesystem.ts";
import type { VfsContext } from "#fuse/vfs/context.ts";
import { InodeTable } from "#fuse/vfs/inode-table.ts";
import { OrderedStore } from "#fuse/vfs/ordered-store.ts";
import { Removals } from "#fuse/vfs/removals.ts";
import { createSpool } from "#fuse/write/create-spool.ts";
import { checkAccess, createObjectStore, probeObjectStore, renewAccess, type S3ObjectStore, type StoreAbilities } from "#s3/index.ts";
import { createBridge } from "./bridge.ts";
import type { EngineConfig, EngineReport, EngineRequest, EngineStatus, StoreAccess, StoreConfig } from "./protocol.ts";
import { EngineTroubles } from "./troubles.ts";

export { setImmutable } from "#fuse/channel/immutable.ts";
export { bindMount, mountFuse, openFuseDevice, setReadAhead, unmount } from "#fuse/channel/mount.ts";
export { tryLock } from "#fuse/journal/folder-lock.ts";

/** The kernel's descriptor, by the convention between supervisor and engine. */
const DEVICE_FD = 3;
/** Files up to this size come to the disk whole when they are opened: one GET, then the kernel reads them itself. */
const FILL_AT_OPEN_BYTES = 4 << 20;
/** Sending a file of this size takes half a second at 1 Gbit/s: longer than the engine needs to write most of it for the kernel. */
const TRACK_FROM_BYTES = 64 << 20;
/**
 * Bytes on their way to readers. 40 MiB cover 1 GB/s at 40 ms; more costs time, since fresh memory has to be found for it: a cold
 * 512 MiB file took 1.10 s with 128 MiB, 1.03 s with 40, 1.25 s with 24.
 */
const READ_MEMORY_BYTES = 40 << 20;
/** The first requests to a store: as long as somebody waits at a prompt for "mounted" or for what is wrong. */
const ACCESS_DEADLINE_MS = 20_000;
const PROBE_DEADLINE_MS = 30_000;
/** What the probe found, in the state folder. */
const ABILITIES_FILE = "store-abilities.json";

/** What a store is believed to obey when it may not be probed: nothing. */
const NO_ABILITIES: StoreAbilities = {
  putIfNoneMatch: false,
  putIfMatch: false,
  deleteIfMatch: false,
  completeIfNoneMatch: false,
  copySourceIfMatch: false,
  copyIfNoneMatch: false,
  copyPartIfMatch: false,
  listMetadata: false,
};

export interface EngineHooks {
  readonly log: Logger;
  readonly report: (report: EngineReport) => void;
  /** Calls `handle` for each request of the supervisor. */
  readonly onRequest: (handle: (request: EngineRequest) => void) => void;
}

/** What the engine's process should exit with. */
export type EngineEnd = "uploaded" | "left-in-spool";

/**
 * Serves one mount to its end. Reports `ready` when it answers. Throws what kept it from that; after `ready` it throws only when
 * the kernel's device fails.
 */
export async function runEngine(config: EngineConfig, hooks: EngineHooks): Promise<EngineEnd> {
  const engine = await Engine.open(config, hooks);
  return engine.serve();
}

class Engine {
  readonly #config: EngineConfig;
  readonly #hooks: EngineHooks;
  readonly #store: S3ObjectStore;
  readonly #abilities: StoreAbilities;
  readonly #context: VfsContext;
  readonly #channel: KernelChannel;
  readonly #fs: BucketFileSystem;
  readonly #troubles: EngineTroubles;
  readonly #startedAt = new Date().toISOString();

  private constructor(config: EngineConfig, hooks: EngineHooks, parts: EngineParts) {
    this.#config = config;
    this.#hooks = hooks;
    this.#store = parts.store;
    this.#abilities = parts.abilities;
    this.#context = parts.context;
    this.#channel = parts.channel;
    this.#troubles = parts.troubles;
    this.#fs = new BucketFileSystem(parts.context);
  }

  static async open(config: EngineConfig, hooks: EngineHooks): Promise<Engine> {
    const { log, report } = hooks;
    const troubles = new EngineTroubles({
      ...{ log, report, stateDir: config.stateDir },
      askStore: () => checkAccess(store, config.store.prefix, { deadlineMs: ACCESS_DEADLINE_MS }),
    });
    const store = createObjectStore(config.store, { watch: troubles });
    mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
    const abilities = config.takeover ? knownAbilities(config) : await troubles.probing(() => examineStore(store, config, log));
    store.listMetadata = abilities.listMetadata;
    const state = openStateStore({
      dir: journalDir(config.stateDir),
      onDamage: (damage) => hooks.log.error({ damage }, "the journal is damaged; what comes after the damage is lost"),
      onCheckpointFailure: (error) => hooks.log.warn({ error }, "a checkpoint of the journal failed; it will be tried again"),
    });
    const channel = await connect(config, state, hooks.log);
    const engine = new Engine(config, hooks, {
      store,
      abilities,
      channel,
      troubles,
      context: createContext({ config, hooks, store, abilities, state, channel, troubles }),
    });
    await engine.#fs.recover(config.takeover);
    return engine;
  }

  async serve(): Promise<EngineEnd> {
    this.#hooks.onRequest((request) => void this.#answer(request));
    const served = this.#channel.serve(createBridge(this.#fs));
    this.#hooks.report({ type: "ready" });
    this.#troubles.start();
    await served;
    try {
      await this.#fs.destroy();
      return "uploaded";
    } catch (error) {
      this.#hooks.log.error({ error }, "not everything could be uploaded; it stays in the spool and is sent at the next mount");
      return "left-in-spool";
    } finally {
      await this.#close();
    }
  }

  async #close(): Promise<void> {
    this.#troubles.stop();
    const { readers, contents, attrs, state } = this.#context;
    await readers.close();
    await contents.close();
    await attrs.close();
    await state.close();
    await this.#store.close();
  }

  async #answer(request: EngineRequest): Promise<void> {
    const { id } = request;
    this.#hooks.report(
      await this.#reply(request).catch((thrown: unknown): EngineReport => {
        const { fault, message } = DriverError.from(thrown);
        if (request.type === "flush") return { type: "flushed", id, error: message };
        return { type: "done", id, refused: { fault, message, cause: causeOf(thrown) } };
      }),
    );
  }

  async #reply(request: EngineRequest): Promise<EngineReport> {
    const { id } = request;
    switch (request.type) {
      case "status":
        return { type: "status", id, status: this.#status() };
      case "flush":
        await this.#fs.syncAll();
        return { type: "flushed", id };
      case "group":
        this.#fs.showToGroup(request.group);
        return { type: "done", id };
      case "credentials":
        await renewAccess(this.#store, { ...withoutAccess(this.#config.store), ...request.access }, { deadlineMs: ACCESS_DEADLINE_MS });
        this.#hooks.log.info({}, "the engine goes on with other keys");
        return { type: "done", id };
    }
  }

  #status(): EngineStatus {
    const { store, mountPoint, takeover } = this.#config;
    const usage = this.#fs.usage();
    const { bytes, limitBytes, files, hits, misses } = this.#context.contents.stats();
    const { requests, errors, retries } = this.#store.stats();
    return {
      bucket: store.bucket,
      prefix: store.prefix,
      mountPoint,
      pid: process.pid,
      startedAt: this.#startedAt,
      takeovers: takeover ? 1 : 0,
      passthrough: this.#channel.features.passthrough,
      dirtyFiles: usage.dirtyFiles,
      dirtyBytes: usage.dirtyBytes,
      openHandles: usage.handles,
      inodes: usage.inodes,
      cache: { bytes, limitBytes, files, hits, misses },
      requests,
      errors,
      retries,
      rssBytes: process.memoryUsage.rss(),
      store: { ...this.#abilities },
    };
  }
}

function withoutAccess({
  credentials: _keys,
  caBundle: _ca,
  proxy: _proxy,
  ...location
}: StoreConfig): Omit<StoreConfig, keyof StoreAccess> {
  return location;
}

/** True while an engine has the state folder, in whatever container it runs: the kernel's word, and no process id's. */
export function isServed(stateDir: string): boolean {
  return isFolderLocked(journalDir(stateDir));
}

function journalDir(stateDir: string): string {
  return join(stateDir, "journal");
}

interface EngineParts {
  readonly store: S3ObjectStore;
  readonly abilities: StoreAbilities;
  readonly channel: KernelChannel;
  readonly context: VfsContext;
  readonly troubles: EngineTroubles;
}

/** Asks whether bucket, endpoint and keys are right, and which conditions the store obeys. A read-only mount writes no probe. */
async function examineStore(store: S3ObjectStore, config: EngineConfig, log: Logger): Promise<StoreAbilities> {
  const { prefix } = config.store;
  await checkAccess(store, prefix, { deadlineMs: ACCESS_DEADLINE_MS });
  if (config.options.readOnly) return NO_ABILITIES;
  try {
    const abilities = await probeObjectStore(store, "", { deadlineMs: PROBE_DEADLINE_MS });
    log.info({ abilities }, "probed the store");
    writeFileSync(join(config.stateDir, ABILITIES_FILE), JSON.stringify(abilities));
    return abilities;
  } catch (error) {
    // Keys that may only read can still mount: writes will then tell what is not allowed.
    log.warn({ error }, "the store could not be probed; no conditional requests are used");
    return NO_ABILITIES;
  }
}

/** A successor asks nothing: applications wait for it, and the store may be what made its predecessor fail. */
function knownAbilities(config: EngineConfig): StoreAbilities {
  try {
    return { ...NO_ABILITIES, ...(JSON.parse(readFileSync(join(config.stateDir, ABILITIES_FILE), "utf8")) as StoreAbilities) };
  } catch {
    return NO_ABILITIES;
  }
}

async function connect(config: EngineConfig, state: StateStore, log: Logger): Promise<KernelChannel> {
  if (config.options.channel === "fuse-native") return connectThroughLibfuse(config, state, log);
  const trialPath = join(config.stateDir, "passthrough-trial");
  const trialFd = openSync(trialPath, "w+", 0o600);
  try {
    const resume = config.takeover ? state.recovered.session?.init : undefined;
    const { passthrough, acl } = config.options;
    // Before the kernel has the answer: from then on no death of this process may lose it.
    const beforeInit = (init: Uint8Array) => {
      state.beginConnection();
      state.putSession({ init });
    };
    return await openKernelChannel({
      fd: DEVICE_FD,
      passthrough,
      acl,
      trialFd,
      beforeInit,
      log,
      ...(resume === undefined ? {} : { resume }),
    });
  } finally {
    closeSync(trialFd);
  }
}

/** It makes a mount of its own, so no engine ever takes one over. */
function connectThroughLibfuse({ store, mountPoint, options }: EngineConfig, state: StateStore, log: Logger): Promise<KernelChannel> {
  const flags = { ro: options.readOnly, nosuid: options.noSuid, nodev: options.noDev, noexec: options.noExec };
  const set = Object.entries(flags).flatMap(([name, isSet]) => (isSet ? [name] : []));
  state.beginConnection();
  return openLibfuseChannel({
    ...{ mountPoint, source: storeUrl(store), allowOther: options.allowOther, log },
    mountOptions: [...set, ...options.kernelOptions],
  });
}

interface ContextParts {
  readonly config: EngineConfig;
  readonly hooks: EngineHooks;
  readonly store: S3ObjectStore;
  readonly abilities: StoreAbilities;
  readonly state: StateStore;
  readonly channel: KernelChannel;
  readonly troubles: EngineTroubles;
}

function createContext({ config, hooks, store, abilities, state, channel, troubles }: ContextParts): VfsContext {
  const { stateDir, options } = config;
  const log = hooks.log;
  const note = (message: string, error: unknown) => {
    log.warn({ error: DriverError.from(error) }, message);
    troubles.onDisk(error);
  };
  const contents = createDiskContentCache({ dir: join(stateDir, "content"), limitBytes: config.cacheSizeBytes, log: note });
  const { deleteIfMatch } = abilities;
  const removals = new Removals({ store, state, clock: systemClock, log, deleteIfMatch, trustMs: options.metadataTtlMs });
  const ordered = new OrderedStore(store, removals);
  const readers = createContentReaders({ store: ordered, cache: contents, memoryLimitBytes: READ_MEMORY_BYTES, log: note });
  return {
    store: ordered,
    removals,
    conditions: abilities,
    options: {
      ...options,
      prefix: config.store.prefix,
      fillAtOpenBytes: FILL_AT_OPEN_BYTES,
      trackFromBytes: abilities.copyPartIfMatch ? TRACK_FROM_BYTES : Number.POSITIVE_INFINITY,
      conflictDir: join(stateDir, "conflicts"),
      // As much again as the cache may hold.
      unsentLimitBytes: config.cacheSizeBytes,
    },
    inodes: new InodeTable(state),
    state,
    attrs: createAttrCache({ path: join(stateDir, "attrs.db") }),
    contents,
    readers,
    spool: createSpool({ dir: join(stateDir, "spool"), store: ordered, copiesParts: abilities.copyPartIfMatch }),
    kernel: {
      passthrough: channel.features.passthrough,
      registerBacking: (fd) => channel.registerBacking(fd),
      unregisterBacking: (id) => channel.unregisterBacking(id),
      invalidateNode: (node, offset, length) => channel.invalidateNode(node, offset, length),
      invalidateEntry: (parent, name) => channel.invalidateEntry(parent, name),
    },
    clock: systemClock,
    log,
    namespace: new SharedMutex(),
    onUploads: (waiting, failure) => troubles.onUploads(waiting, failure),
  };
}
