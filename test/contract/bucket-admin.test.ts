/** `BucketAdmin`, and what wrong settings are told as, on every S3 server that is here. */
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { leastPrivilegePolicy } from "#controller/bucket-policy.ts";
import type { DriverError } from "#core/errors.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import { checkAccess, createBucketAdmin, createObjectStore, type S3ObjectStore } from "#s3/index.ts";
import { availableStores, missingStores, type S3Server, type ServerKind, startServer } from "../support/s3-servers.ts";
import { bytesOf, fails } from "../support/store-assertions.ts";

const MIB = 1 << 20;

type Api =
  | "versions"
  | "tags"
  | "uploads"
  | "abort"
  | "credentials"
  | "encryption"
  | "lifecycle"
  | "sizes"
  | "public"
  | "policy"
  | "classes";

/** What a server does not have. */
const LACKS: Readonly<Record<ServerKind, readonly Api[]>> = {
  s3rver: ["versions", "tags", "uploads", "abort", "encryption", "lifecycle", "sizes", "public", "policy"],
  // It keeps everything as STANDARD, whatever it is asked for.
  versitygw: ["encryption", "lifecycle", "sizes", "public", "classes"],
  // Without a key management service it does not encrypt.
  minio: ["encryption", "public"],
  // Everybody may do everything; a lifecycle filter by size is dropped.
  moto: ["credentials", "sizes"],
};

if (missingStores().length > 0) console.log(`bucket administration: not run on ${missingStores().join(", ")}: not installed`);

