/**
 * A real mount of a `MemoryFileSystem`, served by a child process: the process that uses a mount must never be the one that
 * serves it. Keeps the descriptor, so that a killed server can have a successor.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KernelFeatures } from "../../src/fuse/channel/channel.ts";
import { mountFuse, openFuseDevice, unmount } from "../../src/fuse/channel/mount.ts";
import type { ServeConfig, ServeReport, ServeRequest } from "./serve-memory-filesystem.ts";

const SERVER = new URL("serve-memory-filesystem.ts", import.meta.url).pathname;

export interface MemoryMount extends AsyncDisposable {
  readonly dir: string;
  readonly features: KernelFeatures;
  /** The serving process. */
  readonly server: ChildProcess;
  /** Kills the server with SIGKILL and resolves when it is dead. */
  kill(): Promise<void>;
  /** Starts a successor on the kept descriptor; resolves when it serves. */
  resume(): Promise<void>;
  /** Calls by method and memory, as the server counts them. */
  calls(): Promise<Extract<ServeReport, { calls: unknown }>>;
  /** Changes the file system behind the kernel's back. */
  ask(request: ServeRequest): void;
  /** Unmounts and resolves with the server's exit code. */
  unmount(): Promise<number | null>;
}

async function message<K extends string>(server: ChildProcess, key: K): Promise<Extract<ServeReport, Record<K, unknown>>> {
  for (;;) {
    const ended = once(server, "exit").then(() => Promise.reject(new Error("the server ended")));
    const [report] = (await Promise.race([once(server, "message"), ended])) as [ServeReport];
    ended.catch(() => undefined);
    if (key in report) return report as Extract<ServeReport, Record<K, unknown>>;
  }
}

/** Mounts a memory file system on a new directory under the temporary folder. */
export async function mountMemory(config: ServeConfig): Promise<MemoryMount> {
  const dir = await mkdtemp(join(tmpdir(), "bucketmount-memory-"));
  const fd = openFuseDevice();
  await mountFuse(fd, dir, { source: "memory", allowOther: true });
  let server: ChildProcess;
  let init = "";
  let features: KernelFeatures;
  let backingId: number | undefined;
  let unmounted = false;

  const start = async (): Promise<void> => {
    server = spawn(process.execPath, ["-C", "source", SERVER], {
      stdio: ["ignore", "inherit", "inherit", fd, "ipc"],
      env: { ...process.env, UV_THREADPOOL_SIZE: "64" },
    });
    server.on("message", (report: ServeReport) => {
      if ("backingId" in report) backingId = report.backingId;
    });
    server.send({ ...config, ...(init === "" ? {} : { resume: init }), ...(backingId === undefined ? {} : { backingId }) });
    const ready = await message(server, "init");
    init = ready.init;
    features = ready.features;
  };
  const stop = async (): Promise<number | null> => {
    unmounted = true;
    const exit = server.exitCode === null && server.signalCode === null ? once(server, "exit") : Promise.resolve([server.exitCode]);
    await unmount(dir);
    const [code] = await exit;
    closeSync(fd);
    await rmdir(dir);
    return code as number | null;
  };

  await start();
  return {
    dir,
    get features() {
      return features;
    },
    get server() {
      return server;
    },
    async kill() {
      const exit = once(server, "exit");
      server.kill("SIGKILL");
      await exit;
    },
    resume: start,
    async calls() {
      const answer = message(server, "calls");
      server.send({ do: "calls" } satisfies ServeRequest);
      return await answer;
    },
    ask(request) {
      server.send(request);
    },
    unmount: stop,
    async [Symbol.asyncDispose]() {
      if (unmounted) return;
      server.kill("SIGKILL");
      await unmount(dir, { force: true, lazy: true });
      closeSync(fd);
      await rmdir(dir);
    },
  };
}
