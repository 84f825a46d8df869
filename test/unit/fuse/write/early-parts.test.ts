import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Etag } from "#core/brand.ts";
import type { DirtyRow } from "#fuse/journal/state-store.ts";
import { createSpool } from "#fuse/write/create-spool.ts";
import type { AheadTarget, DirtyFile, UploadTarget } from "#fuse/write/dirty-file.ts";
import { type EarlyPartsOptions, readyParts } from "#fuse/write/early-parts.ts";
import type { ObjectStore } from "#s3/object-store.ts";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";

const KIB = 1024;
const PART = 64 * KIB;
const WAIT_MS = 30_000;

let dir: string;
let memory: MemoryObjectStore;
let store: FailingObjectStore;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "early-parts-"));
  memory = new MemoryObjectStore();
  store = new FailingObjectStore(memory);
});
afterEach(() => fs.rmSync(dir, { recursive: true }));

const early = { metadata: { mtime: "early" } };
const target: UploadTarget = { key: "a", headers: {}, metadata: { mtime: "late" } };

function spoolOf(options: EarlyPartsOptions | false = {}, on: ObjectStore = store) {
  const earlyParts = options && { fromBytes: 2 * PART, lookEveryMs: 1, ...options };
  return createSpool({ dir, store: on, partSizeBytes: PART, multipartFromBytes: 2 * PART, earlyParts });
}

/** A new file that goes to `key` for as long as that is set. */
function newFile(options: EarlyPartsOptions = {}) {
  const file = spoolOf(options).create();
  const to: { key: string | undefined } = { key: "a" };
  const noted: DirtyRow["upload"][] = [];
  const ahead: AheadTarget = {
    key: () => to.key,
    begin: () => ({ ...target, ...early, key: to.key ?? "", onMultipart: (upload) => void noted.push(upload) }),
  };
  file.sendAhead(ahead);
  return { file, to, noted };
}

/** As the kernel does in passthrough: unseen by the file's object. */
function writeTo(file: DirtyFile, offset: number, bytes: Uint8Array): void {
  fs.writeSync(file.fd, bytes, 0, bytes.byteLength, offset);
}

function contentOf(file: DirtyFile): Buffer {
  return fs.readFileSync(file.path);
}

/** Appends until at least `parts` were sent ahead. */
async function growUntilSent(file: DirtyFile, parts: number): Promise<void> {
  const from = store.calls.uploadPart ?? 0;
  await vi.waitFor(
    () => {
      const { size } = fs.fstatSync(file.fd);
      if (size < 40 * PART) writeTo(file, size, randomBytes(PART));
      expect((store.calls.uploadPart ?? 0) - from).toBeGreaterThanOrEqual(parts);
    },
    { timeout: WAIT_MS, interval: 5 },
  );
}

function partsSent(): number {
  return memory.requests["UploadPart"] ?? 0;
}

