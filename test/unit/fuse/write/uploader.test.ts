import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Etag } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import { Uploader } from "#fuse/write/uploader.ts";
import type { CallOptions, Payload, UploadedPart, UploadId } from "#s3/object-store.ts";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";

let dir: string;
let fd: number;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "uploader-"));
  fd = fs.openSync(join(dir, "file"), "w+");
});
afterEach(() => {
  fs.closeSync(fd);
  fs.rmSync(dir, { recursive: true });
});

function fill(size: number): Buffer {
  const bytes = Buffer.from(Array.from({ length: size }, (_, i) => (i * 31) & 255));
  fs.ftruncateSync(fd, 0);
  fs.writeSync(fd, bytes, 0, size, 0);
  return bytes;
}

const target = { key: "a", headers: { contentType: "text/plain" }, metadata: { mode: "33188" } };

/** Records what parts were asked for; fails or holds the one that is told. */
class PartStore extends MemoryObjectStore {
  readonly sizes = new Map<number, number>();
  inFlight = 0;
  mostInFlight = 0;
  readonly aborted: number[] = [];
  failPart = 0;

  override async uploadPart(upload: UploadId, partNumber: number, body: Payload, options?: CallOptions): Promise<UploadedPart> {
    const { start, end } = body as { start: number; end: number };
    this.sizes.set(partNumber, end - start);
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    try {
      await new Promise((resume) => setImmediate(resume));
      if (partNumber === this.failPart) throw new DriverError("unavailable", "no");
      if (this.failPart > 0 && partNumber > this.failPart) await untilAborted(options?.signal);
      return await super.uploadPart(upload, partNumber, body, options);
    } catch (thrown) {
      if (options?.signal?.aborted) this.aborted.push(partNumber);
      throw thrown;
    } finally {
      this.inFlight -= 1;
    }
  }
}

function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    const stop = () => reject(new DriverError("interrupted", "aborted"));
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop);
  });
}

