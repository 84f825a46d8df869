/**
 * A plugin's HTTP side: /healthz, /readyz and /metrics for the kubelet and for Prometheus. Plain HTTP without secrets, on an address
 * of the pod; nothing here changes anything.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import type { HttpEndpoint } from "./http-endpoint.ts";

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface HttpServerOptions {
  readonly endpoint: HttpEndpoint;
  /** By path. A route that throws is answered 500. */
  readonly routes: Readonly<Record<string, () => Promise<HttpAnswer>>>;
  readonly log: Logger;
}

export interface HttpServer {
  /** The one that was asked for, or the one that was free where that was 0. */
  readonly port: number;
  close(): Promise<void>;
}

/** Clients send a line and a few headers. */
const REQUEST_MS = 10_000;

/** Starts serving; resolves when connections are accepted. Fault `precondition` when the address cannot be had. */
export async function serveHttp({ endpoint: { host, port }, routes, log }: HttpServerOptions): Promise<HttpServer> {
  const server = createServer({ requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS }, (request, response) => {
    void answer(routes, log, request).then((given) => send(request, response, given));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      reject(new DriverError("precondition", `cannot serve HTTP on ${host}:${port}: ${cause.code ?? cause.message}`, { cause })),
    );
    server.listen({ port, ...(host === "" ? {} : { host }) }, resolve);
  });
  server.on("error", (error) => log.warn({ error }, "the HTTP endpoint has trouble"));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** JSON, as one line. */
export function jsonAnswer(status: number, value: object): HttpAnswer {
  return { status, contentType: "application/json", body: `${JSON.stringify(value)}\n` };
}

async function answer(routes: HttpServerOptions["routes"], log: Logger, { method, url = "" }: IncomingMessage): Promise<HttpAnswer> {
  const path = url.replace(/[?#].*$/, "");
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined) return text(404, `no such page; there are ${Object.keys(routes).join(", ")}`);
  if (method !== "GET" && method !== "HEAD") return text(405, "only GET and HEAD");
  try {
    return await route();
  } catch (error) {
    log.error({ error, path }, "a page of the HTTP endpoint failed");
    return text(500, "internal error; the log has its stack");
  }
}

function text(status: number, line: string): HttpAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body: `${line}\n` };
}

function send({ method }: IncomingMessage, response: ServerResponse, { status, contentType, body }: HttpAnswer): void {
  const headers = { "content-type": contentType, "content-length": Buffer.byteLength(body), "cache-control": "no-store" };
  response.writeHead(status, headers).end(method === "HEAD" ? undefined : body);
}
