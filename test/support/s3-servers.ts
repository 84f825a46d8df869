/**
 * S3 servers for tests: the embedded `s3rver` (always there, an npm package), `versitygw` and `minio` (where a binary is on PATH or where
 * `go install` puts it), and `moto` (where `pip install 'moto[server]'` was run), an emulator that knows settings of buckets that the others
 * do not, and no credentials.
 *
 * Each is a child process, never in-process: a test that blocks its thread on a mounted path would
 * otherwise block the server that has to answer it. Each has its own port and its own folder under os.tmpdir().
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const SERVER_KINDS = ["s3rver", "versitygw", "minio", "moto"] as const;
export type ServerKind = (typeof SERVER_KINDS)[number];

export interface S3Server {
  readonly name: ServerKind;
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  /** Where the server keeps its objects. */
  readonly dataDir: string;
  readonly pid: number;
  /** Ends the server and removes its folder. May be called twice. */
  stop(): Promise<void>;
}

interface Recipe {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** A path that answers without credentials as soon as the server works. */
  readonly readyPath: string;
  command(
    port: number,
    dir: string,
  ): { readonly file: string; readonly args: readonly string[]; readonly env?: Readonly<Record<string, string>> };
}

/** A killed test runner runs no exit handler: the kernel ends the server with it, where util-linux's setpriv is there. */
const DIES_WITH_US = findBinary("setpriv") === undefined ? [] : ["setpriv", "--pdeathsig", "KILL", "--"];

const RECIPES: Readonly<Record<ServerKind, Recipe>> = {
  s3rver: {
    accessKeyId: "S3RVER",
    secretAccessKey: "S3RVER",
    readyPath: "/",
    command: (port, dir) => ({
      file: process.execPath,
      // Its continuation tokens are made with DES, which OpenSSL 3 keeps in its legacy provider: else a LIST of more than a page answers 500.
      args: ["--openssl-legacy-provider", join(import.meta.dirname, "s3rver-child.mjs"), String(port), join(dir, "data")],
    }),
  },
  versitygw: {
    accessKeyId: "versityaccess",
    secretAccessKey: "versitysecret",
    readyPath: "/",
    command: (port, dir) => ({
      file: findBinary("versitygw") ?? "versitygw",
      args: [
        "--port",
        `127.0.0.1:${port}`,
        "--keep-alive",
        "--quiet",
        // For more users than root: s3-accounts.ts.
        "--iam-dir",
        join(dir, "accounts"),
        "--iam-cache-disable",
        "posix",
        "--versioning-dir",
        join(dir, "versions"),
        join(dir, "data"),
      ],
      env: { ROOT_ACCESS_KEY: "versityaccess", ROOT_SECRET_KEY: "versitysecret" },
    }),
  },
  minio: {
    accessKeyId: "minioaccess",
    secretAccessKey: "miniosecret",
    readyPath: "/minio/health/ready",
    command: (port, dir) => ({
      file: findBinary("minio") ?? "minio",
      args: ["server", "--quiet", "--address", `127.0.0.1:${port}`, join(dir, "data")],
      env: { MINIO_ROOT_USER: "minioaccess", MINIO_ROOT_PASSWORD: "miniosecret", MINIO_BROWSER: "off", MINIO_UPDATE: "off", HOME: dir },
    }),
  },
  moto: {
    accessKeyId: "motoaccess",
    secretAccessKey: "motosecret",
    readyPath: "/moto-api/",
    // It keeps everything in memory.
    command: (port) => ({ file: findBinary("moto_server") ?? "moto_server", args: ["--host", "127.0.0.1", "--port", String(port)] }),
  },
};

const PROGRAMS: Readonly<Record<Exclude<ServerKind, "s3rver">, string>> = { versitygw: "versitygw", minio: "minio", moto: "moto_server" };

/** Under a mount's many requests side by side moto's threads come to wait for each other, and it answers nobody any more. */
const NOT_FOR_MOUNTS: readonly ServerKind[] = ["moto"];

/** The servers that can be started here, for suites without mounts; s3rver always can. */
export function availableStores(): readonly ServerKind[] {
  return SERVER_KINDS.filter((kind) => kind === "s3rver" || findBinary(PROGRAMS[kind]) !== undefined);
}

/** The servers that cannot: for the line that a suite prints about what it did not run on. */
export function missingStores(): readonly ServerKind[] {
  const there = availableStores();
  return SERVER_KINDS.filter((kind) => !there.includes(kind));
}

/** The servers that can be started here and stand a mount. */
export function availableServers(): readonly ServerKind[] {
  return availableStores().filter((kind) => !NOT_FOR_MOUNTS.includes(kind));
}

/** The servers for mounts that cannot be started here. */
export function missingServers(): readonly ServerKind[] {
  return missingStores().filter((kind) => !NOT_FOR_MOUNTS.includes(kind));
}

/** Starts a server on a free port and answers when it serves requests. */
export async function startServer(kind: ServerKind): Promise<S3Server> {
  // The port is free when chosen, and may be taken when the server binds it: then it exits, and another is tried.
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(kind);
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

async function startOnce(kind: ServerKind): Promise<S3Server> {
  const recipe = RECIPES[kind];
  const dir = await mkdtemp(join(tmpdir(), `bucketmount-${kind}-`));
  await mkdir(join(dir, "data"));
  await mkdir(join(dir, "versions"));
  await mkdir(join(dir, "accounts"));
  const port = await freePort();
  const { file, args, env } = recipe.command(port, dir);
  const [program = file, ...leading] = DIES_WITH_US;
  const child = spawn(program, [...leading, ...(leading.length > 0 ? [file] : []), ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = collect(child);
  const killOnExit = () => child.kill("SIGKILL");
  process.on("exit", killOnExit);
  const endpoint = `http://127.0.0.1:${port}`;
  const stop = async () => {
    process.off("exit", killOnExit);
    await end(child);
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await untilReady(child, endpoint + recipe.readyPath);
  } catch (error) {
    await stop();
    throw new Error(`${kind} did not start: ${output().trim() || String(error)}`, { cause: error });
  }
  const { accessKeyId, secretAccessKey } = recipe;
  return { name: kind, endpoint, accessKeyId, secretAccessKey, region: "us-east-1", dataDir: join(dir, "data"), pid: child.pid ?? 0, stop };
}

/** The last of what the child wrote. Reading it also keeps the child from blocking on a full pipe. */
function collect(child: ChildProcess): () => string {
  let text = "";
  const add = (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-2000);
  };
  child.stdout?.on("data", add);
  child.stderr?.on("data", add);
  return () => text;
}

async function untilReady(child: ChildProcess, url: string): Promise<void> {
  let failed: Error | undefined;
  child.once("error", (error) => {
    failed = error;
  });
  for (;;) {
    if (failed) throw failed;
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`exited with ${child.exitCode ?? child.signalCode}`);
    const status = await fetch(url).then(
      async (response) => {
        await response.arrayBuffer();
        return response.status;
      },
      () => 0,
    );
    if (status !== 0 && status < 500) return;
    await sleep(25);
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGKILL");
  await gone;
}

/** A TCP port of the loopback that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

export function findBinary(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), join(process.env.GOPATH ?? join(homedir(), "go"), "bin")];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