describe("Uploader", () => {
  it("`upload` makes one PUT of a file below the multipart size, an empty one too, with headers and metadata", async () => {
    const store = new MemoryObjectStore();
    const uploader = new Uploader({ store, multipartFromBytes: 1 << 20 });
    for (const size of [0, 1, 200_000]) {
      const bytes = fill(size);
      await uploader.upload({ fd, size }, target);
      expect(Buffer.from(store.bytes("a") ?? "none").equals(bytes)).toBe(true);
    }
    expect(store.requests).toEqual({ PutObject: 3 });
    expect(store.metadata("a")).toEqual({ mode: "33188" });
    expect((await store.head("a")).headers).toEqual({ contentType: "text/plain" });
  });

  it("`upload` sends a large file in equal parts, some at a time, and tells of the upload", async () => {
    const store = new PartStore();
    const uploader = new Uploader({ store, partSizeBytes: 100, multipartFromBytes: 300, parallelParts: 3 });
    const bytes = fill(1050);
    const told: unknown[] = [];
    await uploader.upload({ fd, size: 1050 }, { ...target, onMultipart: (upload) => told.push(upload) });
    expect(Buffer.from(store.bytes("a") ?? "").equals(bytes)).toBe(true);
    expect([...store.sizes.entries()].toSorted(([a], [b]) => a - b).map(([, size]) => size)).toEqual([...Array(10).fill(100), 50]);
    expect(store.mostInFlight).toBe(3);
    expect(told).toEqual([{ key: "a", uploadId: expect.any(String), parts: [] }, undefined]);
    expect(store.metadata("a")).toEqual({ mode: "33188" });
    expect(store.requests["CompleteMultipartUpload"]).toBe(1);
  });

  it("`upload` keeps within the bytes in flight over several files", async () => {
    const store = new PartStore();
    const uploader = new Uploader({ store, partSizeBytes: 100, multipartFromBytes: 300, parallelParts: 8, inFlightBytes: 450 });
    fill(1000);
    const keys = ["a", "b", "c"];
    await Promise.all(keys.map((key) => uploader.upload({ fd, size: 1000 }, { ...target, key })));
    expect(store.mostInFlight).toBe(4);
    expect(store.keys).toEqual(keys);
  });

  it("`upload` passes conditions to the PUT and to the completion of parts", async () => {
    const store = new MemoryObjectStore();
    const uploader = new Uploader({ store, partSizeBytes: 100, multipartFromBytes: 300 });
    for (const size of [10, 1000]) {
      fill(size);
      const key = `of-${size}`;
      const { etag } = await uploader.upload({ fd, size }, { ...target, key, ifNoneMatch: "*" });
      await expect(uploader.upload({ fd, size }, { ...target, key, ifNoneMatch: "*" })).rejects.toMatchObject({ fault: "exists" });
      await expect(uploader.upload({ fd, size }, { ...target, key, ifMatch: '"other"' as Etag })).rejects.toMatchObject({ fault: "stale" });
      await uploader.upload({ fd, size }, { ...target, key, ifMatch: etag });
    }
    expect(store.openUploads).toBe(0);
  });

  it("`upload` aborts the parts under way and the upload itself when one part fails", async () => {
    const store = new PartStore();
    store.failPart = 2;
    const uploader = new Uploader({ store, partSizeBytes: 100, multipartFromBytes: 300, parallelParts: 4 });
    fill(1000);
    await expect(uploader.upload({ fd, size: 1000 }, target)).rejects.toMatchObject({ fault: "unavailable" });
    expect(store.openUploads).toBe(0);
    expect(store.aborted).toEqual(expect.arrayContaining([3, 4]));
    expect(store.sizes.size).toBeLessThan(10);
    expect(store.inFlight).toBe(0);
    // The budget is free again.
    store.failPart = 0;
    await uploader.upload({ fd, size: 1000 }, target);
    expect(store.keys).toEqual(["a"]);
  });

  it("`upload` ends with `interrupted` when the caller's signal aborts, and leaves no upload behind", async () => {
    const store = new PartStore();
    const stop = new AbortController();
    const uploader = new Uploader({ store, partSizeBytes: 100, multipartFromBytes: 300 });
    fill(1000);
    const uploading = uploader.upload({ fd, size: 1000 }, { ...target, signal: stop.signal });
    await new Promise((resume) => setImmediate(resume));
    stop.abort();
    await expect(uploading).rejects.toMatchObject({ fault: "interrupted" });
    expect(store.openUploads).toBe(0);
  });

  it("`upload` throws `corrupt` when the file ends before its size", async () => {
    const uploader = new Uploader({ store: new MemoryObjectStore(), partSizeBytes: 100, multipartFromBytes: 300 });
    fill(10);
    await expect(uploader.upload({ fd, size: 11 }, target)).rejects.toMatchObject({ fault: "corrupt" });
    await expect(uploader.upload({ fd, size: 1000 }, target)).rejects.toMatchObject({ fault: "corrupt" });
  });

  it("`upload` with `reuse` has the store copy what did not change, under the upload's and the source's conditions", async () => {
    const store = new PartStore();
    const uploader = new Uploader({ store, partSizeBytes: 10, multipartFromBytes: 20, copiesParts: true });
    const old = fill(100);
    const etag = store.seed("old", old);
    fs.writeSync(fd, "X", 45);
    const reuse = { source: { key: "old", etag }, parts: uploader.planReuse(100, [[45, 46]]) ?? [] };
    await uploader.upload({ fd, size: 100, reuse }, { ...target, ifNoneMatch: "*" });
    old.write("X", 45);
    expect(Buffer.from(store.bytes("a") ?? "none").equals(old)).toBe(true);
    expect([...store.sizes]).toEqual([[2, 10]]);
    expect(store.requests).toEqual({ CreateMultipartUpload: 1, UploadPartCopy: 2, UploadPart: 1, CompleteMultipartUpload: 1 });
    await expect(uploader.upload({ fd, size: 100, reuse }, { ...target, ifNoneMatch: "*" })).rejects.toMatchObject({ fault: "exists" });
    store.seed("old", "another");
    await expect(uploader.upload({ fd, size: 100, reuse }, target)).rejects.toMatchObject({ fault: "stale" });
    expect(store.openUploads).toBe(0);
  });

  it("`planReuse` answers undefined where nothing can be copied, or the store does not copy", () => {
    const store = new MemoryObjectStore();
    const uploader = new Uploader({ store, partSizeBytes: 10, multipartFromBytes: 20, copiesParts: true });
    expect(uploader.planReuse(19, [])).toBeUndefined();
    expect(uploader.planReuse(20, [[0, 11]])).toBeUndefined();
    expect(uploader.planReuse(20, [])?.map(({ from }) => from)).toEqual(["base"]);
    expect(new Uploader({ store, multipartFromBytes: 20 }).planReuse(100, [])).toBeUndefined();
  });

  it("`upload` with `reuse` throws `unsupported` when the store refuses copies or what is made of them, and plans none any more", async () => {
    for (const method of ["copyPart", "completeUpload"] as const) {
      const memory = new MemoryObjectStore();
      const store = new FailingObjectStore(memory);
      const uploader = new Uploader({ store, partSizeBytes: 10, multipartFromBytes: 20, copiesParts: true });
      const etag = memory.seed("old", fill(100));
      const reuse = { source: { key: "old", etag }, parts: uploader.planReuse(100, [[0, 1]]) ?? [] };
      store.fail(method, { fault: "unavailable", times: 2 });
      await expect(uploader.upload({ fd, size: 100, reuse }, target)).rejects.toMatchObject({ fault: "unavailable" });
      expect(uploader.planReuse(100, [])).toBeDefined();
      store.mend();
      store.fail(method, { fault: "bad_argument", times: 9 });
      await expect(uploader.upload({ fd, size: 100, reuse }, target)).rejects.toMatchObject({ fault: "unsupported" });
      expect([uploader.planReuse(100, []), memory.openUploads]).toEqual([undefined, 0]);
    }
  });

  it("`abandon` succeeds even when the store does not answer", async () => {
    const store = new MemoryObjectStore();
    await store.close();
    await new Uploader({ store }).abandon({ key: "a", uploadId: "x" });
  });
});