for (const kind of availableStores()) {
  describe(`on ${kind}`, () => {
    let server: S3Server;
    let admin: BucketAdmin;
    const opened: S3ObjectStore[] = [];
    const open = (bucket: string, more: { accessKeyId?: string; secretAccessKey?: string; partBytes?: number } = {}) => {
      const { endpoint, region, accessKeyId, secretAccessKey } = server;
      const credentials = { kind: "static", accessKeyId, secretAccessKey, ...more } as const;
      const copyLimits = more.partBytes === undefined ? undefined : { maxBytes: more.partBytes, partBytes: more.partBytes, parallel: 2 };
      const store = createObjectStore({ bucket, prefix: "", endpoint, region, credentials }, { copyLimits });
      opened.push(store);
      return store;
    };
    /** `it`, where the server has this; else a skipped test whose name says why. */
    const where = (api: Api, lack: string) => (name: string, test: () => Promise<void>) =>
      LACKS[kind].includes(api) ? it.skip(`${name} (not here: ${kind} ${lack})`) : it(name, test);
    beforeAll(async () => {
      server = await startServer(kind);
      const { endpoint, region, accessKeyId, secretAccessKey } = server;
      admin = createBucketAdmin({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
      await admin.createBucket("first");
    });
    afterAll(async () => {
      await Promise.all(opened.map((store) => store.close()));
      await admin?.close();
      await server?.stop();
    });

    it("`checkAccess` names a bucket that is not there", async () => {
      const error = await fails(checkAccess(open("nowhere"), ""), "no_bucket");
      expect(error.message).toBe(`the bucket "nowhere" does not exist at ${server.endpoint}`);
    });

    where("credentials", "checks no credentials")("`checkAccess` tells a wrong key id from a wrong secret", async () => {
      const wrongId = await fails(checkAccess(open("first", { accessKeyId: "NOBODY" }), ""), "unauthenticated");
      expect(wrongId.message).toContain("the access key id is not known");
      const wrongSecret = await fails(checkAccess(open("first", { secretAccessKey: "guessed" }), ""), "unauthenticated");
      expect(wrongSecret.message).toContain("the secret access key does not belong to the access key id");
      expect(wrongSecret.message).not.toContain("guessed");
    });

    it("`copy` of what is too large for one request is done in parts, with headers and metadata", async () => {
      const store = open("first", { partBytes: 5 * MIB });
      const bytes = Buffer.alloc(11 * MIB, "0123456789abcdef");
      await store.put("large", bytes, { headers: { contentType: "x/large" }, metadata: { mode: "33188" } });
      await store.copy("large", "kept", { sourceSize: bytes.length });
      const kept = await store.get("kept");
      expect(kept.info).toMatchObject({ headers: { contentType: "x/large" }, metadata: { mode: "33188" } });
      expect((await bytesOf(kept)).equals(bytes)).toBe(true);
      await store.copy("large", "changed", { sourceSize: bytes.length, replace: { headers: {}, metadata: { mode: "0" } } });
      expect((await store.head("changed")).metadata).toEqual({ mode: "0" });
      expect(store.stats().requests).toMatchObject({ UploadPartCopy: 6, CompleteMultipartUpload: 2 });
    });

    it("`createBucket`, `headBucket`, `deleteBucket` make, find and remove a bucket", async () => {
      await fails(admin.headBucket("second"), "no_bucket");
      expect(await admin.createBucket("second")).toBe("created");
      // AWS and s3rver answer here what the seam warns of.
      const again = await admin.createBucket("second").catch((error: DriverError) => error.fault);
      expect(["created", "owned", "exists"]).toContain(again);
      await admin.headBucket("second");
      await admin.writeObject("second", "key", Buffer.from("x"));
      await fails(admin.deleteBucket("second"), "in_use");
      expect(await admin.deleteVersions("second", [{ key: "key" }])).toEqual([]);
      await admin.deleteBucket("second");
      await admin.deleteBucket("second");
      await fails(admin.headBucket("second"), "no_bucket");
    });

    it("`writeObject` and `readObject` keep a small object", async () => {
      const { etag } = await admin.writeObject("first", ".mark", Buffer.from("{}"), { contentType: "application/json" });
      const read = await admin.readObject("first", ".mark");
      expect([Buffer.from(read.body).toString(), read.etag]).toEqual(["{}", etag]);
      await fails(admin.readObject("first", "missing"), "not_found");
      await fails(admin.readObject("nowhere", "missing"), "no_bucket");
      await admin.writeObject("first", "big", Buffer.alloc(MIB + 1));
      await fails(admin.readObject("first", "big"), "too_big");
    });

    it("`listKeys` pages through any keys", async () => {
      await admin.createBucket("keys");
      const keys = ["a b", "a+b", "é/1", "x", "y"];
      for (const key of keys) await admin.writeObject("keys", key, Buffer.from(key));
      const seen: string[] = [];
      for (let next: string | undefined, first = true; first || next !== undefined; first = false) {
        const page = await admin.listKeys("keys", { maxKeys: 2, continuation: next });
        seen.push(...page.items);
        next = page.next;
      }
      expect(seen.toSorted()).toEqual(keys.toSorted());
    });

    it("`copyObject` keeps bytes, metadata and storage class, and copies a directory's empty object", async () => {
      const store = open("first");
      const storageClass = LACKS[kind].includes("classes") ? {} : { storageClass: "REDUCED_REDUNDANCY" };
      const headers = { contentType: "x/y", ...storageClass };
      // s3rver finds no source with a "+" in its name, and says that there is none.
      const name = kind === "s3rver" ? "a b é" : "a b+é";
      await store.put(`copies/${name}`, Buffer.from("12345"), { headers, metadata: { mode: "33188" } });
      await store.put("copies/dir/", new Uint8Array(0), {
        headers: { contentType: "application/x-directory" },
        metadata: { mode: "16877" },
      });
      await admin.copyObject("first", `copies/${name}`, `copied/${name}`);
      await admin.copyObject("first", "copies/dir/", "copied/dir/");
      const copied = await store.get(`copied/${name}`);
      expect((await bytesOf(copied)).toString()).toBe("12345");
      expect(copied.info).toMatchObject({ headers, metadata: { mode: "33188" } });
      expect((await store.head("copied/dir/")).metadata).toEqual({ mode: "16877" });
      await fails(admin.copyObject("first", "copies/missing", "copied/missing"), "not_found");
      if (kind !== "s3rver") return;
      await store.put("copies/a+b", Buffer.from("x"));
      await fails(admin.copyObject("first", "copies/a+b", "copied/a+b"), "not_implemented");
    });

    it("`writeObject` tells a storage class that is refused or ignored by what `readObject` answers", async () => {
      const written = await admin.writeObject("first", "class", Buffer.from("x"), { storageClass: "REDUCED_REDUNDANCY" });
      const read = await admin.readObject("first", "class");
      expect(read.etag).toBe(written.etag);
      expect(read.storageClass ?? "STANDARD").toBe(LACKS[kind].includes("classes") ? "STANDARD" : "REDUCED_REDUNDANCY");
      if (!LACKS[kind].includes("classes"))
        await fails(admin.writeObject("first", "class", Buffer.from("x"), { storageClass: "NONE" }), "bad_argument");
    });

    it("`getTags` and `setTags` keep tags, or are not_implemented", async () => {
      if (LACKS[kind].includes("tags")) {
        await fails(admin.setTags("first", { a: "1" }), "not_implemented");
        return;
      }
      expect(await admin.getTags("first")).toEqual({});
      await admin.setTags("first", { a: "1", "b c": "x y" });
      expect(await admin.getTags("first")).toEqual({ a: "1", "b c": "x y" });
      // MinIO knows no tags of a bucket that is not there, and says no more.
      if (kind !== "minio") await fails(admin.getTags("nowhere"), "no_bucket");
    });

    it("`listVersions` and `deleteVersions` empty a versioned bucket, or are not_implemented", async () => {
      await admin.createBucket("versions");
      if (LACKS[kind].includes("versions")) {
        await fails(admin.setVersioning("versions", "Enabled"), "not_implemented");
        return;
      }
      expect(await admin.getVersioning("versions")).toBe("Off");
      await admin.setVersioning("versions", "Enabled");
      expect(await admin.getVersioning("versions")).toBe("Enabled");
      for (const body of ["1", "2", "3"]) await admin.writeObject("versions", "a b+é", Buffer.from(body));
      await open("versions").delete("a b+é");
      const all = [];
      for (let cursor: Awaited<ReturnType<BucketAdmin["listVersions"]>>["next"], first = true; first || cursor; first = false) {
        const page = await admin.listVersions("versions", { cursor, maxKeys: 2 });
        all.push(...page.items);
        cursor = page.next;
      }
      expect(all.map(({ key, isDeleteMarker, isLatest }) => [key, isDeleteMarker, isLatest]).toSorted()).toEqual([
        ["a b+é", false, false],
        ["a b+é", false, false],
        ["a b+é", false, false],
        ["a b+é", true, true],
      ]);
      expect(await admin.deleteVersions("versions", all)).toEqual([]);
      expect((await admin.listVersions("versions")).items).toEqual([]);
      await admin.deleteBucket("versions");
    });

    it("`listUploads` and `abortUpload` end unfinished uploads, or are not_implemented", async () => {
      const store = open("first");
      const begun = [await store.beginUpload("uploads/a b+é"), await store.beginUpload("uploads/x")];
      for (const upload of begun) await store.uploadPart(upload, 1, Buffer.from("x"));
      if (LACKS[kind].includes("uploads")) {
        const { items } = await admin.listUploads("first").catch(() => ({ items: [] }));
        expect(items).toEqual([]);
        return;
      }
      // MinIO lists the uploads of one exact key only: what it shows must be right, and all of them end.
      const { items } = await admin.listUploads("first");
      for (const item of items) expect(begun.map(({ key }) => key)).toContain(item.key);
      for (const upload of begun) {
        await admin.abortUpload("first", upload);
        await admin.abortUpload("first", upload);
      }
      expect((await admin.listUploads("first")).items).toEqual([]);
    });

    where("uploads", "lists no uploads")("`listUploads` of a prefix shows all below it and no neighbour", async () => {
      const store = open("first");
      const keys = ["pvc-1/a", "pvc-1/d/b", "pvc-1/é", "pvc-10/a", "pvc-1", "a", "zz"];
      const begun = await Promise.all(keys.map((key) => store.beginUpload(key)));
      const seen: string[] = [];
      for (let cursor: Awaited<ReturnType<BucketAdmin["listUploads"]>>["next"], first = true; first || cursor; first = false) {
        const page = await admin.listUploads("first", { prefix: "pvc-1/", cursor, maxUploads: 1 });
        seen.push(...page.items.map(({ key }) => key));
        cursor = page.next;
      }
      expect(seen.toSorted()).toEqual(["pvc-1/a", "pvc-1/d/b", "pvc-1/é"]);
      for (const upload of begun) await admin.abortUpload("first", upload);
    });

    it("`setEncryption` is kept, or refused", async () => {
      await admin.createBucket("encrypted");
      if (LACKS[kind].includes("encryption")) {
        await fails(admin.setEncryption("encrypted", { algorithm: "AES256" }), "not_implemented");
        return;
      }
      expect(await admin.getEncryption("encrypted")).toBeUndefined();
      await admin.setEncryption("encrypted", { algorithm: "AES256" });
      expect(await admin.getEncryption("encrypted")).toEqual({ algorithm: "AES256" });
      const kms = { algorithm: "aws:kms", kmsKeyId: "arn:aws:kms:us-east-1:123456789012:key/0c2b6f6e" } as const;
      await admin.setEncryption("encrypted", kms);
      expect(await admin.getEncryption("encrypted")).toEqual(kms);
    });

    it("`setLifecycle` is kept, or refused", async () => {
      await admin.createBucket("lifecycle");
      const noncurrent = { id: "old", noncurrentDays: 14, dropLoneMarkers: true };
      if (LACKS[kind].includes("lifecycle")) {
        await fails(admin.setLifecycle("lifecycle", [noncurrent]), "not_implemented");
        return;
      }
      expect(await admin.getLifecycle("lifecycle")).toEqual([]);
      const bySize = [
        { id: "large", sizeOver: 10_007, expireDays: 30 },
        { id: "small", sizeUnder: 10_007, expireDays: 30 },
      ];
      await admin.setLifecycle("lifecycle", [noncurrent, ...bySize]);
      const found = (await admin.getLifecycle("lifecycle")).toSorted((a, b) => (a.id < b.id ? -1 : 1));
      const kept = LACKS[kind].includes("sizes") ? bySize.map(({ id, expireDays }) => ({ id, expireDays })) : bySize;
      expect(found).toEqual([kept[0], noncurrent, kept[1]]);
      const uploads = [{ id: "uploads", abortUploadsDays: 7 }];
      // MinIO ends unfinished uploads after a day by itself, and takes no rule for it.
      if (kind === "minio") await fails(admin.setLifecycle("lifecycle", uploads), "bad_argument");
      else {
        await admin.setLifecycle("lifecycle", uploads);
        expect(await admin.getLifecycle("lifecycle")).toEqual(uploads);
      }
    });

    it("`setPublicAccessBlock` is kept, or refused", async () => {
      await admin.createBucket("private");
      if (LACKS[kind].includes("public")) {
        await fails(admin.setPublicAccessBlock("private"), kind === "minio" ? "bad_argument" : "not_implemented");
        return;
      }
      expect(await admin.getPublicAccessBlock("private")).toBe(false);
      await admin.setPublicAccessBlock("private");
      expect(await admin.getPublicAccessBlock("private")).toBe(true);
    });

    it("`setPolicy` is kept, or refused", async () => {
      await admin.createBucket("policy");
      const policy = leastPrivilegePolicy("policy", server.accessKeyId);
      if (LACKS[kind].includes("policy")) {
        await fails(admin.setPolicy("policy", policy), "not_implemented");
        return;
      }
      expect(await admin.getPolicy("policy")).toBeUndefined();
      await admin.setPolicy("policy", policy);
      const kept = JSON.parse((await admin.getPolicy("policy")) ?? "") as { Statement: { Sid: string }[] };
      expect(kept.Statement.map(({ Sid }) => Sid)).toEqual(["BucketmountList", "BucketmountObjects", "BucketmountMark"]);
    });

    it("settings of a bucket that is not there are no_bucket", async () => {
      if (!LACKS[kind].includes("lifecycle")) await fails(admin.getLifecycle("nowhere"), "no_bucket");
      if (!LACKS[kind].includes("policy")) await fails(admin.getPolicy("nowhere"), "no_bucket");
    });
  });
}

describe("BucketAdmin", () => {
  it("`ping` tells whether anybody answers, whatever the credentials", async () => {
    const server = await startServer("s3rver");
    const admin = createBucketAdmin({
      endpoint: server.endpoint,
      region: "us-east-1",
      credentials: { accessKeyId: "no", secretAccessKey: "no" },
    });
    await admin.ping();
    await server.stop();
    const error = await fails(admin.ping({ deadlineMs: 20_000 }), "unavailable");
    expect(error.message).toContain(`cannot reach the S3 endpoint ${server.endpoint}`);
    await admin.close();
  });

  it("reaches the store through the proxy that is named for it", async () => {
    const asked: string[] = [];
    const proxy = createHttpServer((request, response) => {
      asked.push(request.url ?? "");
      response.writeHead(200, { "content-type": "application/xml" });
      response.end("<ListAllMyBucketsResult/>");
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const { port } = proxy.address() as AddressInfo;
    // A name that nobody can look up: only the proxy can answer.
    const admin = createBucketAdmin({ endpoint: "http://store.invalid:9000", proxy: `http://127.0.0.1:${port}` });
    await admin.ping();
    expect(asked.every((url) => url.startsWith("http://store.invalid:9000/"))).toBe(true);
    expect(asked.length).toBeGreaterThan(0);
    await admin.close();
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
  });

  it("is timed_out at the deadline, and interrupted by a signal", async () => {
    const silent = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    const admin = createBucketAdmin({ endpoint: `http://127.0.0.1:${port}`, credentials: { accessKeyId: "a", secretAccessKey: "b" } });
    await fails(admin.headBucket("b", { deadlineMs: 200 }), "timed_out");
    await fails(admin.headBucket("b", { signal: AbortSignal.timeout(100) }), "interrupted");
    await admin.close();
    await new Promise((resolve) => silent.close(resolve));
  });
});
