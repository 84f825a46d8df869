import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import type { Etag } from "#core/brand.ts";
import type { DriverError } from "#core/errors.ts";
import { createObjectStore } from "#s3/index.ts";
import { answer, refuse, type Script, type ScriptedS3, startScriptedS3 } from "../../support/scripted-s3.ts";
import { bytesOf, fails, textOf } from "../../support/store-assertions.ts";

let server: ScriptedS3 | undefined;
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

async function scripted(script: Script): Promise<ScriptedS3> {
  server = await startScriptedS3(script);
  return server;
}

describe("S3Http", () => {
  it("sends the key's path as it is, signed, with length and checksum", async () => {
    const s3 = await scripted((_, response) => answer(response));
    await s3.store().put("a/../b//./c d+e%", Buffer.from("hello"), { metadata: { n: "ü" } });
    expect(s3.seen[0]).toMatchObject({ method: "PUT", path: "/bucket/a/../b//./c%20d%2Be%25" });
    const headers = s3.seen[0]?.headers;
    expect(headers).toMatchObject({
      "content-length": "5",
      "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
      "x-amz-checksum-crc32": "NhCmhg==",
    });
    expect(headers?.["x-amz-meta-n"]).toBe(Buffer.from("ü").toString("latin1"));
    expect(headers?.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/us-east-1\/s3\/aws4_request, SignedHeaders=.*x-amz-checksum-crc32/,
    );
  });

  it("repeats what may be repeated and counts each attempt", async () => {
    const s3 = await scripted((_, response, count) => (count < 3 ? refuse(response, 503, "SlowDown") : answer(response)));
    const store = s3.store();
    await store.head("key");
    expect(store.stats()).toMatchObject({ requests: { HeadObject: 3 }, errors: { unavailable: 2 }, retries: 2, inFlight: 0, waiting: 0 });
  });

  it("does not repeat what the server refused for good", async () => {
    const s3 = await scripted((_, response) => refuse(response, 403, "AccessDenied"));
    const store = s3.store();
    const error = await fails(store.list({ prefix: "" }), "denied");
    expect(error.message).toBe("ListObjectsV2 s3://bucket: AccessDenied: told & said");
    expect(error.context).toMatchObject({
      operation: "ListObjectsV2",
      bucket: "bucket",
      status: 403,
      code: "AccessDenied",
      requestId: "R1",
    });
    expect(s3.seen.length).toBe(1);
  });

  it("says how each attempt ended, with what a person can mend", async () => {
    const heard: string[] = [];
    const watch = {
      failed: (error: DriverError, operation: string) => void heard.push(`${operation} ${error.context.cause}`),
      succeeded: (operation: string) => void heard.push(`${operation} done`),
    };
    const s3 = await scripted((_, response, count) => {
      if (count === 1) refuse(response, 503, "SlowDown");
      else if (count === 2) refuse(response, 403, "AccessDenied");
      else answer(response);
    });
    const store = s3.store({ watch });
    await fails(store.list({ prefix: "" }), "denied");
    await store.put("key", Buffer.from("x"));
    expect(heard).toEqual(["ListObjectsV2 throttled", "ListObjectsV2 access_denied", "PutObject done"]);
  });

  it("takes a refused key for a wrong clock where the server's date is far off", async () => {
    const s3 = await scripted((_, response) => {
      response.setHeader("date", new Date(Date.now() - 3_600_000).toUTCString());
      refuse(response, 403, "SignatureDoesNotMatch");
    });
    const error = await fails(s3.store().list({ prefix: "" }), "unauthenticated");
    expect(error.context.cause).toBe("clock_skew");
    expect(error.message).toContain("this machine's clock is 60 min fast");
  });

  it("gives up after the last attempt", async () => {
    const s3 = await scripted((_, response) => refuse(response, 500, "InternalError"));
    await fails(s3.store().list({ prefix: "" }), "unavailable");
    expect(s3.seen.length).toBe(4);
  });

  it("waits as long as Retry-After says", async () => {
    const s3 = await scripted((_, response, count) => {
      if (count > 1) return answer(response);
      response.setHeader("retry-after", "1");
      refuse(response, 503, "SlowDown");
    });
    const begun = performance.now();
    await s3.store().put("key", Buffer.from("x"));
    expect(performance.now() - begun).toBeGreaterThan(990);
  });

  it("keeps at most `maxInFlight` requests under way", async () => {
    let now = 0;
    let most = 0;
    const s3 = await scripted(async (_, response) => {
      most = Math.max(most, ++now);
      await sleep(2);
      now -= 1;
      answer(response);
    });
    const store = s3.store({ maxInFlight: 3 });
    await Promise.all(Array.from({ length: 30 }, (_, i) => store.head(`key${i}`)));
    expect(most).toBe(3);
    expect(store.stats()).toMatchObject({ inFlight: 0, waiting: 0, requests: { HeadObject: 30 } });
  });

  it("is timed_out at the deadline when the server is silent, and frees the place", async () => {
    const s3 = await scripted(() => undefined);
    const store = s3.store();
    const error = await fails(store.head("key", { deadlineMs: 100 }), "timed_out");
    expect(error.message).toContain(s3.endpoint);
    expect(store.stats().inFlight).toBe(0);
  });

  it("counts the wait for a free place into the deadline", async () => {
    const s3 = await scripted(() => undefined);
    const store = s3.store({ maxInFlight: 1 });
    const first = store.head("first", { deadlineMs: 500 });
    const second = store.head("second", { deadlineMs: 50 });
    await fails(second, "timed_out");
    expect(s3.seen.length).toBeLessThanOrEqual(1);
    await fails(first, "timed_out");
  });

  it("repeats after a connection that broke without an answer", async () => {
    const s3 = await scripted((_, response, count) => (count === 1 ? void response.destroy() : answer(response)));
    await s3.store().head("key");
    expect(s3.seen.length).toBe(2);
  });

  it("takes an error inside a 200 for what it is", async () => {
    const s3 = await scripted((_, response, count) =>
      count === 1
        ? answer(response, "<Error><Code>InternalError</Code></Error>")
        : answer(response, '<CopyObjectResult><ETag>"e2"</ETag></CopyObjectResult>'),
    );
    expect(await s3.store().copy("a", "b")).toMatchObject({ etag: '"e2"' });
    expect(s3.seen.map(({ headers }) => headers["x-amz-copy-source"])).toEqual(["/bucket/a", "/bucket/a"]);
  });

  it("signs with the server's clock after RequestTimeTooSkewed", async () => {
    const s3 = await scripted((_, response, count) => {
      response.setHeader("date", "Fri, 01 Jan 2100 00:00:00 GMT");
      if (count === 1) refuse(response, 403, "RequestTimeTooSkewed");
      else answer(response);
    });
    await s3.store().put("key", Buffer.from("x"));
    expect(s3.seen[1]?.headers["x-amz-date"]).toMatch(/^21000101T0000/);
  });

  it("does not repeat with the same credentials after they were refused", async () => {
    const s3 = await scripted((_, response) => refuse(response, 403, "SignatureDoesNotMatch"));
    const error = await fails(s3.store().list({ prefix: "" }), "unauthenticated");
    expect(error.message).toContain("the secret access key does not belong to the access key id");
    expect(JSON.stringify([error.message, error.context, error.stack])).not.toContain("verysecretkey");
    expect(s3.seen.length).toBe(1);
  });

  it("names the endpoint when nobody listens there", async () => {
    const s3 = await scripted(() => undefined);
    const { endpoint } = s3;
    const store = s3.store();
    await s3.stop();
    server = undefined;
    const dead = createObjectStore(
      { bucket: "b", prefix: "", endpoint, region: "us-east-1", credentials: { kind: "static", accessKeyId: "a", secretAccessKey: "b" } },
      { retry: { attempts: 2, baseMs: 1, capMs: 1 } },
    );
    const error = await fails(dead.head("key"), "unavailable");
    expect(error.message).toBe(`cannot reach the S3 endpoint ${endpoint}: the connection is refused (ECONNREFUSED)`);
    await dead.close();
    await fails(store.head("key"), "interrupted");
  });

  it("ends what is in flight when it is closed", async () => {
    const s3 = await scripted(() => undefined);
    const store = s3.store();
    const call = store.head("key");
    await sleep(20);
    const closing = store.close();
    await fails(call, "interrupted");
    await closing;
  });
});

