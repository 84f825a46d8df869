import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NodeId } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import type { DirtyRow } from "#fuse/journal/state-store.ts";
import { createSpool } from "#fuse/write/create-spool.ts";
import type { DirtyFile } from "#fuse/write/dirty-file.ts";
import type { Payload, PutOptions, PutResult } from "#s3/object-store.ts";
import { MemoryContentReader } from "../../../support/memory-content-reader.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { fileStep, PlainFile } from "../../../support/plain-file.ts";

let dir: string;
let store: MemoryObjectStore;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "spool-file-"));
  store = new MemoryObjectStore();
});
afterEach(() => fs.rmSync(dir, { recursive: true }));

const target = { key: "a", headers: {}, metadata: {} };
const textOf = async (file: DirtyFile, offset = 0, size = 1 << 20) => Buffer.concat(await file.read(offset, size)).toString();
const rowOf = (file: DirtyFile, base: MemoryContentReader): DirtyRow => ({
  ...{ node: 5 as NodeId, spool: file.spool, key: "a", extents: file.extents(), headers: {}, metadata: {} },
  base: { key: base.id.key, etag: base.id.etag, size: base.id.size },
});

describe("SpoolFile", () => {
  it("an overlay reads, uploads and survives crashes as plain bytes would, after any writes, cuts and fills", async () => {
    const content = Buffer.from(Array.from({ length: 60 }, (_, i) => 65 + (i % 26)));
    await fc.assert(
      fc.asyncProperty(fc.array(fileStep, { maxLength: 25 }), async (steps) => {
        const model = new PlainFile(content);
        let base = new MemoryContentReader(content, 7);
        let file = createSpool({ dir, store }).overlay(base);
        for (const [i, [kind, at = 0, length = 0]] of steps.entries()) {
          const data = Buffer.alloc(length, 97 + (i % 26));
          if (kind === "write" && length > 0) {
            expect(await file.write(at, data)).toBe(length);
            model.write(at, data);
          }
          if (kind === "truncate") {
            await file.truncate(at);
            model.truncate(at);
          }
          if (kind === "read") expect(await textOf(file, at, length)).toBe(model.bytes.subarray(at, at + length).toString());
          if (kind === "fill") await file.fill();
          if (kind === "upload") {
            expect((await file.upload(target)).size).toBe(model.bytes.byteLength);
            expect(store.text("a")).toBe(model.bytes.toString());
            expect(file.changed()).toBe(false);
          }
          if (kind === "crash") {
            const row = rowOf(file, base);
            file.close();
            base = new MemoryContentReader(content, 7);
            file = createSpool({ dir, store }).recover(row, base);
          }
          expect(file.stat().size).toBe(model.bytes.byteLength);
        }
        expect(await textOf(file)).toBe(model.bytes.toString());
        await file.fill();
        expect(file.whole).toBe(true);
        expect(base.closed).toBe(true);
        expect(fs.readFileSync(file.path).equals(model.bytes)).toBe(true);
        file.discard();
      }),
      { numRuns: 60 },
    );
    expect(fs.readdirSync(dir)).toEqual([]);
  });

  it("`fill` never puts base bytes over what was written, or cut off, while they were fetched", async () => {
    const base = new MemoryContentReader(Buffer.alloc(100, "b"), 50);
    const file = createSpool({ dir, store }).overlay(base);
    let calls = 0;
    base.gate = async () => {
      calls += 1;
      if (calls === 1) await file.write(10, Buffer.from("WRITTEN"));
      if (calls === 2) {
        await file.truncate(60);
        await file.truncate(80);
      }
    };
    await file.fill();
    expect(file.whole).toBe(true);
    const expected = `${"b".repeat(10)}WRITTEN${"b".repeat(43)}${"\0".repeat(20)}`;
    expect(await textOf(file)).toBe(expected);
    file.discard();
  });

  it("`fill` is no change: neither `changed` nor the times show it", async () => {
    const file = createSpool({ dir, store }).overlay(new MemoryContentReader(Buffer.alloc(3 << 20, "b")));
    file.setTimes({ sec: 1, nsec: 0 }, { sec: 1_700_000_000, nsec: 5 });
    expect(file.changed()).toBe(false);
    await Promise.all([file.fill(), file.fill()]);
    expect(file.whole).toBe(true);
    expect(file.changed()).toBe(false);
    expect(file.stat().mtime).toEqual({ sec: 1_700_000_000, nsec: 5 });
    await file.write(0, Buffer.from("x"));
    expect(file.changed()).toBe(true);
    file.discard();
  });

  it("`fill` stops waiting when its signal aborts, and fails when the base is shorter than it said", async () => {
    const base = new MemoryContentReader(Buffer.alloc(10));
    base.gate = () => new Promise(() => {});
    const waiting = createSpool({ dir, store }).overlay(base);
    const stop = new AbortController();
    const filling = waiting.fill(stop.signal);
    stop.abort();
    await expect(filling).rejects.toMatchObject({ fault: "interrupted" });
    const short = new MemoryContentReader(Buffer.alloc(10));
    Object.assign(short.id, { size: 20 });
    const file = createSpool({ dir, store }).overlay(short);
    await expect(file.fill()).rejects.toMatchObject({ fault: "corrupt" });
    file.discard();
  });

  it("`changed` sees what the kernel writes to the file past the engine", async () => {
    const file = createSpool({ dir, store }).create();
    expect(file.changed()).toBe(true);
    await file.write(0, Buffer.from("hello"));
    await file.upload(target);
    expect(file.changed()).toBe(false);
    const kernel = fs.openSync(file.path, "r+");
    fs.writeSync(kernel, "H", 0);
    fs.closeSync(kernel);
    expect(file.changed()).toBe(true);
    await file.upload(target);
    expect(store.text("a")).toBe("Hello");
    expect(file.changed()).toBe(false);
    file.discard();
  });

  it("`changed` stays false over `setTimes` of a clean file, and true over that of a changed one", async () => {
    const file = createSpool({ dir, store }).create();
    await file.write(0, Buffer.from("hello"));
    file.setTimes({ sec: 1, nsec: 0 }, { sec: 2, nsec: 0 });
    expect(file.changed()).toBe(true);
    await file.upload(target);
    file.setTimes({ sec: 1, nsec: 0 }, { sec: 3, nsec: 123_456_789 });
    expect(file.changed()).toBe(false);
    expect(file.stat().mtime).toEqual({ sec: 3, nsec: 123_456_789 });
    file.discard();
  });

  it("`upload` answers the mtime and size of what it sent, and shows no other times than before", async () => {
    const file = createSpool({ dir, store }).create();
    await file.write(0, Buffer.from("hello"));
    const before = file.stat();
    expect(await file.upload(target)).toMatchObject({ size: 5, mtime: before.mtime });
    expect(file.stat()).toEqual(before);
    file.discard();
  });

  it("`upload` replaces its own unreported version when a call failed after one had reached the bucket", async () => {
    const etag = store.seed("a", "old");
    const busy = new FailsSecondPut();
    busy.seed("a", "old");
    const file = createSpool({ dir, store: busy }).create();
    await file.write(0, Buffer.from("new"));
    busy.during = () => file.write(0, Buffer.from("NEW"));
    expect(file.leftAt("a")).toBeUndefined();
    await expect(file.upload({ ...target, ifMatch: etag })).rejects.toMatchObject({ fault: "unavailable" });
    expect([file.leftAt("a"), file.leftAt("b")]).toEqual([(await busy.head("a")).etag, undefined]);
    await file.upload({ ...target, ifMatch: etag });
    expect(file.leftAt("a")).toBeUndefined();
    expect(busy.text("a")).toBe("NEW");
    // A version of somebody else's is not replaced.
    busy.seed("a", "theirs");
    await file.write(0, Buffer.from("mine"));
    await expect(file.upload({ ...target, ifMatch: etag })).rejects.toMatchObject({ fault: "stale" });
    file.discard();
  });

  it("`upload` waits for one under way, and `close` for both, before the descriptor is closed", async () => {
    const file = createSpool({ dir, store }).create();
    await file.write(0, Buffer.alloc(500_000, "x"));
    const uploads = [file.upload(target), file.upload({ ...target, key: "b" })];
    file.close();
    await Promise.all(uploads);
    expect(store.keys).toEqual(["a", "b"]);
    expect(() => fs.fstatSync(file.fd)).toThrow(/EBADF/);
    await expect(file.read(0, 1)).rejects.toMatchObject({ fault: "bad_handle" });
    expect(() => file.changed()).toThrow(expect.objectContaining({ fault: "bad_handle" }));
  });

  it("`write` and `read` of large data do what those of small data do", async () => {
    const file = createSpool({ dir, store }).create();
    const data = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));
    expect(await file.write(1000, data)).toBe(300_000);
    expect(Buffer.concat(await file.read(1000, 400_000)).equals(data)).toBe(true);
    expect(Buffer.concat(await file.read(0, 1000)).equals(Buffer.alloc(1000))).toBe(true);
    expect(await file.read(301_000, 10)).toEqual([]);
    file.discard();
  });

  it("`write` throws `no_space` when the disk is full, and `truncate` `too_big` beyond what a file can hold", async () => {
    const spool = createSpool({ dir, store });
    fs.symlinkSync("/dev/full", spool.pathFor("full"));
    const full = spool.adopt("full");
    await expect(full.write(0, Buffer.from("x"))).rejects.toMatchObject({ fault: "no_space" });
    await expect(full.write(0, Buffer.alloc(300_000))).rejects.toMatchObject({ fault: "no_space" });
    full.discard();
    const file = spool.create();
    await expect(file.truncate(Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({ fault: "too_big" });
    file.discard();
  });

  it("`sync` resolves, and `discard` removes the file", async () => {
    const file = createSpool({ dir, store }).create();
    await file.write(0, Buffer.from("x"));
    await file.sync();
    await file.sync();
    file.discard();
    expect(fs.existsSync(file.path)).toBe(false);
  });
});

/** Something happens during the first PUT; the second fails. */
class FailsSecondPut extends MemoryObjectStore {
  during: () => Promise<unknown> = async () => {};
  #calls = 0;

  override async put(key: string, body: Payload, options: PutOptions = {}): Promise<PutResult> {
    this.#calls += 1;
    if (this.#calls === 1) await this.during();
    if (this.#calls === 2) throw new DriverError("unavailable", "no");
    return super.put(key, body, options);
  }
}
