import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type HttpServer, jsonAnswer, serveHttp } from "#csi/http-server.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

const servers: HttpServer[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));

async function serve(log = recordingLogger()) {
  const routes = {
    "/good": async () => jsonAnswer(200, { fine: true }),
    "/bad": () => Promise.reject(new Error("the key is AKIDSECRET")),
  };
  const server = await serveHttp({ endpoint: { host: "127.0.0.1", port: 0 }, routes, log });
  servers.push(server);
  return { server, log, get: (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init) };
}

test("`serveHttp` answers GET and HEAD of its pages, with or without a query", async () => {
  const { get } = await serve();
  expect(await (await get("/good?x=1")).json()).toEqual({ fine: true });
  const head = await get("/good", { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
});

test("`serveHttp` refuses other pages and other methods", async () => {
  const { get } = await serve();
  const missing = await get("/toString");
  expect([missing.status, await missing.text()]).toEqual([404, "no such page; there are /good, /bad\n"]);
  expect((await get("/good", { method: "POST", body: "x" })).status).toBe(405);
});

test("`serveHttp` answers 500 for a page that failed, tells the log why and the caller nothing", async () => {
  const { get, log } = await serve();
  const failed = await get("/bad");
  expect(failed.status).toBe(500);
  expect(await failed.text()).not.toContain("AKIDSECRET");
  expect(log.lines.map(({ level }) => level)).toEqual(["error"]);
});

test("`serveHttp` says when its address is taken", async () => {
  const { server } = await serve();
  const second = serveHttp({ endpoint: { host: "127.0.0.1", port: server.port }, routes: {}, log: recordingLogger() });
  await expect(second).rejects.toMatchObject({ fault: "precondition", message: expect.stringContaining("EADDRINUSE") });
});

test("`close` ends although a client holds its connection open", async () => {
  const { server } = await serve();
  const idle = connect(server.port, "127.0.0.1");
  await new Promise((resolve) => idle.once("connect", resolve));
  idle.on("error", () => undefined);
  await server.close();
  idle.destroy();
});
