import { createServer } from "node:net";
import { afterEach, expect, it } from "vitest";
import { createStorePing, type StorePing } from "#s3/ping.ts";
import { answer, refuse, type ScriptedS3, startScriptedS3 } from "../../support/scripted-s3.ts";
import { fails } from "../../support/store-assertions.ts";

let server: ScriptedS3 | undefined;
const pings: StorePing[] = [];
afterEach(async () => {
  await Promise.all(pings.splice(0).map((ping) => ping.close()));
  await server?.stop();
  server = undefined;
});

function pingOf(endpoint: string): StorePing {
  const ping = createStorePing({ endpoint });
  pings.push(ping);
  return ping;
}

const LONG = { deadlineMs: 30_000 };

it("`ping` takes any answer for a sign of life, a refusal too, and sends no credentials", async () => {
  server = await startScriptedS3((_, response, count) => (count === 1 ? answer(response) : refuse(response, 403, "AccessDenied")));
  const { ping } = pingOf(server.endpoint);
  await ping(LONG);
  await ping(LONG);
  expect(server.seen.map(({ method, path }) => `${method} ${path}`)).toEqual(["GET /", "GET /"]);
  expect(server.seen[0]?.headers.authorization).toBeUndefined();
});

it("`ping` takes 5xx for a store that is down", async () => {
  server = await startScriptedS3((_, response) => refuse(response, 503, "ServiceUnavailable"));
  const error = await fails(pingOf(server.endpoint).ping(LONG), "unavailable");
  expect(error.context.cause).toBe("store_failing");
});

it("`ping` says why a store cannot be reached", async () => {
  server = await startScriptedS3(() => undefined);
  const { endpoint } = server;
  await server.stop();
  server = undefined;
  expect((await fails(pingOf(endpoint).ping(LONG), "unavailable")).context.cause).toBe("connection_refused");
  // RFC 6761: no such name ever is.
  const unknown = await fails(pingOf("http://store.invalid:9000").ping(LONG), "unavailable");
  expect(unknown.context.cause).toMatch(/^(unknown_host|dns_failing)$/);
});

it("`createStorePing` refuses an endpoint that is no URL", () => {
  expect(() => createStorePing({ endpoint: "store:9000" })).toThrow("is not a URL such as");
});

it("`ping` ends at its deadline although the server takes the connection and says nothing", async () => {
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as { port: number };
  const error = await fails(pingOf(`http://127.0.0.1:${port}`).ping({ deadlineMs: 100 }), "timed_out");
  expect(error.context.cause).toBe("unreachable");
  silent.close();
});
