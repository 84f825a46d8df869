/**
 * As much of a Kubernetes API server as the driver asks: PersistentVolumes, read and listed in pages, and Events, made and patched. Real
 * HTTP or HTTPS, so that the real client library is what is tested; it demands the token, and can refuse, fail or hang.
 */
import { writeFileSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

export interface FakeVolume {
  readonly name: string;
  readonly driver?: string;
  readonly volumeHandle?: string;
  readonly claim?: { readonly namespace: string; readonly name: string; readonly uid: string };
}

/** As stored: dates are text. */
export interface StoredEvent {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly involvedObject: { readonly kind: string; readonly namespace: string; readonly name: string; readonly uid?: string };
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  readonly firstTimestamp: string;
  readonly lastTimestamp: string;
  readonly source: { readonly component: string; readonly host: string };
}

/** "hang" takes the request and never answers. */
export type Refusing = { readonly status: number; readonly message: string } | "hang" | undefined;

export interface FakeKubeApi {
  readonly url: string;
  readonly port: number;
  volumes: readonly FakeVolume[];
  /** What it does with requests; undefined: serve them. */
  refusing: Refusing;
  /** In the order in which they were made. */
  readonly events: StoredEvent[];
  /** Such as "GET /api/v1/persistentvolumes?limit=250". */
  readonly requests: string[];
  /** A kubeconfig file in that folder; answers its path. */
  writeKubeconfig(dir: string): string;
  stop(): Promise<void>;
}

export const FAKE_TOKEN = "fake-service-account-token";

export async function startFakeKubeApi(tls?: { readonly key: string; readonly cert: string }): Promise<FakeKubeApi> {
  const state = { volumes: [] as readonly FakeVolume[], refusing: undefined as Refusing };
  const events: StoredEvent[] = [];
  const requests: string[] = [];
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    requests.push(`${request.method} ${request.url}`);
    void serve(request, response, { ...state, events });
  };
  const server = tls === undefined ? createHttpServer(answer) : createHttpsServer(tls, answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
  return Object.assign(state, {
    ...{ url, port, events, requests },
    writeKubeconfig(dir: string) {
      const path = join(dir, "kubeconfig");
      writeFileSync(path, kubeconfig(url), { mode: 0o600 });
      return path;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

interface Served {
  readonly volumes: readonly FakeVolume[];
  readonly refusing: Refusing;
  readonly events: StoredEvent[];
}

interface Answer {
  readonly status: number;
  readonly value: object;
}

async function serve(request: IncomingMessage, response: ServerResponse, served: Served): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString("utf8"));
  if (served.refusing === "hang") return;
  const { status, value } = answerTo(request, body, served);
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

function answerTo({ method, url = "", headers }: IncomingMessage, body: unknown, { volumes, refusing, events }: Served): Answer {
  if (typeof refusing === "object") return refusal(refusing.status, refusing.message);
  if (headers.authorization !== `Bearer ${FAKE_TOKEN}`) return refusal(401, "Unauthorized");
  const { pathname, searchParams } = new URL(url, "http://fake");
  const [, , , kind, namespaceOrName, , eventName] = pathname.split("/");
  if (kind === "persistentvolumes") return volumesAnswer(volumes, namespaceOrName, searchParams);
  if (!/^\/api\/v1\/namespaces\/[^/]+\/events(\/[^/]+)?$/.test(pathname)) return refusal(404, "no such page");
  if (method === "POST") return createEvent(events, namespaceOrName, body as StoredEvent);
  if (headers["content-type"] !== "application/merge-patch+json") return refusal(415, "unsupported media type");
  const at = events.findIndex(({ metadata }) => metadata.name === eventName && metadata.namespace === namespaceOrName);
  const event = events[at];
  if (event === undefined) return refusal(404, `events "${eventName}" not found`);
  const changed = { ...event, ...(body as object) };
  events[at] = changed;
  return { status: 200, value: changed };
}

/** As the real one, it refuses an Event in another namespace than its object, one without a valid name, and a long message. */
function createEvent(events: StoredEvent[], namespace: string | undefined, event: StoredEvent): Answer {
  if (event.involvedObject.namespace !== namespace) return refusal(422, "involvedObject.namespace: does not match event.namespace");
  if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(event.metadata.name)) return refusal(422, "metadata.name: Invalid value");
  if (Buffer.byteLength(event.message) > 1024) return refusal(422, "message: may have at most 1024 bytes");
  events.push(event);
  return { status: 201, value: event };
}

function volumesAnswer(volumes: readonly FakeVolume[], name: string | undefined, query: URLSearchParams): Answer {
  if (name !== undefined) {
    const found = volumes.find((volume) => volume.name === name);
    return found === undefined ? refusal(404, `persistentvolumes "${name}" not found`) : { status: 200, value: volumeObject(found) };
  }
  const [from, limit] = [Number(query.get("continue") ?? 0), Number(query.get("limit") ?? 500)];
  const next = from + limit < volumes.length ? String(from + limit) : "";
  const items = volumes.slice(from, from + limit).map(volumeObject);
  const value = { apiVersion: "v1", kind: "PersistentVolumeList", metadata: { resourceVersion: "1", continue: next }, items };
  return { status: 200, value };
}

function volumeObject({ name, driver, volumeHandle, claim }: FakeVolume): object {
  const source = driver === undefined ? { hostPath: { path: "/data" } } : { csi: { driver, volumeHandle } };
  const claimRef = claim === undefined ? {} : { claimRef: { kind: "PersistentVolumeClaim", apiVersion: "v1", ...claim } };
  const common = { apiVersion: "v1", kind: "PersistentVolume", metadata: { name } };
  return { ...common, spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteMany"], ...source, ...claimRef } };
}

function refusal(code: number, message: string): Answer {
  return { status: code, value: { kind: "Status", apiVersion: "v1", status: "Failure", message, code } };
}

/** The library refuses plain HTTP unless it is told not to mind. */
function kubeconfig(server: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "fake",
    contexts: [{ name: "fake", context: { cluster: "fake", user: "fake" } }],
    clusters: [{ name: "fake", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "fake", user: { token: FAKE_TOKEN } }],
  });
}
