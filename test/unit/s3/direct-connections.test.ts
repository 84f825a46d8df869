import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { Etag } from "#core/brand.ts";
import { createObjectStore } from "#s3/index.ts";
import type { ObjectBody } from "#s3/object-store.ts";
import { refuse, type Script, type ScriptedS3, startScriptedS3 } from "../../support/scripted-s3.ts";
import { fails } from "../../support/store-assertions.ts";

const object = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) % 251));
const etag = '"e1"' as Etag;
let s3: ScriptedS3;
afterEach(() => s3?.stop());

const serve = async (script: Script) => {
  s3 = await startScriptedS3(script);
  return s3.store();
};

/** A right answer to a ranged GET; `sent` of its bytes, then the connection breaks. */
function answerRange(response: ServerResponse, range: string | undefined, { sent = Number.POSITIVE_INFINITY, keep = true } = {}): void {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
  const [start, end] = [Number(first), Number(last) + 1];
  response.writeHead(206, {
    ...{ etag, "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT", "content-length": String(end - start) },
    ...{ "content-range": `bytes ${start}-${end - 1}/${object.length}`, "x-amz-meta-a": "1", ...(keep ? {} : { connection: "close" }) },
  });
  if (sent >= end - start) response.end(object.subarray(start, end));
  else response.write(object.subarray(start, start + sent), () => response.destroy());
}

async function read(body: ObjectBody): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.stream) chunks.push(chunk);
  return chunks;
}

/** Three bytes at a time, with an extension. */
function inChunks(text: string): string {
  const chunks = text.match(/.{1,3}/gs) ?? [];
  return `${chunks.map((chunk) => `${chunk.length.toString(16)};a=b\r\n${chunk}\r\n`).join("")}0\r\n\r\n`;
}

