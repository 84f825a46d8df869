/**
 * What `status` and `umount` say to a mount's supervisor: one JSON line each way over its Unix socket (0600, in a folder of the
 * owner's alone: who may open it may do it all).
 */
import { chmod, rm } from "node:fs/promises";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { DriverError, FAULTS, type Fault } from "#core/errors.ts";
import type { EngineStatus } from "#fuse/engine/protocol.ts";
import type { MountEnd, MountHealth } from "#node/supervisor.ts";

export type ControlRequest = { readonly op: "status" } | { readonly op: "stop"; readonly force: boolean };

export interface ControlStatus {
  readonly health: MountHealth;
  /** Absent while no engine answers. */
  readonly engine?: EngineStatus;
  readonly problem?: string;
}

type Answer = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly fault: string; readonly message: string };

export interface ControlHandlers {
  status(): Promise<ControlStatus>;
  stop(force: boolean): Promise<MountEnd>;
}

/** Serves the socket; what a killed predecessor left at the path goes. The server does not keep the process alive. */
export async function serveControl(path: string, handlers: ControlHandlers): Promise<Server> {
  await rm(path, { force: true });
  const server = createServer((socket) => serveConnection(socket, handlers));
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(new DriverError("precondition", `cannot serve on ${path}: ${cause.message}`, { cause })));
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return server.unref();
}

function serveConnection(socket: Socket, handlers: ControlHandlers): void {
  // A client that went away does not want its answer.
  socket.on("error", () => socket.destroy());
  onLine(socket, (line) => {
    void answer(line, handlers).then((reply) => socket.writable && socket.write(`${JSON.stringify(reply)}\n`));
  });
}

/** readline would hand the socket's errors on as its own, which nobody could tell apart. */
function onLine(socket: Socket, handle: (line: string) => void): void {
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (text + chunk).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) handle(line);
  });
}

async function answer(line: string, handlers: ControlHandlers): Promise<Answer> {
  try {
    const request = JSON.parse(line) as ControlRequest;
    switch (request.op) {
      case "status":
        return { ok: true, value: await handlers.status() };
      case "stop":
        return { ok: true, value: await handlers.stop(request.force === true) };
      default:
        return { ok: false, fault: "unsupported", message: "unknown operation" };
    }
  } catch (thrown) {
    const { fault, message } = DriverError.from(thrown);
    return { ok: false, fault, message };
  }
}

export function askStatus(socketPath: string, ms: number): Promise<ControlStatus> {
  return ask(socketPath, { op: "status" }, ms) as Promise<ControlStatus>;
}

export function askStop(socketPath: string, force: boolean, ms: number): Promise<MountEnd> {
  return ask(socketPath, { op: "stop", force }, ms) as Promise<MountEnd>;
}

/** Throws the supervisor's own fault, `unavailable` when it is gone or ends meanwhile, `timed_out` after `ms`. */
function ask(socketPath: string, request: ControlRequest, ms: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath);
    const timer = setTimeout(() => fail("timed_out", `the mount's supervisor did not answer within ${ms / 1000} s`), ms);
    const fail = (fault: Fault, message: string) => {
      clearTimeout(timer);
      socket.destroy();
      reject(new DriverError(fault, message));
    };
    socket.on("error", (error) => fail("unavailable", `the mount's supervisor cannot be reached: ${error.message}`));
    socket.on("close", () => fail("unavailable", "the mount's supervisor ended"));
    onLine(socket, (line) => {
      const reply = JSON.parse(line) as Answer;
      if (!reply.ok) return fail(Object.hasOwn(FAULTS, reply.fault) ? (reply.fault as Fault) : "internal", reply.message);
      clearTimeout(timer);
      resolve(reply.value);
      socket.destroy();
    });
    socket.write(`${JSON.stringify(request)}\n`);
  });
}
