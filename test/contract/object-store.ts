/** What every `ObjectStore` promises, as tests that run on any of them. */
import { randomBytes } from "node:crypto";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ObjectStore } from "#s3/object-store.ts";
import { bytesOf, fails, listAll, textOf } from "../support/store-assertions.ts";
import type { StoreTraits, StoreUnderTest, Suite } from "../support/store-under-test.ts";
import { conditions, ending } from "./object-store-conditions.ts";
import { tags } from "./object-store-tags.ts";

const MIB = 1 << 20;

/** Keys that clients get wrong: encoding, order, normalisation. */
const ODD_KEYS = [
  "odd/a b",
  "odd/a+b",
  "odd/100%",
  "odd/%41",
  "odd/é",
  "odd/e\u0301",
  "odd/日本語/😀",
  "odd/'quo\"te'",
  "odd/a&b<c>d",
  "odd/a#b?c=d",
  "odd/!*()@;:$,=~",
  "odd/back\\slash",
  "odd/tab\tin",
  "odd/a//b",
  "odd/./a",
  "odd/a/../b",
  "odd/.hidden/..dots../...",
  "odd/dir/",
];

/** Registers the suite. `start` is called once. */
export function objectStoreContract(name: string, start: () => Promise<StoreUnderTest>, traits: StoreTraits): void {
  describe(`ObjectStore on ${name}`, () => {
    let under: StoreUnderTest;
    let store: ObjectStore;
    beforeAll(async () => {
      under = await start();
      store = under.store;
    });
    afterAll(() => under?.stop());
    const suite: Suite = { store: () => store, another: () => under.another(), tagging: () => under.tagging, traits };
    objects(suite);
    keys(suite);
    listing(suite);
    copying(suite);
    deleting(suite);
    multipart(suite);
    conditions(suite);
    tags(suite);
    ending(suite);
  });
}

function objects({ store, traits }: Suite): void {
  const headers = {
    ...{ contentType: "application/java-archive", contentEncoding: "x-test", cacheControl: "max-age=60", contentLanguage: "de" },
    ...{ contentDisposition: 'attachment; filename="x.jar"', expires: "Thu, 01 Jan 2037 00:00:00 GMT" },
  };

  it("`get` answers the bytes, headers and metadata that were put", async () => {
    const unicode = traits.unicodeMetadata ? { unicode: "größe 日本" } : {};
    const metadata = { uid: "1000", mtime: "1700000000.000000001", blanks: "a  b\u00a0", "symlink-target": "../x y", ...unicode };
    const before = Date.now();
    const { etag, dateMs } = await store().put("objects/one", Buffer.from("hello"), { headers, metadata });
    const body = await store().get("objects/one");
    expect(await textOf(body)).toBe("hello");
    expect(body.length).toBe(5);
    expect(body.info).toMatchObject({ key: "objects/one", size: 5, etag, headers, metadata });
    expect(Math.abs(dateMs - before)).toBeLessThan(60_000);
    expect(Math.abs(body.info.lastModified - dateMs)).toBeLessThan(2_000);
    expect(await store().head("objects/one")).toEqual(body.info);
  });

  it("`put` replaces an object, its headers and its metadata", async () => {
    const first = await store().put("objects/two", Buffer.from("first"), { metadata: { a: "1" } });
    const second = await store().put("objects/two", Buffer.from("second"), { metadata: { b: "2" } });
    expect(second.etag).not.toBe(first.etag);
    const info = await store().head("objects/two");
    expect(info).toMatchObject({ size: 6, etag: second.etag });
    expect(info.metadata).toEqual({ b: "2" });
  });

  it("`get` reads an empty object", async () => {
    await store().put("objects/empty", new Uint8Array(0));
    const body = await store().get("objects/empty");
    expect(body.length).toBe(0);
    expect((await bytesOf(body)).length).toBe(0);
  });

  it("`get` reads a range, cut at the object's end", async () => {
    const bytes = randomBytes(300_000);
    await store().put("objects/ranges", bytes);
    for (const [start, end] of [
      [0, 1],
      [0, 300_000],
      [100_000, 250_000],
      [299_999, 300_000],
      [200_000, 900_000],
    ] as const) {
      const body = await store().get("objects/ranges", { range: { start, end } });
      expect(body.length).toBe(Math.min(end, 300_000) - start);
      expect(body.info.size).toBe(300_000);
      expect(Buffer.compare(await bytesOf(body), bytes.subarray(start, end))).toBe(0);
      const lent = await store().get("objects/ranges", { range: { start, end }, into: Buffer.alloc(end - start) });
      expect(Buffer.compare(await bytesOf(lent), bytes.subarray(start, end))).toBe(0);
    }
    await fails(store().get("objects/ranges", { range: { start: 5, end: 5 } }), "bad_argument");
  });

  it("`get` and `head` of a missing key are not_found", async () => {
    await fails(store().get("objects/missing"), "not_found");
    await fails(store().head("objects/missing"), "not_found");
  });

  it("`put` sends a range of a file, small in memory and large in a stream", async () => {
    const dir = await mkdtemp(join(tmpdir(), "bucketmount-contract-"));
    const bytes = randomBytes(18 * MIB);
    await writeFile(join(dir, "file"), bytes);
    const file = await open(join(dir, "file"));
    try {
      for (const [start, end] of [
        [0, 0],
        [10, 1000],
        [5, 17 * MIB + 7],
      ] as const) {
        await store().put("objects/file", { fd: file.fd, start, end });
        expect(Buffer.compare(await bytesOf(await store().get("objects/file")), bytes.subarray(start, end))).toBe(0);
      }
    } finally {
      await file.close();
      await rm(dir, { recursive: true });
    }
  });

  it("`cancel` ends a body early and leaves the store working", async () => {
    await store().put("objects/large", randomBytes(4 * MIB));
    for (let round = 0; round < 5; round++) {
      const body = await store().get("objects/large");
      let seen = 0;
      const reading = (async () => {
        for await (const chunk of body.stream) {
          seen += chunk.byteLength;
          body.cancel();
        }
      })();
      await fails(reading, "interrupted");
      expect(seen).toBeLessThan(4 * MIB);
      (await store().get("objects/large")).cancel();
    }
    expect((await bytesOf(await store().get("objects/large"))).length).toBe(4 * MIB);
  });

  it("answers a hundred calls at once", async () => {
    await Promise.all(Array.from({ length: 100 }, (_, i) => store().put(`many/${i}`, Buffer.from(String(i)))));
    const texts = await Promise.all(Array.from({ length: 100 }, async (_, i) => textOf(await store().get(`many/${i}`))));
    expect(texts).toEqual(Array.from({ length: 100 }, (_, i) => String(i)));
  });
}

