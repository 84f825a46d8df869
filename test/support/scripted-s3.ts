/**
 * An HTTP server whose answers a test writes, for what real servers do too seldom: 503, broken connections, silence,
 * errors inside a 200. Answers the requests that it saw, with the raw path.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createObjectStore, type S3ObjectStore, type StoreTuning } from "#s3/index.ts";

export interface SeenRequest {
  readonly method: string;
  /** As it was sent, percent-encoded. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export type Script = (request: SeenRequest, response: ServerResponse, count: number) => void | Promise<void>;

export interface ScriptedS3 {
  readonly endpoint: string;
  readonly seen: SeenRequest[];
  /** A client of it: quick retries, no jitter. */
  readonly store: (tuning?: StoreTuning) => S3ObjectStore;
  readonly stop: () => Promise<void>;
}

/** Starts the server. `count` is 1 for the first request. */
export async function startScriptedS3(script: Script): Promise<ScriptedS3> {
  const seen: SeenRequest[] = [];
  const stores: S3ObjectStore[] = [];
  const serve = async (message: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of message) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const request = { method: message.method ?? "", path: message.url ?? "", headers: message.headers, body: Buffer.concat(chunks) };
    await script(request, response, seen.push(request));
  };
  const server = createServer((message, response) => void serve(message, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = { kind: "static", accessKeyId: "AKIDEXAMPLE", secretAccessKey: "verysecretkey" } as const;
  return {
    ...{ endpoint, seen },
    store: (tuning = {}) => {
      const quick = { retry: { attempts: 4, baseMs: 1, capMs: 4 }, ...tuning };
      const store = createObjectStore({ bucket: "bucket", prefix: "", endpoint, region: "us-east-1", credentials }, quick);
      stores.push(store);
      return store;
    },
    stop: async () => {
      await Promise.all(stores.map((store) => store.close()));
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Answers with an S3 error document. */
export function refuse(response: ServerResponse, status: number, code: string, more = ""): void {
  response.writeHead(status, { "content-type": "application/xml" });
  response.end(
    `<?xml version="1.0"?><Error><Code>${code}</Code><Message>told &amp; said</Message>${more}<RequestId>R1</RequestId></Error>`,
  );
}

/** Answers as a PUT or a GET of a small object would. */
export function answer(response: ServerResponse, body = "", headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(200, {
    etag: '"e1"',
    "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT",
    "content-length": String(Buffer.byteLength(body)),
    ...headers,
  });
  response.end(body);
}
