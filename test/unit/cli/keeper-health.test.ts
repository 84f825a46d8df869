import type { Server } from "node:net";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, expect, test } from "vitest";
import { serveHealth } from "#cli/keeper-health.ts";
import { UsageError } from "#cli/usage-error.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function start(): Promise<number> {
  const server = await serveHealth("127.0.0.1:0");
  servers.push(server);
  return (server.address() as { port: number }).port;
}

test("`serveHealth` answers the kubelet's probes, and nothing else", async () => {
  const port = await start();
  for (const path of ["healthz", "readyz", "healthz?verbose"]) {
    const response = await fetch(`http://127.0.0.1:${port}/${path}`);
    expect([response.status, await response.json()]).toEqual([200, { keeper: "ok" }]);
  }
  expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(404);
  expect((await fetch(`http://127.0.0.1:${port}/healthz`, { method: "POST", body: "x" })).status).toBe(404);
});

test("`serveHealth` understands a request that comes in pieces, and ends one that never ends", async () => {
  const port = await start();
  const pieces = connect(port, "127.0.0.1");
  pieces.write("GET /heal");
  setTimeout(() => pieces.write("thz HTTP/1.1\r\nHost: x\r\n\r\n"), 20);
  expect(await text(pieces)).toContain("200 OK");
  const endless = connect(port, "127.0.0.1");
  endless.on("error", () => undefined);
  endless.write("x".repeat(20_000));
  expect(await text(endless).catch(() => "")).toBe("");
});

test("`serveHealth` refuses what is no address, and one that is taken", async () => {
  await expect(serveHealth("9808")).rejects.toBeInstanceOf(UsageError);
  await expect(serveHealth(`127.0.0.1:${await start()}`)).rejects.toMatchObject({ fault: "precondition" });
});
