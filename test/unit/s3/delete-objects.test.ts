import { afterEach, describe, expect, it } from "vitest";
import { answer, refuse, type ScriptedS3, startScriptedS3 } from "../../support/scripted-s3.ts";

let server: ScriptedS3 | undefined;
afterEach(() => server?.stop());

const keysIn = (body: Buffer) => [...body.toString().matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => key);

describe("BatchDelete", () => {
  it("sends a thousand keys a request and answers those that failed", async () => {
    server = await startScriptedS3((_, response) =>
      answer(
        response,
        "<DeleteResult><Error><Key>key1</Key><Code>AccessDenied</Code><Message>no</Message></Error><Error><Key>key2</Key><Code>NoSuchKey</Code></Error></DeleteResult>",
      ),
    );
    const keys = Array.from({ length: 2001 }, (_, i) => `key${i}`);
    const failures = await server.store().deleteMany(keys);
    expect(server.seen.map(({ method, path, body }) => [method, path, keysIn(body).length])).toEqual([
      ["POST", "/bucket?delete=", 1000],
      ["POST", "/bucket?delete=", 1000],
      // One key alone needs no batch.
      ["DELETE", "/bucket/key2000", 0],
    ]);
    expect(failures).toMatchObject([
      { key: "key1", error: { fault: "denied" } },
      { key: "key1", error: { fault: "denied" } },
    ]);
    expect(server.seen[0]?.headers["content-md5"]).toMatch(/^[A-Za-z0-9+/]{22}==$/);
  });

  it("deletes singly for its life where the server has no DeleteObjects", async () => {
    server = await startScriptedS3((request, response) => {
      if (request.method === "POST") refuse(response, 501, "NotImplemented");
      else if (request.path.endsWith("/bad")) refuse(response, 403, "AccessDenied");
      else answer(response);
    });
    const store = server.store();
    expect(await store.deleteMany(["a", "bad", "c"])).toMatchObject([{ key: "bad", error: { fault: "denied" } }]);
    expect(await store.deleteMany(["d", "e"])).toEqual([]);
    expect(store.stats().requests).toEqual({ DeleteObjects: 1, DeleteObject: 5 });
  });

  it("deletes singly what XML cannot name", async () => {
    server = await startScriptedS3((_, response) => answer(response, "<DeleteResult/>"));
    await server.store().deleteMany(["a\u0001", "b", "c & <d>\r"]);
    expect(server.seen.map(({ method, path }) => `${method} ${path}`).toSorted()).toEqual(["DELETE /bucket/a%01", "POST /bucket?delete="]);
    expect(keysIn(server.seen.find(({ method }) => method === "POST")?.body ?? Buffer.alloc(0))).toEqual(["b", "c &amp; &lt;d&gt;&#13;"]);
  });
});
