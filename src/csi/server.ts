/**
 * The gRPC server of a plugin: one Unix socket, any of the services of `proto/`.
 *
 *     const server = await startCsiServer({ endpoint: "unix:///csi/csi.sock", log, services: { "csi.v1.Identity": handlers } });
 *     ...
 *     await server.close(10_000);
 *
 * The kubelet's registration socket is served by a second call of the same function.
 */
import { chmod, lstat, stat, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import { Server, ServerCredentials, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { DriverError } from "#core/errors.ts";
import { type Logger, silentLogger } from "#core/log.ts";
import { type FinishedCall, type Handlers, unaryHandler } from "./interceptors.ts";
import { loadService, type ServiceName } from "./load.ts";

export interface CsiServerOptions {
  /** `unix:///path`, `unix:/path` or an absolute path. Its directory must exist. */
  readonly endpoint: string;
  readonly services: Readonly<Partial<Record<ServiceName, Handlers>>>;
  readonly log?: Logger;
  /** For calls without a deadline; default 2 minutes, the kubelet's own. */
  readonly defaultDeadlineMs?: number;
  /** Default 0600. Sidecars that run as another user in the same pod need 0660 or 0666. */
  readonly socketMode?: number;
  /** Hears of each call's end. */
  readonly onCall?: ((call: FinishedCall) => void) | undefined;
}

export interface CsiServer {
  readonly socketPath: string;
  /** Takes no new calls, waits `graceMs` for those that run, then ends them (their signals abort) and removes the socket. */
  close(graceMs?: number): Promise<void>;
}

/** sun_path of sockaddr_un holds 108 bytes with its NUL: unix(7). */
const MAX_SOCKET_PATH_BYTES = 107;
const STALE_CHECK_MS = 2_000;
const DEFAULT_DEADLINE_MS = 120_000;
const DEFAULT_GRACE_MS = 10_000;

/**
 * Starts serving; resolves when calls are accepted. Faults: `bad_argument` (the endpoint, or a handler that its service does not
 * have), `in_use` (somebody listens there), `not_dir` and the like for the path.
 */
export async function startCsiServer(options: CsiServerOptions): Promise<CsiServer> {
  const socketPath = parseEndpoint(options.endpoint);
  const server = new Server({ "grpc.max_receive_message_length": 4 * 1024 * 1024 });
  addServices(server, options);
  await freeSocket(socketPath);
  await bind(server, socketPath);
  await chmod(socketPath, options.socketMode ?? 0o600);
  let closing: Promise<void> | undefined;
  return {
    socketPath,
    close: (graceMs = DEFAULT_GRACE_MS) => {
      closing ??= shutDown(server, socketPath, graceMs);
      return closing;
    },
  };
}

/** The socket's path. */
export function parseEndpoint(endpoint: string): string {
  const path = endpoint.replace(/^unix:(\/\/)?(?=\/(?!\/))/, "");
  if (!path.startsWith("/")) {
    throw new DriverError("bad_argument", `endpoint must be unix:///absolute/path, not ${JSON.stringify(endpoint)}`);
  }
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new DriverError("bad_argument", `the socket path ${path} has ${bytes} bytes; Unix sockets allow ${MAX_SOCKET_PATH_BYTES}`);
  }
  return path;
}

function addServices(server: Server, options: CsiServerOptions): void {
  const { log = silentLogger, defaultDeadlineMs = DEFAULT_DEADLINE_MS, onCall } = options;
  const interceptors = { log, defaultDeadlineMs, onCall };
  for (const [name, handlers] of Object.entries(options.services)) {
    const definition = loadService(name as ServiceName);
    const implementation: UntypedServiceImplementation = {};
    for (const [method, handler] of Object.entries(handlers)) {
      if (definition[method] === undefined) throw new DriverError("bad_argument", `${name} has no RPC ${method}`);
      implementation[method] = unaryHandler(method, handler, interceptors);
    }
    server.addService(definition, implementation);
  }
}

/** Removes what a killed predecessor left at `path`: only a socket, and only when nobody listens on it. */
async function freeSocket(path: string): Promise<void> {
  const directory = dirname(path);
  if (!(await stat(directory).catch(() => undefined))?.isDirectory()) {
    throw new DriverError("precondition", `${directory}, the directory of the endpoint's socket, does not exist`);
  }
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw new DriverError("precondition", `${path} exists and is no socket; it is left as it is`);
  if (await someoneListens(path)) throw new DriverError("in_use", `another process serves ${path}`);
  await unlink(path);
}

function someoneListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (listens: boolean) => {
      socket.destroy();
      resolve(listens);
    };
    // A peer too busy to accept is a peer.
    socket.setTimeout(STALE_CHECK_MS, () => end(true));
    socket.once("connect", () => end(true));
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"));
  });
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(new DriverError("precondition", `cannot serve on ${path}: ${error.message}`, { cause: error }));
    });
  });
}

async function shutDown(server: Server, path: string, graceMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const force = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, graceMs);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
  await unlink(path).catch(() => undefined);
}