describe("An upload that is not wanted any more", () => {
  it("sends no further part, stores nothing and leaves no parts behind", async () => {
    const store = new PartStore();
    const cancelled = new AbortController();
    const uploader = new Uploader({ store, partSizeBytes: 10, multipartFromBytes: 20, parallelParts: 1 });
    fill(95);
    const uploaded = uploader.upload({ fd, size: 95 }, { ...target, cancelled: cancelled.signal });
    while (store.sizes.size === 0) await new Promise((resume) => setImmediate(resume));
    cancelled.abort();
    await expect(uploaded).rejects.toMatchObject({ fault: "interrupted" });
    expect(store.sizes.size).toBeLessThan(10);
    expect([store.keys, store.openUploads]).toEqual([[], 0]);
  });

  it("is not begun, and a PUT that is under way is not broken off", async () => {
    const store = new MemoryObjectStore();
    const cancelled = new AbortController();
    const uploader = new Uploader({ store });
    fill(5);
    const options = { ...target, cancelled: cancelled.signal };
    const underWay = uploader.upload({ fd, size: 5 }, options);
    await Promise.resolve();
    cancelled.abort();
    await underWay;
    await expect(uploader.upload({ fd, size: 5 }, options)).rejects.toMatchObject({ fault: "interrupted" });
    expect(store.requests).toEqual({ PutObject: 1 });
  });
});
