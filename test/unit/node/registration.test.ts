import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { CsiServer } from "#csi/server.ts";
import { serveRegistration } from "#node/registration.ts";
import { connectGrpc, type GrpcClient } from "../../support/grpc.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

let dir: string;
let log: ReturnType<typeof recordingLogger>;
let server: CsiServer;
let kubelet: GrpcClient;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bucketmount-registry-"));
  log = recordingLogger();
  server = await serveRegistration({ dir, endpoint: "unix:///csi/csi.sock", log });
  kubelet = connectGrpc(join(dir, "s3.csi.bucketmount.dev-reg.sock"), "pluginregistration.Registration");
});
afterEach(async () => {
  kubelet.close();
  await server.close(0);
  await rm(dir, { recursive: true });
});

test("`serveRegistration` tells the kubelet name, socket and version, and takes its socket away when closed", async () => {
  expect(await kubelet.call("GetInfo")).toEqual({
    type: "CSIPlugin",
    name: "s3.csi.bucketmount.dev",
    endpoint: "/csi/csi.sock",
    supportedVersions: ["1.0.0"],
  });
  await server.close(0);
  expect(await readdir(dir)).toEqual([]);
});

test("`serveRegistration` logs a refused registration as an error with the kubelet's reason", async () => {
  await kubelet.call("NotifyRegistrationStatus", { pluginRegistered: true, error: "" });
  expect(log.lines.filter(({ level }) => level === "error")).toEqual([]);
  await kubelet.call("NotifyRegistrationStatus", { pluginRegistered: false, error: "duplicate driver" });
  const [line] = log.lines.filter(({ level }) => level === "error");
  expect(String(line?.fields["error"])).toContain("duplicate driver");
});