describe("EarlyParts", () => {
  it("sends whole parts of a growing file before the upload, which sends only the rest", async () => {
    const { file, noted } = newFile();
    await growUntilSent(file, 4);
    const before = partsSent();
    expect(memory.bytes("a")).toBeUndefined();
    const { metadata, etag, size } = await file.upload(target);
    expect(contentOf(file).equals(memory.bytes("a") ?? Buffer.of())).toBe(true);
    expect([metadata, memory.metadata("a")]).toEqual([early.metadata, early.metadata]);
    expect([etag, size]).toEqual([(await memory.head("a")).etag, contentOf(file).byteLength]);
    expect(before).toBeGreaterThanOrEqual(4);
    expect(partsSent()).toBe(Math.ceil(size / PART));
    expect([memory.requests["CreateMultipartUpload"], memory.openUploads, file.changed()]).toEqual([1, 0, false]);
    expect(noted.map((upload) => upload?.key)).toEqual(["a"]);
    file.discard();
  });

  it("whatever is written, rewritten and cut while parts go ahead, the object is the file at the upload", async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ kind: fc.constant("append" as const), at: fc.nat(1000), kib: fc.integer({ min: 1, max: 300 }) }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ kind: fc.constant("rewrite" as const), at: fc.nat(1000), kib: fc.integer({ min: 1, max: 90 }) }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("cut" as const), at: fc.nat(1000), kib: fc.constant(0) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("grow" as const), at: fc.nat(1000), kib: fc.nat(200) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("upload" as const), at: fc.nat(1000), kib: fc.constant(0) }) },
    );
    let reused = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(step, fc.nat(4)), { minLength: 3, maxLength: 14 }), async (steps) => {
        memory.resetRequests();
        const { file } = newFile({ parallel: 3 });
        const whole = async () => {
          await file.upload(target);
          expect(contentOf(file).equals(memory.bytes("a") ?? Buffer.of())).toBe(true);
        };
        for (const [{ kind, at, kib }, waitMs] of steps) {
          const { size } = file.stat();
          const offset = Math.floor((size * at) / 1000);
          if (kind === "append") writeTo(file, size, randomBytes(kib * KIB));
          if (kind === "rewrite") writeTo(file, offset, randomBytes(kib * KIB));
          if (kind === "cut") await file.truncate(offset);
          if (kind === "grow") await file.truncate(size + kib * KIB);
          if (kind === "upload") await whole();
          if (waitMs > 0) await sleep(waitMs);
        }
        await whole();
        if (memory.metadata("a")?.["mtime"] === "early") reused += 1;
        file.discard();
        await vi.waitFor(() => expect(memory.openUploads).toBe(0), { timeout: WAIT_MS });
      }),
      { numRuns: 60 },
    );
    expect(reused).toBeGreaterThan(0);
  });

  it("a single byte changed in a part that was sent is noticed, and only that part is sent again", async () => {
    const { file } = newFile();
    await growUntilSent(file, 4);
    writeTo(file, PART + 77, Buffer.of((contentOf(file)[PART + 77] ?? 0) ^ 1));
    const { size } = await file.upload(target);
    expect(contentOf(file).equals(memory.bytes("a") ?? Buffer.of())).toBe(true);
    expect(partsSent()).toBe(Math.ceil(size / PART) + 1);
    file.discard();
  });

  it("an upload that begins while parts are under way waits for them and uses them", async () => {
    const { file } = newFile();
    const release = store.hold("uploadPart");
    await growUntilSent(file, 3);
    const uploading = file.upload(target);
    await sleep(5);
    release();
    const { size } = await uploading;
    expect(contentOf(file).equals(memory.bytes("a") ?? Buffer.of())).toBe(true);
    expect(partsSent()).toBe(Math.ceil(size / PART));
    file.discard();
  });

  it("the conditions are those of the upload", async () => {
    memory.seed("a", "elsewhere");
    const { file } = newFile();
    await growUntilSent(file, 3);
    await expect(file.upload({ ...target, ifNoneMatch: "*" })).rejects.toMatchObject({ fault: "exists" });
    await expect(file.upload({ ...target, ifMatch: '"other"' as Etag })).rejects.toMatchObject({ fault: "stale" });
    expect([memory.text("a"), memory.openUploads]).toEqual(["elsewhere", 0]);
    file.discard();
  });

  it("another key or other headers at the upload: what went ahead is abandoned and all is sent anew", async () => {
    for (const other of [{ key: "b" }, { headers: { contentType: "text/plain" } }]) {
      const { file } = newFile();
      await growUntilSent(file, 3);
      const { metadata } = await file.upload({ ...target, ...other });
      expect(metadata).toBe(target.metadata);
      expect(contentOf(file).equals(memory.bytes(other.key ?? "a") ?? Buffer.of())).toBe(true);
      expect(memory.openUploads).toBe(0);
      file.discard();
    }
  });

  it("a rename while parts are under way abandons them and begins for the new key", async () => {
    const { file, to, noted } = newFile();
    await growUntilSent(file, 3);
    to.key = "b";
    await vi.waitFor(
      () => {
        writeTo(file, file.stat().size, randomBytes(PART));
        expect(noted.map((upload) => upload?.key)).toEqual(["a", undefined, "b"]);
      },
      { timeout: WAIT_MS, interval: 5 },
    );
    const { metadata } = await file.upload({ ...target, key: "b" });
    expect(metadata).toEqual(early.metadata);
    expect([memory.keys, memory.openUploads]).toEqual([["b"], 0]);
    file.discard();
  });

  it("what was begun is abandoned when no upload will come, when the file is cut, and when it is closed", async () => {
    const endings: ((made: ReturnType<typeof newFile>) => unknown)[] = [
      ({ to }) => {
        to.key = undefined;
      },
      ({ file }) => file.truncate(PART),
      ({ file }) => file.close(),
      ({ file }) => file.discard(),
    ];
    for (const end of endings) {
      const made = newFile();
      await growUntilSent(made.file, 3);
      await end(made);
      await vi.waitFor(() => expect([memory.openUploads, made.noted.at(-1)]).toEqual([0, undefined]), { timeout: WAIT_MS });
      made.file.discard();
    }
  });

  it("a store that fails is left alone for a while, and the writer hears nothing of it", async () => {
    for (const method of ["beginUpload", "uploadPart"] as const) {
      const { file } = newFile();
      store.fail(method, { fault: "unavailable" });
      const before = store.calls.beginUpload ?? 0;
      await vi.waitFor(
        () => {
          writeTo(file, file.stat().size, randomBytes(PART));
          expect(store.calls.beginUpload).toBe(before + 1);
        },
        { timeout: WAIT_MS, interval: 5 },
      );
      for (let more = 0; more < 10; more += 1) {
        writeTo(file, file.stat().size, randomBytes(PART));
        await sleep(3);
      }
      await vi.waitFor(() => expect(memory.openUploads).toBe(0), { timeout: WAIT_MS });
      expect(store.calls.beginUpload).toBe(before + 1);
      const { metadata } = await file.upload(target);
      expect(metadata).toBe(target.metadata);
      expect(contentOf(file).equals(memory.bytes("a") ?? Buffer.of())).toBe(true);
      file.discard();
    }
  });

  it("an upload that is gone on the store is made anew", async () => {
    const { file, noted } = newFile();
    await growUntilSent(file, 3);
    await memory.abortUpload({ key: "a", uploadId: noted[0]?.uploadId ?? "" });
    const { metadata } = await file.upload(target);
    expect(metadata).toBe(target.metadata);
    expect(contentOf(file).equals(memory.bytes("a") ?? Buffer.of())).toBe(true);
    file.discard();
  });

  it("nothing goes ahead of holes, of files that do not grow, of small ones, of those with a base, or when it is switched off", async () => {
    const off = spoolOf(false).create();
    const adopted = spoolOf().adopt(spoolOf().create().spool);
    const [holes, still, small] = [newFile(), newFile(), newFile()];
    for (const file of [off, adopted]) file.sendAhead({ key: () => "a", begin: () => target });
    await holes.file.truncate(20 * PART);
    writeTo(holes.file, 30 * PART, Buffer.of(1));
    await still.file.truncate(10 * PART);
    writeTo(still.file, 0, randomBytes(10 * PART));
    for (let more = 0; more < 10; more += 1) {
      for (const file of [off, adopted]) writeTo(file, more * PART, randomBytes(PART));
      writeTo(small.file, more * KIB, randomBytes(KIB));
      await sleep(3);
    }
    expect(store.calls).toEqual({});
    for (const file of [off, adopted, holes.file, still.file, small.file]) file.discard();
  });

  it("`recover` of a row ends the upload that a dead engine had begun ahead", async () => {
    const { file, noted } = newFile();
    await growUntilSent(file, 3);
    const crashed = contentOf(file);
    const upload = noted[0];
    if (upload === undefined) throw new Error("nothing was noted");
    const aside = join(dir, "successor");
    fs.writeFileSync(aside, crashed);
    const row = { spool: "successor", key: "a", base: null, extents: null, headers: {}, metadata: {}, upload } as unknown as DirtyRow;
    const again = spoolOf({}, memory).recover(row, undefined);
    await again.upload(target);
    expect(crashed.equals(memory.bytes("a") ?? Buffer.of())).toBe(true);
    expect(memory.openUploads).toBe(0);
    again.discard();
    file.discard();
  });
});

describe("readyParts", () => {
  it("`readyParts` keeps one part's distance to the end, and to what is on disk", () => {
    const blocks = (bytes: number) => bytes / 512;
    expect(readyParts({ size: 4096, blocks: blocks(8192) }, 1024)).toBe(3);
    expect(readyParts({ size: 4095, blocks: blocks(8192) }, 1024)).toBe(2);
    expect(readyParts({ size: 1 << 30, blocks: blocks(2048) }, 1024)).toBe(1);
    expect(readyParts({ size: 100, blocks: 8 }, 1024)).toBe(0);
    expect(readyParts({ size: 2 ** 40, blocks: blocks(2 ** 40) }, 1024)).toBe(5000);
  });
});
