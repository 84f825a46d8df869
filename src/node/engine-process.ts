/**
 * One engine process: started with the kernel's descriptor as fd 3, configured and asked over Node's IPC channel.
 *
 * It runs in its own session and is never killed when its supervisor goes: it then serves on until its mount is gone.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { DriverError, FAULTS, type Fault } from "#core/errors.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import type { EngineConfig, EngineFailure, EngineReport, EngineRequest, EngineStatus } from "#fuse/engine/protocol.ts";
import type { StoreAccess } from "#s3/store-config.ts";

/** How to start the program again in another mode: `[execPath, ...execArgv, main, "engine"]`. */
export interface EngineCommand {
  readonly file: string;
  readonly args: readonly string[];
}

export interface EngineExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface EngineStart {
  readonly command: EngineCommand;
  /** Undefined: it makes a connection of its own (`channel=fuse-native`). */
  readonly deviceFd: number | undefined;
  readonly config: EngineConfig;
  readonly env: NodeJS.ProcessEnv;
  /** Where its log lines go. */
  readonly logFd: number;
  readonly onTrouble?: ((report: TroubleReport) => void) | undefined;
}

interface Pending {
  readonly resolve: (report: EngineReport) => void;
  readonly reject: (error: DriverError) => void;
}

/**
 * The collector's helper threads take a core that the store or the application needs: a cold 512 MiB read costs the engine 0.5 s of
 * user time with one collecting thread and 0.65 s with several.
 */
const V8_OPTIONS = ["--single-threaded-gc"];

/** Every read of /dev/fuse that waits holds one of libuv's threads, and so does a read of the cache disk. */
const THREADS = "64";

/**
 * The engine's environment: ours, without AWS's variables unless the provider chain needs them. Keys of other volumes, and of
 * the plugin itself, are nobody's business there.
 */
export function engineEnvironment(env: NodeJS.ProcessEnv, credentials: "static" | "chain"): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name]) => credentials === "chain" || !name.startsWith("AWS_"));
  return { ...Object.fromEntries(kept), UV_THREADPOOL_SIZE: THREADS };
}

export class EngineProcess {
  /** Resolves when the mount works; rejects with the engine's own fault, or `internal` when it ended without a word. */
  readonly ready: Promise<void>;
  readonly exited: Promise<EngineExit>;
  readonly startedMs = Date.now();
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #gone = false;

  constructor({ command, deviceFd, config, env, logFd, onTrouble }: EngineStart) {
    const child = spawn(command.file, [...V8_OPTIONS, ...command.args], {
      cwd: "/",
      detached: true,
      env,
      stdio: ["ignore", logFd, logFd, deviceFd ?? "ignore", "ipc"],
    });
    this.#child = child;
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve({ code, signal }));
      // The program itself could not be started: there is no exit then.
      child.once("error", () => child.pid === undefined && resolve({ code: 127, signal: null }));
    });
    void this.exited.then((exit) => this.#abandon(exit));
    this.ready = this.#firstReport();
    this.ready.catch(() => undefined);
    child.on("message", (message) => {
      const report = message as EngineReport;
      if (report.type === "trouble" || report.type === "recovered") onTrouble?.(report);
      else this.#settle(report);
    });
    // A channel that broke is an engine that ended or crashed: `exited` tells.
    child.send(config, () => undefined);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get alive(): boolean {
    return !this.#gone;
  }

  /** Resolves when all that was dirty is in the bucket. Rejects with `unavailable` when the engine ends meanwhile, `internal` when an upload fails. */
  async flush(): Promise<void> {
    const report = await this.#ask({ type: "flush", id: this.#nextId++ });
    if (report.type === "flushed" && report.error !== undefined)
      throw new DriverError("internal", `not everything could be uploaded: ${report.error}`);
  }

  /** Rejects with `unavailable` when the engine ends meanwhile. */
  async status(): Promise<EngineStatus> {
    const report = await this.#ask({ type: "status", id: this.#nextId++ });
    if (report.type !== "status") throw new DriverError("internal", `engine ${this.pid} answered "${report.type}" to a status request`);
    return report.status;
  }

  /** Resolves when the engine works with these keys. Rejects with the store's fault when it refuses them: then the old ones stay. */
  async renewAccess(access: StoreAccess): Promise<void> {
    await this.#order({ type: "credentials", id: this.#nextId++, access });
  }

  /** Resolves when the engine shows everything to this group. */
  async showToGroup(group: number | undefined): Promise<void> {
    await this.#order({ type: "group", id: this.#nextId++, group });
  }

  /** For an engine that never became ready. A serving engine is ended by taking its mount away. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async #order(request: EngineRequest): Promise<void> {
    const report = await this.#ask(request);
    if (report.type !== "done")
      throw new DriverError("internal", `engine ${this.pid} answered "${report.type}" to a ${request.type} request`);
    if (report.refused !== undefined) throw errorOf(report.refused);
  }

  #ask(request: EngineRequest): Promise<EngineReport> {
    return new Promise((resolve, reject) => {
      if (this.#gone) return reject(goneError(this.pid));
      this.#pending.set(request.id, { resolve, reject });
      this.#child.send(request, (error) => {
        if (error !== null && this.#pending.delete(request.id)) reject(goneError(this.pid));
      });
    });
  }

  #firstReport(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#child.on("message", (message) => {
        const report = message as EngineReport;
        if (report.type === "ready") resolve();
        if (report.type === "failed") reject(errorOf(report));
      });
      void this.exited.then((exit) => reject(new DriverError("internal", `the engine ended before it was ready (${describeExit(exit)})`)));
    });
  }

  #settle(report: Exclude<EngineReport, TroubleReport>): void {
    if (report.type === "ready" || report.type === "failed") return;
    this.#pending.get(report.id)?.resolve(report);
    this.#pending.delete(report.id);
  }

  #abandon(_exit: EngineExit): void {
    this.#gone = true;
    for (const { reject } of this.#pending.values()) reject(goneError(this.pid));
    this.#pending.clear();
  }
}

/** "exit code 1" or "signal SIGKILL". */
export function describeExit({ code, signal }: EngineExit): string {
  return signal === null ? `exit code ${code}` : `signal ${signal}`;
}

function goneError(pid: number): DriverError {
  return new DriverError("unavailable", `engine ${pid} ended meanwhile`);
}

function errorOf({ fault, message, cause }: EngineFailure): DriverError {
  return new DriverError(faultNamed(fault), message, cause === undefined ? {} : { context: { cause } });
}

function faultNamed(name: string): Fault {
  return Object.hasOwn(FAULTS, name) ? (name as Fault) : "internal";
}
