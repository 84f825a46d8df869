/** An HTTP proxy before an S3 server, which can refuse, fail, be far or be away: what is wrong with a store while it is in use. */
import { createServer, type IncomingMessage, type ServerResponse, request as send } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface FaultProxy {
  readonly endpoint: string;
  /** What it does with a request; undefined: pass it on. */
  refusing: { readonly status: number; readonly code: string; readonly when?: (method: string, path: string) => boolean } | undefined;
  /** So long it keeps each request before it passes it on. */
  delayMs: number;
  /** Takes no connections any more, as a server that was stopped. */
  goAway(): Promise<void>;
  /** Takes connections again, on the same port. */
  comeBack(): Promise<void>;
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const { hostname, port: targetPort } = new URL(target);
  const state: Pick<FaultProxy, "refusing" | "delayMs"> = { refusing: undefined, delayMs: 0 };
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    if (state.delayMs > 0) await sleep(state.delayMs);
    const { method = "", url = "", headers } = request;
    const { refusing } = state;
    if (refusing !== undefined && (refusing.when?.(method, url) ?? true)) {
      request.resume();
      response.writeHead(refusing.status, { "content-type": "application/xml" });
      response.end(`<Error><Code>${refusing.code}</Code><Message>told so</Message></Error>`);
      return;
    }
    // The host header stays: it is signed.
    const onward = send({ hostname, port: targetPort, method, path: url, headers, setHost: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  };
  const listener = (request: IncomingMessage, response: ServerResponse) => void serve(request, response);
  let server = createServer(listener);
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    endpoint: `http://127.0.0.1:${port}`,
    goAway: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    comeBack: () => {
      server = createServer(listener);
      return listen(port);
    },
  });
}
