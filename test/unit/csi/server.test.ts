import { existsSync } from "node:fs";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DriverError } from "#core/errors.ts";
import { createIdentityHandlers, DRIVER_NAME, DRIVER_VERSION } from "#csi/identity.ts";
import type { Handlers } from "#csi/interceptors.ts";
import { type CsiServer, parseEndpoint, startCsiServer } from "#csi/server.ts";
import { connectGrpc } from "../../support/grpc.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

let dir: string;
let servers: CsiServer[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "csi-"));
  servers = [];
});

afterEach(async () => {
  await Promise.all(servers.map((server) => server.close(0)));
  await rm(dir, { recursive: true });
});

async function serve(controller: Handlers, log = recordingLogger()) {
  const endpoint = `unix://${join(dir, "csi.sock")}`;
  const identity = createIdentityHandlers({ services: ["CONTROLLER_SERVICE"] });
  const server = await startCsiServer({ endpoint, log, services: { "csi.v1.Identity": identity, "csi.v1.Controller": controller } });
  servers.push(server);
  return {
    server,
    log,
    client: connectGrpc(server.socketPath, "csi.v1.Controller"),
    identity: connectGrpc(server.socketPath, "csi.v1.Identity"),
  };
}

describe("startCsiServer", () => {
  test("serves who it is, and UNIMPLEMENTED for what has no handler", async () => {
    const { identity, client } = await serve({});
    expect(await identity.call("GetPluginInfo")).toEqual({ name: DRIVER_NAME, vendorVersion: DRIVER_VERSION, manifest: {} });
    expect(await identity.call("GetPluginCapabilities")).toMatchObject({ capabilities: [{ service: { type: "CONTROLLER_SERVICE" } }] });
    expect(await identity.call("Probe")).toEqual({ ready: { value: true } });
    await expect(client.call("ListVolumes")).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
  });

  test("sends a handler's error as its status, without the request's secrets", async () => {
    const { client, log } = await serve({
      DeleteVolume: async () => {
        throw new DriverError("precondition", "bucket x is refused for TOPSECRETKEY");
      },
    });
    const call = client.call("DeleteVolume", { volumeId: "v1:x", secrets: { secretAccessKey: "TOPSECRETKEY" } });
    await expect(call).rejects.toMatchObject({ code: status.FAILED_PRECONDITION, details: "bucket x is refused for [redacted]" });
    const line = log.lines.find(({ message }) => message === "call failed");
    expect(line).toMatchObject({ level: "warn", fields: { method: "DeleteVolume", volumeId: "v1:x", fault: "precondition" } });
    expect(JSON.stringify(line?.fields.request)).not.toContain("TOPSECRETKEY");
  });

  test("logs the stack of what nobody foresaw and does not send it", async () => {
    const { client, log } = await serve({
      DeleteVolume: async () => {
        throw new RangeError("boom");
      },
    });
    await expect(client.call("DeleteVolume")).rejects.toMatchObject({
      code: status.INTERNAL,
      details: "internal error; the log has its stack",
    });
    expect(log.lines.at(-1)).toMatchObject({ level: "error", fields: { error: { stack: expect.stringContaining("server.test.ts") } } });
  });

  test("gives its socket to the owner alone and removes it at close", async () => {
    const { server } = await serve({});
    expect((await stat(server.socketPath)).mode & 0o777).toBe(0o600);
    await server.close();
    expect(existsSync(server.socketPath)).toBe(false);
  });

  test("waits for running calls at close, for as long as it is told", async () => {
    const { promise, resolve } = Promise.withResolvers<object>();
    const started = Promise.withResolvers<void>();
    const { server, client } = await serve({
      DeleteVolume: () => {
        started.resolve();
        return promise;
      },
    });
    const call = client.call("DeleteVolume", { volumeId: "v1:x" });
    await started.promise;
    const closed = server.close(60_000);
    resolve({});
    await expect(call).resolves.toEqual({});
    client.close();
    await closed;
  });

  test("takes over the socket of a dead predecessor", async () => {
    const path = join(dir, "csi.sock");
    // A bound socket whose file outlives it, as after SIGKILL.
    const { spawnSync } = await import("node:child_process");
    spawnSync(process.execPath, [
      "-e",
      `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`,
    ]);
    expect(existsSync(path)).toBe(true);
    const { identity } = await serve({});
    await expect(identity.call("Probe")).resolves.toBeTruthy();
  });

  test("refuses the socket of a living server, a file that is no socket, and a missing directory", async () => {
    const path = join(dir, "live.sock");
    const other = createServer().listen(path);
    await new Promise((done) => other.once("listening", done));
    const start = (endpoint: string) => startCsiServer({ endpoint, services: {} });
    await expect(start(`unix://${path}`)).rejects.toMatchObject({ fault: "in_use", message: expect.stringContaining(path) });
    other.close();
    await writeFile(join(dir, "file"), "data");
    await expect(start(join(dir, "file"))).rejects.toMatchObject({ fault: "precondition", message: expect.stringContaining("no socket") });
    expect((await stat(join(dir, "file"))).size).toBe(4);
    await expect(start(join(dir, "none", "x.sock"))).rejects.toMatchObject({ message: expect.stringContaining("does not exist") });
  });

  test("refuses a handler that its service does not have", async () => {
    const start = startCsiServer({ endpoint: join(dir, "x.sock"), services: { "csi.v1.Node": { StageVolume: async () => ({}) } } });
    await expect(start).rejects.toThrow("csi.v1.Node has no RPC StageVolume");
  });
});

describe("parseEndpoint", () => {
  test("takes the usual spellings", () => {
    for (const endpoint of ["unix:///csi/csi.sock", "unix:/csi/csi.sock", "/csi/csi.sock"])
      expect(parseEndpoint(endpoint)).toBe("/csi/csi.sock");
  });

  test("refuses what is no absolute Unix path, and what is too long for one", () => {
    for (const endpoint of ["tcp://0.0.0.0:1", "unix://csi.sock", "", "csi.sock"])
      expect(() => parseEndpoint(endpoint)).toThrow("endpoint must be");
    expect(() => parseEndpoint(`/${"x".repeat(107)}`)).toThrow("Unix sockets allow 107");
  });
});