function keys({ store, traits }: Suite): void {
  it.each(ODD_KEYS.filter((key) => !traits.refusedKeys.includes(key)))("keeps the key %j as it is", async (key) => {
    const body = key.endsWith("/") ? "" : key;
    await store().put(key, Buffer.from(body));
    expect((await store().head(key)).key).toBe(key);
    expect(await textOf(await store().get(key))).toBe(body);
    expect((await listAll(store(), key)).map((object) => object.key)).toContain(key);
    const marker = key.endsWith("/");
    const copy = marker ? "odd-copy/" : "odd-copy";
    if (!marker || traits.copiesMarkers) {
      await store().copy(key, copy);
      expect(await textOf(await store().get(copy))).toBe(body);
    }
    expect(await store().deleteMany([key, copy])).toEqual([]);
    await fails(store().head(key), "not_found");
  });
}

function listing({ store, traits }: Suite): void {
  const names = ["list/a", "list/b/1", "list/b/2", "list/b/c/3", "list/b.txt", "list/z", "list/é", "list/\uff5e", "list/😀"];
  const inOrder = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  beforeAll(async () => {
    await Promise.all(names.map((key, i) => store().put(key, Buffer.alloc(i))));
  });

  it("`list` shows size, ETag and time of each object", async () => {
    const { etag } = await store().put("list-one", Buffer.from("12345"));
    const { objects: found } = await store().list({ prefix: "list-one" });
    expect(found).toMatchObject([{ key: "list-one", size: 5, etag }]);
    expect(Math.abs((found[0]?.lastModified ?? 0) - Date.now())).toBeLessThan(60_000);
  });

  it("`list` of a prefix shows all keys below it in UTF-8 order", async () => {
    const found = (await listAll(store(), "list/")).map((object) => object.key);
    expect(found).toEqual(inOrder);
    expect(await store().list({ prefix: "nothing/" })).toEqual({ objects: [], prefixes: [] });
  });

  it("`list` with a delimiter shows one level", async () => {
    const page = await store().list({ prefix: "list/", delimiter: "/" });
    expect(page.prefixes).toEqual(["list/b/"]);
    expect(page.objects.map((object) => object.key).toSorted()).toEqual(inOrder.filter((key) => !key.startsWith("list/b/")).toSorted());
  });

  it("`list` pages hold no more than `maxKeys` and miss nothing", async () => {
    const level = ["list/b/", ...inOrder.filter((key) => !key.startsWith("list/b/"))];
    for (const [delimiter, expected] of [
      ["/", level],
      [undefined, inOrder],
    ] as const) {
      for (const maxKeys of [1, 2, 3]) {
        const seen: string[] = [];
        for (let next: string | undefined, first = true; first || next !== undefined; first = false) {
          const page = await store().list({
            prefix: "list/",
            maxKeys,
            ...(delimiter && { delimiter }),
            ...(next && { continuation: next }),
          });
          expect(page.objects.length + (traits.countsPrefixes ? page.prefixes.length : 0)).toBeLessThanOrEqual(maxKeys);
          seen.push(...page.objects.map((object) => object.key), ...page.prefixes);
          next = page.next;
        }
        expect(seen.toSorted()).toEqual(expected.toSorted());
      }
    }
  });

  it("`list` begins behind `startAfter`", async () => {
    const { objects: found } = await store().list({ prefix: "list/", startAfter: "list/b/2" });
    expect(found.map((object) => object.key).toSorted()).toEqual(inOrder.slice(inOrder.indexOf("list/b/2") + 1).toSorted());
  });
}

