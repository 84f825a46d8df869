import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createHealth, type HealthOptions } from "#csi/health.ts";
import { createIdentityHandlers } from "#csi/identity.ts";
import type { Handlers } from "#csi/interceptors.ts";
import { type CsiServer, startCsiServer } from "#csi/server.ts";

let dir = "";
let server: CsiServer | undefined;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bucketmount-health-"));
});
afterEach(async () => {
  await server?.close(0);
  server = undefined;
  await rm(dir, { recursive: true });
});

async function serve(more: Partial<Handlers> = {}): Promise<string> {
  const identity = { ...createIdentityHandlers({ services: ["CONTROLLER_SERVICE"] }), ...more } as Handlers;
  server = await startCsiServer({ endpoint: join(dir, "csi.sock"), services: { "csi.v1.Identity": identity } });
  return server.socketPath;
}

const health = (socketPath: string, more: Partial<HealthOptions> = {}) => createHealth({ socketPath, serving: () => true, ...more });

const up = async () => ({ up: true });
const down = async () => ({ up: false, detail: "cannot reach http://s3. Start the store." });

test("`healthz` is well while the gRPC server answers, and knows nothing of a store that is not configured", async () => {
  const { status, body } = await health(await serve()).healthz();
  expect([status, JSON.parse(body)]).toEqual([200, { plugin: "ok", store: "unknown" }]);
});

test("`healthz` tells a store that is down from a plugin that is, and stays alive", async () => {
  const socketPath = await serve();
  const [well, ill] = [await health(socketPath, { stores: up }).healthz(), await health(socketPath, { stores: down }).healthz()];
  expect([well.status, JSON.parse(well.body)]).toEqual([200, { plugin: "ok", store: "ok" }]);
  expect([ill.status, JSON.parse(ill.body)]).toEqual([
    200,
    { plugin: "ok", store: "down", detail: "cannot reach http://s3. Start the store." },
  ]);
});

test("`healthz` takes a driver that says it is not ready for alive: nothing is cured by a restart", async () => {
  const socketPath = await serve({ Probe: async () => ({ ready: { value: false } }) });
  expect((await health(socketPath).healthz()).status).toBe(200);
});

test("`healthz` fails when nobody listens on the socket", async () => {
  const { status, body } = await health(join(dir, "nobody.sock"), { stores: up }).healthz();
  expect(status).toBe(503);
  expect(JSON.parse(body)).toMatchObject({ plugin: "down", store: "ok", detail: expect.stringContaining("nobody.sock does not answer") });
});

test("`healthz` fails when the server takes the call and does not answer, and asks once for all who ask meanwhile", async () => {
  let calls = 0;
  const socketPath = await serve({
    Probe: () => {
      calls++;
      return new Promise(() => undefined);
    },
  });
  const hung = health(socketPath, { probeMs: 300 });
  const answers = await Promise.all([hung.healthz(), hung.healthz(), hung.healthz()]);
  expect(answers.map(({ status }) => status)).toEqual([503, 503, 503]);
  expect(calls).toBe(1);
});

test("`readyz` wants the store only where it is needed", async () => {
  const socketPath = await serve();
  expect((await health(socketPath, { neededStore: up }).readyz()).status).toBe(200);
  const refused = await health(socketPath, { neededStore: down }).readyz();
  expect([refused.status, JSON.parse(refused.body)]).toEqual([503, { ready: false, detail: "cannot reach http://s3. Start the store." }]);
  expect((await health(socketPath, { stores: down }).readyz()).status).toBe(200);
  expect((await health(socketPath).readyz()).status).toBe(200);
});

test("`readyz` is not ready from the moment on at which the plugin begins to end", async () => {
  const socketPath = await serve();
  expect((await health(socketPath, { neededStore: up, serving: () => false }).readyz()).status).toBe(503);
});
