/**
 * Spool files of which only the changed parts are sent, on a store with real conditions: whatever is written, cut and read, also in the
 * midst of an upload, the object is the file.
 */
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NodeId } from "#core/brand.ts";
import type { DirtyRow } from "#fuse/journal/state-store.ts";
import { createSpool } from "#fuse/write/create-spool.ts";
import type { DirtyFile } from "#fuse/write/dirty-file.ts";
import type { Spool } from "#fuse/write/spool.ts";
import { FailingObjectStore } from "../support/failing-object-store.ts";
import { MemoryObjectStore } from "../support/memory-object-store.ts";
import { fileStep, PlainFile } from "../support/plain-file.ts";
import { StoreContentReader } from "../support/store-content-reader.ts";

let dir: string;
let store: MemoryObjectStore;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "partial-upload-"));
  store = new MemoryObjectStore();
});
afterEach(() => fs.rmSync(dir, { recursive: true }));

const target = { key: "a", headers: {}, metadata: {} };
const textOf = async (file: DirtyFile, offset = 0, size = 1 << 20) => Buffer.concat(await file.read(offset, size)).toString();
const rowOf = (file: DirtyFile, { id }: StoreContentReader): DirtyRow => ({
  ...{ node: 5 as NodeId, spool: file.spool, key: "a", extents: file.extents(), headers: {}, metadata: {} },
  base: { key: id.key, etag: id.etag, size: id.size },
});