describe("a conditional write whose answer was lost", () => {
  const md5OfHello = '"5d41402abc4b2a76b9719d911017c592"';

  it("is success when our bytes stand there", async () => {
    const s3 = await scripted((request, response, count) => {
      if (count === 1) response.destroy();
      else if (request.method === "PUT") refuse(response, 412, "PreconditionFailed");
      else answer(response, "", { etag: md5OfHello, "content-length": "5" });
    });
    expect(await s3.store().put("key", Buffer.from("hello"), { ifNoneMatch: "*" })).toMatchObject({ etag: md5OfHello });
    expect(s3.seen.map(({ method }) => method)).toEqual(["PUT", "PUT", "HEAD"]);
  });

  it("is refused when somebody else's bytes stand there", async () => {
    const s3 = await scripted((request, response, count) => {
      if (count === 1) response.destroy();
      else if (request.method === "PUT") refuse(response, 412, "PreconditionFailed");
      else answer(response, "", { etag: '"00000000000000000000000000000000"', "content-length": "5" });
    });
    await fails(s3.store().put("key", Buffer.from("hello"), { ifMatch: '"e0"' as Etag }), "stale");
  });

  it("is not looked up when nothing was repeated", async () => {
    const s3 = await scripted((_, response) => refuse(response, 412, "PreconditionFailed"));
    await fails(s3.store().put("key", Buffer.from("hello"), { ifNoneMatch: "*" }), "exists");
    expect(s3.seen.length).toBe(1);
  });

  it("completes an upload that the first attempt had completed", async () => {
    const etag = '"2c5f0c8a5c2d6a6ebbd5a7a8a2ae4a3f-1"';
    const s3 = await scripted((request, response, count) => {
      if (count === 1) response.destroy();
      else if (request.method === "POST") refuse(response, 404, "NoSuchUpload");
      else answer(response, "", { etag, "content-length": "5" });
    });
    const parts = [{ partNumber: 1, etag: md5OfHello as Etag }];
    const completing = s3.store().completeUpload({ key: "key", uploadId: "u" }, parts);
    // The ETag that stands there is not that of these parts: somebody else's.
    await fails(completing, "not_found");
  });
});

