/** A node plugin on a Unix socket, with real engines, on a folder of its own below the temporary one. */
import { closeSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, readlink, realpath } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Logger, silentLogger } from "#core/log.ts";
import type { Handlers } from "#csi/interceptors.ts";
import type { ServiceName } from "#csi/load.ts";
import { type CsiServer, startCsiServer } from "#csi/server.ts";
import { setImmutable } from "#fuse/channel/immutable.ts";
import { bindMount, mountFuse, openFuseDevice, setReadAhead, unmount } from "#fuse/channel/mount.ts";
import { pollUntil } from "#node/deadline.ts";
import { type MountRow, readMounts } from "#node/mounts.ts";
import { createNodeServices, type NodeConfig } from "#node/service.ts";
import { readOwner } from "#node/state-folder.ts";
import type { S3Server } from "./s3-servers.ts";
import { removeSealed } from "./sealed-folders.ts";

const ENGINE_MAIN = fileURLToPath(new URL("./engine-main.ts", import.meta.url));

export interface NodeWorld {
  /** No symbolic links in it. */
  readonly dir: string;
  readonly stateDir: string;
  readonly socketPath: string;
  /** Mounts below `dir`. */
  mounts(): Promise<MountRow[]>;
  /** Engines whose state is below `dir`, as pids. */
  engines(): Promise<number[]>;
  /** What the engines wrote. */
  log(): Promise<string>;
  /** As if the plugin's process had ended and started again: nothing that was in its memory is known. */
  restart(): Promise<void>;
  /** Ends everything that is left and removes the folder. */
  stop(): Promise<void>;
}

export interface NodeWorldOptions {
  readonly s3: S3Server;
  readonly log?: Logger;
  /** Served on the same socket. */
  readonly services?: Partial<Record<ServiceName, Handlers>>;
  /** The driver's own; default the server's root account. */
  readonly credentials?: NodeConfig["defaults"]["credentials"];
  /** What the engines' environment is made of. */
  readonly env?: NodeJS.ProcessEnv;
  /** The engine's program; default the real one. */
  readonly engineMain?: string;
}

export async function startNodeWorld({
  s3,
  log = silentLogger,
  services = {},
  engineMain = ENGINE_MAIN,
  credentials = { kind: "static", accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
  env = process.env,
}: NodeWorldOptions): Promise<NodeWorld> {
  const dir = await realpath(await mkdtemp(join(tmpdir(), "bucketmount-node-")));
  const stateDir = join(dir, "state");
  const engineLogFd = openSync(join(dir, "engines.log"), "a");
  const { endpoint, region } = s3;
  const config: NodeConfig = {
    nodeId: "test-node",
    stateDir,
    defaults: {
      endpoint,
      region,
      credentials,
      cacheSizeBytes: 256 << 20,
      logLevel: "info",
    },
    engine: { file: process.execPath, args: ["-C", "source", engineMain] },
    mounts: { openFuseDevice, mountFuse, setReadAhead, bindMount, unmount, setImmutable },
    log,
    engineLogFd,
    env,
  };
  const serve = (): Promise<CsiServer> => {
    return startCsiServer({ endpoint: join(dir, "csi.sock"), services: { ...createNodeServices(config).services, ...services }, log });
  };
  let server = await serve();
  const mounts = async () => (await readMounts()).filter((row) => row.mountPoint.startsWith(`${dir}/`));
  const engines = () => enginesOf(stateDir);
  return {
    dir,
    stateDir,
    socketPath: server.socketPath,
    mounts,
    engines,
    log: () => readFile(join(dir, "engines.log"), "utf8"),
    async restart() {
      await server.close(0);
      server = await serve();
    },
    async stop() {
      await server.close(0);
      for (const { mountPoint } of (await mounts()).toReversed()) await unmount(mountPoint, { lazy: true });
      // Not killed: a supervisor would start a successor. Without its mount an engine ends by itself, and its supervisor lets the folder go.
      if (!(await pollUntil(60_000, 20, () => areSettled(stateDir)))) throw new Error(`engines are left: ${await engines()}`);
      closeSync(engineLogFd);
      await removeSealed(dir);
    },
  };
}

/** Makes a directory below the world's folder. */
export async function folderIn(world: NodeWorld, ...parts: readonly string[]): Promise<string> {
  const path = join(world.dir, ...parts);
  await mkdir(path, { recursive: true });
  return path;
}

/** No volume has an owner any more, and how each mount ended is written down. */
async function areSettled(stateDir: string): Promise<boolean> {
  const folders = (await readdir(join(stateDir, "volumes")).catch(() => [])).map((name) => join(stateDir, "volumes", name));
  const settled = folders.map(async (folder) => {
    const record = await readFile(join(folder, "volume.json"), "utf8").catch(() => "");
    return (await readOwner(folder)) === undefined && !record.includes('"phase":"staged"');
  });
  return (await Promise.all(settled)).every(Boolean);
}

/** Processes that have a file below the folder open: an engine keeps its journal open. */
async function enginesOf(stateDir: string): Promise<number[]> {
  const pids = (await readdir("/proc")).map(Number).filter((pid) => pid > 0 && pid !== process.pid);
  const found = await Promise.all(pids.map(async (pid) => ((await holdsBelow(pid, stateDir)) ? [pid] : [])));
  return found.flat();
}

async function holdsBelow(pid: number, stateDir: string): Promise<boolean> {
  const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const paths = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")));
  return paths.some((path) => path.startsWith(`${stateDir}/`));
}
