/**
 * The keeper's /healthz and /readyz: always the same answer, since a keeper that answers works. Without node:http, which would be a
 * seventh of the keeper's memory.
 */
import { createServer, type Server, type Socket } from "node:net";
import { DriverError } from "#core/errors.ts";
import { parseHttpEndpoint } from "#csi/http-endpoint.ts";
import { parsing } from "./usage-error.ts";

const BODY = '{"keeper":"ok"}\n';
const ANSWER = ["HTTP/1.1 200 OK", "Content-Type: application/json", `Content-Length: ${BODY.length}`, "Connection: close", "", BODY].join(
  "\r\n",
);
const NOT_FOUND = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const REQUEST_MS = 10_000;
const MAX_REQUEST_BYTES = 16_384;

/** Resolves when connections are accepted. Throws a usage error for a wrong flag, `precondition` when the address cannot be had. */
export async function serveHealth(flag: string): Promise<Server> {
  const { host, port } = parsing(() => parseHttpEndpoint(flag));
  const server = createServer(answer);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      reject(new DriverError("precondition", `cannot serve HTTP on ${flag}: ${cause.code ?? cause.message}`, { cause })),
    );
    server.listen({ port, ...(host === "" ? {} : { host }) }, resolve);
  });
  return server.unref();
}

function answer(socket: Socket): void {
  let request = "";
  socket.setTimeout(REQUEST_MS, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.setEncoding("latin1").on("data", (text: string) => {
    request += text;
    if (request.length > MAX_REQUEST_BYTES) socket.destroy();
    else if (request.includes("\r\n\r\n")) socket.end(/^GET \/(healthz|readyz)[? ]/.test(request) ? ANSWER : NOT_FOUND);
  });
}