describe("SpoolFile over a version in the bucket", () => {
  for (const start of ["an overlay", "a whole file that is tracked"] as const) {
    it(`${start} reads, uploads and survives crashes as plain bytes would while the store copies what did not change`, async () => {
      const content = Buffer.from(Array.from({ length: 60 }, (_, i) => 65 + (i % 26)));
      const busy = fc.tuple(fc.constant("busyUpload" as const), fc.nat({ max: 70 }), fc.integer({ min: 1, max: 20 }));
      const steps = fc.array(fc.oneof(fileStep, { weight: 2, arbitrary: busy }), { maxLength: 25 });
      await fc.assert(
        fc.asyncProperty(steps, fc.constantFrom("uploadPart", "copyPart", "completeUpload"), async (steps, during) => {
          const store = new BusyStore();
          store.seed("a", content);
          const spool = createSpool({ dir, store, copiesParts: true, partSizeBytes: 8, multipartFromBytes: 16 });
          const model = new PlainFile(content);
          let reader = await StoreContentReader.of(store, "a");
          let file = start === "an overlay" ? spool.overlay(reader) : adoptWhole(spool, content, reader);
          for (const [i, [kind, at = 0, length = 0]] of steps.entries()) {
            const data = Buffer.alloc(length, 97 + (i % 26));
            const put = async () => {
              expect(await file.write(at, data)).toBe(length);
              model.write(at, data);
            };
            if (kind === "write" && length > 0) await put();
            if (kind === "truncate") {
              await file.truncate(at);
              model.truncate(at);
            }
            if (kind === "read") expect(await textOf(file, at, length)).toBe(model.bytes.subarray(at, at + length).toString());
            if (kind === "fill") await file.fill();
            if (kind === "upload" || kind === "busyUpload") {
              const { etag } = await store.head("a");
              if (kind === "busyUpload") store.once(during, put);
              await file.upload({ ...target, ifMatch: etag });
              expect(store.text("a")).toBe(model.bytes.toString());
              expect(file.changed()).toBe(false);
              store.once(during, undefined);
            }
            if (kind === "crash") {
              reader = await StoreContentReader.of(store, "a");
              const row = rowOf(file, reader);
              file.close();
              file = spool.recover(row, reader);
            }
            expect(file.stat().size).toBe(model.bytes.byteLength);
          }
          expect(await textOf(file)).toBe(model.bytes.toString());
          await file.upload(target);
          expect(store.text("a")).toBe(model.bytes.toString());
          await file.fill();
          expect(fs.readFileSync(file.path).equals(model.bytes)).toBe(true);
          expect(store.openUploads).toBe(0);
          file.discard();
        }),
        { numRuns: 100 },
      );
      expect(fs.readdirSync(dir)).toEqual([]);
    });
  }

  it("`upload` of a file that changes all the time sends a copy of what is not copied inside the store", async () => {
    const busy = new BusyStore();
    busy.seed("a", Buffer.alloc(100, "b"));
    const spool = createSpool({ dir, store: busy, copiesParts: true, partSizeBytes: 10, multipartFromBytes: 16 });
    const file = spool.overlay(await StoreContentReader.of(busy, "a"));
    let writes = 0;
    const keepWriting = async () => {
      writes += 1;
      await file.write(50 + (writes % 50), Buffer.from("w"));
      if (writes < 20) busy.once("completeUpload", keepWriting);
    };
    await file.write(0, Buffer.from("first"));
    busy.once("completeUpload", keepWriting);
    await file.upload(target);
    expect(file.changed()).toBe(true);
    busy.once("completeUpload", undefined);
    await file.upload(target);
    expect(file.changed()).toBe(false);
    expect(busy.text("a")).toBe(await textOf(file));
    expect(busy.requests["PutObject"]).toBeUndefined();
    expect(fs.readdirSync(dir)).toEqual([file.spool]);
    file.discard();
  });

  it("`upload` sends everything, then and later, when the store turns out not to copy parts", async () => {
    const failing = new FailingObjectStore(store);
    store.seed("a", Buffer.alloc(100, "b"));
    const spool = createSpool({ dir, store: failing, copiesParts: true, partSizeBytes: 10, multipartFromBytes: 16 });
    const file = spool.overlay(await StoreContentReader.of(failing, "a"));
    await file.write(5, Buffer.from("X"));
    failing.fail("copyPart", { fault: "not_implemented", times: 99 });
    await file.upload(target);
    expect(store.text("a")).toBe(`bbbbbX${"b".repeat(94)}`);
    expect([file.whole, store.openUploads]).toEqual([true, 0]);
    await file.write(50, Buffer.from("Y"));
    const copies = failing.calls.copyPart;
    await file.upload(target);
    expect(failing.calls.copyPart).toBe(copies);
    expect(store.text("a")).toBe(await textOf(file));
    file.discard();
  });

  it("`upload` is refused as `stale` when the base was replaced, and can be made again over what `follow` names", async () => {
    store.seed("a", Buffer.alloc(100, "b"));
    const spool = createSpool({ dir, store, copiesParts: true, partSizeBytes: 10, multipartFromBytes: 16 });
    const reader = await StoreContentReader.of(store, "a");
    const file = spool.overlay(reader);
    await file.write(5, Buffer.from("X"));
    store.seed("a", Buffer.alloc(100, "c"));
    await expect(file.upload(target)).rejects.toMatchObject({ fault: "stale" });
    expect(store.openUploads).toBe(0);
    const etag = store.seed("moved", Buffer.alloc(100, "b"));
    file.follow({ ...reader.id, key: "other" }, { key: "a", etag, size: 100 });
    await expect(file.upload(target)).rejects.toMatchObject({ fault: "stale" });
    file.follow(reader.id, { key: "moved", etag, size: 100 });
    await file.upload(target);
    expect(store.text("a")).toBe(`bbbbbX${"b".repeat(94)}`);
    file.discard();
  });
});

/** A file on the disk that is the version already. */
function adoptWhole(spool: Spool, content: Uint8Array, reader: StoreContentReader): DirtyFile {
  const name = spool.freshName();
  fs.writeFileSync(spool.pathFor(name), content);
  return spool.adopt(name, reader.id);
}

/** Something happens once, in the midst of a call. */
class BusyStore extends MemoryObjectStore {
  readonly #once = new Map<string, () => Promise<void>>();

  once(method: string, happens: (() => Promise<void>) | undefined): void {
    if (happens === undefined) this.#once.delete(method);
    else this.#once.set(method, happens);
  }

  async #happen(method: string): Promise<void> {
    const happens = this.#once.get(method);
    this.#once.delete(method);
    await happens?.();
  }

  override async uploadPart(...args: Parameters<MemoryObjectStore["uploadPart"]>) {
    await this.#happen("uploadPart");
    return super.uploadPart(...args);
  }

  override async copyPart(...args: Parameters<MemoryObjectStore["copyPart"]>) {
    await this.#happen("copyPart");
    return super.copyPart(...args);
  }

  override async completeUpload(...args: Parameters<MemoryObjectStore["completeUpload"]>) {
    await this.#happen("completeUpload");
    return super.completeUpload(...args);
  }
}