describe("DirectConnections", () => {
  it("receives the body into the caller's buffer, and asks again on the same connection", async () => {
    const ports = new Set<number | undefined>();
    const store = await serve(({ headers }, response) => {
      ports.add(response.socket?.remotePort);
      answerRange(response, headers["range"]);
    });
    for (const [start, end] of [[0, 300_000] as const, [7, 200_007] as const, [299_999, 300_000] as const]) {
      const into = Buffer.alloc(end - start + 10);
      const body = await store.get("key", { range: { start, end }, into });
      const chunks = await read(body);
      expect([body.length, body.info.metadata]).toEqual([end - start, { a: "1" }]);
      expect(new Set(chunks.map(({ buffer }) => buffer))).toEqual(new Set([into.buffer]));
      expect(into.subarray(0, end - start).equals(object.subarray(start, end))).toBe(true);
      expect(into.subarray(end - start).equals(Buffer.alloc(10))).toBe(true);
    }
    expect(ports.size).toBe(1);
  });

  it("sends what has no body over the same connection", async () => {
    const ports = new Set<number | undefined>();
    const store = await serve(({ method, path }, response) => {
      ports.add(response.socket?.remotePort);
      if (method === "DELETE") response.writeHead(204).end();
      else if (path.endsWith("/gone")) response.writeHead(404, { "content-length": "243" }).end();
      else response.writeHead(200, { etag, "content-length": "300000", "x-amz-meta-a": "1" }).end();
    });
    expect(await store.head("key")).toMatchObject({ size: 300_000, etag, metadata: { a: "1" } });
    await fails(store.head("gone"), "not_found");
    await store.delete("key");
    expect(await store.head("key")).toMatchObject({ size: 300_000 });
    expect(s3.seen.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "HEAD /bucket/key",
      "HEAD /bucket/gone",
      "DELETE /bucket/key",
      "HEAD /bucket/key",
    ]);
    expect(ports.size).toBe(1);
  });

  it("gives a connection up on which more comes than belongs to an answer", async () => {
    // A HEAD is answered with a body too.
    const answered = `HTTP/1.1 200 OK\r\netag: ${etag}\r\ncontent-length: 5\r\n\r\n12345`;
    const sockets = createServer((socket) => socket.on("error", () => undefined).on("data", () => socket.write(answered)));
    await new Promise<void>((resolve) => sockets.listen(0, "127.0.0.1", resolve));
    const endpoint = `http://127.0.0.1:${(sockets.address() as AddressInfo).port}`;
    const credentials = { kind: "static", accessKeyId: "a", secretAccessKey: "b" } as const;
    const store = createObjectStore({ bucket: "b", prefix: "", endpoint, region: "r", credentials });
    for (let i = 0; i < 3; i++) expect(await store.head("key")).toMatchObject({ size: 5, etag });
    expect(store.stats()).toMatchObject({ errors: {}, retries: 0 });
    await store.close();
    await new Promise((resolve) => sockets.close(resolve));
  });

  it("takes a DELETE that succeeds as done whatever it says", async () => {
    const store = await serve((_, response) => void response.writeHead(200).end("deleted"));
    await store.delete("told");
    await store.delete("told");
    expect(s3.seen.map(({ path }) => path)).toEqual(["/bucket/told", "/bucket/told"]);
  });

  it.each([
    ["with a length", (document: string) => `content-length: ${document.length}\r\n\r\n${document}`],
    ["in chunks", (document: string) => `transfer-encoding: chunked\r\n\r\n${inChunks(document)}`],
  ])("reads a refusal's document %s, however it arrives, on a connection that goes on", async (_how, framed) => {
    let [connections, requests] = [0, 0];
    const document = "<Error><Code>AccessDenied</Code><Message>not this one</Message></Error>";
    const answer = Buffer.from(`HTTP/1.1 403 Forbidden\r\ncontent-type: application/xml\r\n${framed(document)}`);
    const sockets = createServer((socket) => {
      connections += 1;
      socket.setNoDelay(true).on("error", () => undefined);
      socket.on("data", () => {
        requests += 1;
        // Cut at another place each time.
        const cut = (answer.byteLength * requests) >> 3;
        socket.write(answer.subarray(0, cut));
        setTimeout(() => socket.write(answer.subarray(cut)), 5);
      });
    });
    await new Promise<void>((resolve) => sockets.listen(0, "127.0.0.1", resolve));
    const endpoint = `http://127.0.0.1:${(sockets.address() as AddressInfo).port}`;
    const credentials = { kind: "static", accessKeyId: "a", secretAccessKey: "b" } as const;
    const store = createObjectStore({ bucket: "b", prefix: "", endpoint, region: "r", credentials });
    for (let i = 0; i < 4; i++) {
      expect((await fails(store.delete("key"), "denied")).message).toContain("AccessDenied");
      expect((await fails(store.get("key", { into: Buffer.alloc(10) }), "denied")).message).toContain("AccessDenied");
    }
    expect([connections, requests]).toEqual([1, 8]);
    await store.close();
    await new Promise((resolve) => sockets.close(resolve));
  });

  it("goes on in the same buffer where a body broke", async () => {
    const store = await serve(({ headers }, response, count) =>
      answerRange(response, headers["range"], count === 1 ? { sent: 100_000 } : {}),
    );
    const into = Buffer.alloc(object.length);
    await read(await store.get("key", { range: { start: 0, end: object.length }, into }));
    expect(into.equals(object)).toBe(true);
    expect(s3.seen.map(({ headers }) => headers["range"])).toEqual(["bytes=0-299999", "bytes=100000-299999"]);
  });

  it("leaves a refusal without an end, or longer than its buffer, to undici", async () => {
    const store = await serve((_, response, count) => {
      if (count % 2 === 0) refuse(response, 404, "NoSuchKey");
      else if (count === 1) response.writeHead(404, { "content-length": "100000" }).end(" ".repeat(100_000));
      else response.writeHead(404, { "transfer-encoding": "gzip, chunked" }).end("not for us");
    });
    for (const _ of ["long", "coded"]) await fails(store.get("key", { into: Buffer.alloc(10) }), "not_found");
    expect(s3.seen.length).toBe(4);
  });

  it("leaves a body without a length, or longer than the buffer, to undici", async () => {
    const store = await serve(({ headers }, response, count) => {
      if (count > 2) answerRange(response, headers["range"]);
      else response.writeHead(200, { etag, ...(count === 1 ? {} : { "content-length": String(object.length) }) }).end(object);
    });
    for (const _ of ["chunked", "too long"]) {
      const into = Buffer.alloc(100);
      const chunks = await read(await store.get("key", { range: { start: 0, end: 100 }, into }));
      expect(Buffer.concat(chunks).equals(object.subarray(0, 100))).toBe(true);
    }
    expect(s3.seen.map(({ headers }) => headers["range"])).toEqual(Array(3).fill("bytes=0-99"));
  });

  it("makes a new connection when the server closed the idle one", async () => {
    const store = await serve(({ headers }, response, count) => {
      answerRange(response, headers["range"], { keep: count !== 2 });
      // Closed after the answer without a word, as a server does whose patience ends.
      if (count === 1) response.once("finish", () => setImmediate(() => response.socket?.destroy()));
    });
    for (let i = 0; i < 4; i++) {
      const into = Buffer.alloc(1000);
      await read(await store.get("key", { range: { start: i, end: i + 1000 }, into }));
      expect(into.equals(object.subarray(i, i + 1000))).toBe(true);
    }
    expect(store.stats().errors).toEqual({});
  });

  it("writes nothing into the buffer after the body was cancelled", async () => {
    let go = () => {};
    const store = await serve((_, response) => {
      response.writeHead(206, { etag, "content-length": "300000", "content-range": `bytes 0-299999/${object.length}` });
      response.write(object.subarray(0, 1000));
      go = () => response.end(object.subarray(1000));
    });
    const into = Buffer.alloc(object.length);
    const body = await store.get("key", { range: { start: 0, end: object.length }, into });
    body.cancel();
    into.fill(0);
    go();
    // The next request's answer comes after what was sent for the first.
    await store.get("key", { range: { start: 0, end: object.length } }).then((next) => next.cancel());
    expect(into.equals(Buffer.alloc(object.length))).toBe(true);
  });

  it("tells when nothing listens", async () => {
    const store = await serve(() => undefined);
    await s3.stop();
    const gone = createObjectStore(
      {
        bucket: "b",
        prefix: "",
        endpoint: s3.endpoint,
        region: "r",
        credentials: { kind: "static", accessKeyId: "a", secretAccessKey: "b" },
      },
      { retry: { attempts: 1, baseMs: 1, capMs: 1 } },
    );
    await fails(gone.get("key", { range: { start: 0, end: 10 }, into: Buffer.alloc(10) }), "unavailable");
    await Promise.all([gone.close(), store.close()]);
  });

  it("does the same over TLS", async (context) => {
    const dir = mkdtempSync(join(tmpdir(), "direct-"));
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"];
    const files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", join(dir, "key.pem"), "-out", join(dir, "cert.pem")];
    try {
      execFileSync("openssl", ["req", ...kind, ...files], { stdio: "ignore" });
    } catch {
      context.skip("openssl is not on PATH");
    }
    const [key, cert] = [readFileSync(join(dir, "key.pem"), "utf8"), readFileSync(join(dir, "cert.pem"), "utf8")];
    rmSync(dir, { recursive: true });
    const server = createTlsServer({ key, cert }, ({ headers }, response) => answerRange(response, headers["range"]));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const endpoint = `https://localhost:${(server.address() as AddressInfo).port}`;
    const credentials = { kind: "static", accessKeyId: "a", secretAccessKey: "b" } as const;
    const store = createObjectStore({ bucket: "b", prefix: "", endpoint, region: "r", caBundle: cert, credentials });
    const into = Buffer.alloc(object.length);
    const chunks = await read(await store.get("key", { range: { start: 0, end: object.length }, into }));
    expect(into.equals(object)).toBe(true);
    expect(new Set(chunks.map(({ buffer }) => buffer))).toEqual(new Set([into.buffer]));
    await store.close();
    await new Promise((resolve) => server.close(resolve));
  });
});