function copying({ store }: Suite): void {
  it("`copy` finds a source whose name has characters that some servers decode by halves", async () => {
    const key = "copy/@scope:1,2=$x y";
    await store().put(key, Buffer.from("content"));
    await store().copy(key, "copy/plain");
    expect((await store().head("copy/plain")).size).toBe(7);
  });

  it("`copy` keeps headers and metadata", async () => {
    await store().put("copy/source", Buffer.from("content"), {
      headers: { contentType: "text/x-test" },
      metadata: { mode: "33188", n: "u" },
    });
    const { etag } = await store().copy("copy/source", "copy/target");
    const body = await store().get("copy/target");
    expect(await textOf(body)).toBe("content");
    expect(body.info).toMatchObject({ etag, headers: { contentType: "text/x-test" }, metadata: { mode: "33188", n: "u" } });
  });

  it("`copy` replaces headers and metadata, onto itself too", async () => {
    await store().put("copy/self", Buffer.from("content"), { headers: { contentType: "text/x-old" }, metadata: { old: "1" } });
    const replace = { headers: { contentType: "text/x-new" }, metadata: { new: "2" } };
    for (const target of ["copy/self", "copy/other"]) {
      await store().copy("copy/self", target, { replace });
      const body = await store().get(target);
      expect(await textOf(body)).toBe("content");
      expect(body.info.headers.contentType).toBe("text/x-new");
      expect(body.info.metadata).toEqual({ new: "2" });
    }
  });

  it("`copy` of a missing key is not_found", async () => {
    await fails(store().copy("copy/missing", "copy/x"), "not_found");
  });
}

function deleting({ store }: Suite): void {
  it("`delete` removes an object; a missing one is success", async () => {
    await store().put("delete/one", Buffer.from("x"));
    await store().delete("delete/one");
    await store().delete("delete/one");
    await fails(store().head("delete/one"), "not_found");
  });

  it("`deleteMany` removes all and only the given keys", async () => {
    const doomed = Array.from({ length: 30 }, (_, i) => `delete/many/${i} & <${i}>`);
    await Promise.all([...doomed, "delete/many/stays"].map((key) => store().put(key, Buffer.from("x"))));
    expect(await store().deleteMany([...doomed, "delete/many/never there"])).toEqual([]);
    expect((await listAll(store(), "delete/many/")).map((object) => object.key)).toEqual(["delete/many/stays"]);
    expect(await store().deleteMany([])).toEqual([]);
  });
}

function multipart({ store, traits }: Suite): void {
  it("`completeUpload` makes one object of parts sent in any order", async () => {
    const parts = [randomBytes(5 * MIB), randomBytes(5 * MIB + 1), randomBytes(17)];
    const upload = await store().beginUpload("parts/whole", { headers: { contentType: "x/parts" }, metadata: { mode: "33188", n: "u" } });
    const sent = await Promise.all([2, 0, 1].map((i) => store().uploadPart(upload, i + 1, parts[i] ?? Buffer.alloc(0))));
    await fails(store().head("parts/whole"), "not_found");
    const { etag } = await store().completeUpload(
      upload,
      sent.toSorted((a, b) => a.partNumber - b.partNumber),
    );
    const body = await store().get("parts/whole");
    expect(Buffer.compare(await bytesOf(body), Buffer.concat(parts))).toBe(0);
    expect(body.info).toMatchObject({ etag, headers: { contentType: "x/parts" }, metadata: { mode: "33188", n: "u" } });
  });

  it("`copyPart` makes a part of a range of another object", async () => {
    const source = randomBytes(6 * MIB);
    const { etag } = await store().put("parts/source", source);
    const upload = await store().beginUpload("parts/copied", { withCopies: true });
    const first = await store().copyPart(upload, 1, { key: "parts/source", start: 100, end: 100 + 5 * MIB, ifMatch: etag });
    const second = await store().uploadPart(upload, 2, Buffer.from("tail"));
    await store().completeUpload(upload, [first, second]);
    const expected = Buffer.concat([source.subarray(100, 100 + 5 * MIB), Buffer.from("tail")]);
    expect(Buffer.compare(await bytesOf(await store().get("parts/copied")), expected)).toBe(0);
  });

  const abort = traits.abort ? it : it.skip;
  abort(
    `\`abortUpload\` ends an upload; again is success${traits.abort ? "" : " (not here: the server has no such call, or cannot tell afterwards)"}`,
    async () => {
      const upload = await store().beginUpload("parts/aborted");
      const part = await store().uploadPart(upload, 1, Buffer.from("x"));
      await store().abortUpload(upload);
      await store().abortUpload(upload);
      await fails(store().completeUpload(upload, [part]), "not_found");
      await fails(store().head("parts/aborted"), "not_found");
    },
  );
}