describe("a body", () => {
  const whole = "0123456789".repeat(1000);

  it("is continued where it broke, from the same version", async () => {
    const s3 = await scripted((request, response, count) => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      const headers = { etag: '"e1"', "content-length": String(whole.length - from) };
      if (from > 0) response.writeHead(206, { ...headers, "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` });
      else response.writeHead(200, headers);
      const part = whole.slice(from, count < 3 ? from + 3000 : undefined);
      response.write(part, () => (count < 3 ? setTimeout(() => response.destroy(), 20) : response.end()));
    });
    expect(await textOf(await s3.store().get("key"))).toBe(whole);
    expect(s3.seen.map(({ headers }) => [headers.range, headers["if-match"]])).toEqual([
      [undefined, undefined],
      ["bytes=3000-9999", '"e1"'],
      ["bytes=6000-9999", '"e1"'],
    ]);
  });

  it("is stale when the object was replaced before it could be continued", async () => {
    const s3 = await scripted((_, response, count) => {
      if (count > 1) return refuse(response, 412, "PreconditionFailed");
      response.writeHead(200, { etag: '"e1"', "content-length": String(whole.length) });
      response.write(whole.slice(0, 100), () => setTimeout(() => response.destroy(), 20));
    });
    await fails(bytesOf(await s3.store().get("key")), "stale");
  });

  it("is corrupt when its bytes do not have the checksum", async () => {
    const s3 = await scripted((_, response) => answer(response, "hello", { "x-amz-checksum-crc32": "AAAAAA==" }));
    await fails(bytesOf(await s3.store().get("key")), "corrupt");
  });

  it("is not held against a sum of sums", async () => {
    const s3 = await scripted((_, response) => answer(response, "hello", { "x-amz-checksum-crc32": "AAAAAA==-2" }));
    expect(await textOf(await s3.store().get("key"))).toBe("hello");
  });

  it("is cut where a server sends more than the range", async () => {
    const s3 = await scripted((_, response) => answer(response, whole));
    const body = await s3.store().get("key", { range: { start: 0, end: 7 } });
    expect(body).toMatchObject({ length: 7, info: { size: whole.length } });
    expect(await textOf(body)).toBe("0123456");
  });

  it("is refused where a server sends bytes from elsewhere", async () => {
    const s3 = await scripted((_, response) => answer(response, whole));
    await fails(s3.store().get("key", { range: { start: 5, end: 7 } }), "internal");
  });

  it("is stale where a server passes over If-Match", async () => {
    const s3 = await scripted((_, response) => answer(response, "x"));
    await fails(s3.store().get("key", { ifMatch: '"e0"' as Etag }), "stale");
  });

  it("is timed_out when the server stops sending", async () => {
    const s3 = await scripted((_, response, count) => {
      if (count === 1) response.writeHead(200, { etag: '"e1"', "content-length": "100" }).write("x");
      else response.writeHead(206, { etag: '"e1"', "content-length": "99", "content-range": "bytes 1-99/100" }).flushHeaders();
    });
    const store = s3.store({ bodyLimits: { idleMs: 60, abandonMs: 60_000 } });
    await fails(bytesOf(await store.get("key", { deadlineMs: 5_000 })), "timed_out");
    expect(store.stats().inFlight).toBe(0);
  });

  it("gives its place back when nobody reads it", async () => {
    const s3 = await scripted((_, response) => {
      response.writeHead(200, { etag: '"e1"', "content-length": String(8 << 20) });
      response.end(Buffer.alloc(8 << 20));
    });
    const store = s3.store({ bodyLimits: { idleMs: 60_000, abandonMs: 60 } });
    await store.get("key");
    expect(store.stats().inFlight).toBe(1);
    while (store.stats().inFlight > 0) await sleep(10);
    expect(store.stats().receivedBytes).toBeLessThan(8 << 20);
  });
});
