import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createPluginPages, type PluginPages, type PluginPagesOptions } from "#cli/plugin-pages.ts";
import { UsageError } from "#cli/usage-error.ts";
import { createIdentityHandlers } from "#csi/identity.ts";
import { type CsiServer, startCsiServer } from "#csi/server.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

let dir = "";
let server: CsiServer | undefined;
let pages: PluginPages | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "bucketmount-pages-"));
});
afterEach(async () => {
  await pages?.close();
  await server?.close(0);
  [pages, server] = [undefined, undefined];
  rmSync(dir, { recursive: true });
});

async function serve(more: Partial<PluginPagesOptions> = {}) {
  const log = recordingLogger();
  const endpoint = `unix://${dir}/csi.sock`;
  const served = await createPluginPages({
    ...{
      component: "controller",
      driverName: "s3.test",
      log,
      endpoint,
      httpEndpoint: "127.0.0.1:0",
      ownStore: undefined,
      needsStore: true,
    },
    ...more,
  });
  pages = served;
  const services = { "csi.v1.Identity": createIdentityHandlers({ services: ["CONTROLLER_SERVICE"] }) };
  server = await startCsiServer({ endpoint, services, onCall: served.onCall });
  await served.serve();
  const port = log.lines.at(-1)?.fields["port"];
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: response.status, type: response.headers.get("content-type"), body: await response.text() };
  };
  return { get, served };
}

test("`createPluginPages` serves health of the socket it was given, and metrics of the calls there", async () => {
  const { get } = await serve();
  expect(await get("/healthz")).toMatchObject({ status: 200, body: '{"plugin":"ok","store":"unknown"}\n' });
  expect(await get("/readyz")).toMatchObject({ status: 200 });
  const metrics = await get("/metrics");
  expect(metrics.type).toBe("text/plain; version=0.0.4; charset=utf-8");
  // The health check's own call.
  expect(metrics.body).toContain('method_name="/csi.v1.Identity/Probe",grpc_status_code="OK"} 1');
  expect(metrics.body).toMatch(/bucketmount_build_info\{version="[^"]+",component="controller"\} 1/);
});

test("`createPluginPages` is not ready without the store that it needs, and after `end`", async () => {
  const store = { up: false, detail: "cannot reach http://s3" };
  const { get, served } = await serve({ ownStore: async () => store });
  expect(await get("/readyz")).toMatchObject({ status: 503, body: expect.stringContaining("cannot reach") });
  expect((await get("/metrics")).body).toContain("bucketmount_store_up 0");
  store.up = true;
  expect(await get("/readyz")).toMatchObject({ status: 200 });
  served.end();
  expect(await get("/readyz")).toMatchObject({ status: 503 });
  expect(await get("/healthz")).toMatchObject({ status: 200 });
});

test("`createPluginPages` tells of other stores than its own where it knows more", async () => {
  const { get } = await serve({ ownStore: async () => ({ up: true }), stores: async () => ({ up: false, detail: "v1: no such host" }) });
  expect(await get("/healthz")).toMatchObject({ status: 200, body: expect.stringContaining('"store":"down","detail":"v1: no such host"') });
  expect(await get("/readyz")).toMatchObject({ status: 200 });
});

test("`createPluginPages` takes a wrong address for a wrong command line", async () => {
  await expect(serve({ httpEndpoint: "9808" })).rejects.toBeInstanceOf(UsageError);
  await expect(serve({ endpoint: "relative.sock" })).rejects.toBeInstanceOf(UsageError);
});
