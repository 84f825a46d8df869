import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Etag } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import { ContentWatch } from "#fuse/write/content-watch.ts";
import { replacing, uploadSteadily } from "#fuse/write/steady-upload.ts";
import { Uploader } from "#fuse/write/uploader.ts";
import type { Payload, PutOptions, PutResult } from "#s3/object-store.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";

let dir: string;
let path: string;
let fd: number;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "steady-upload-"));
  path = join(dir, "file");
  fd = fs.openSync(path, "w+");
});
afterEach(() => {
  fs.closeSync(fd);
  fs.rmSync(dir, { recursive: true });
});

/** Lets a test change the file while a PUT is on its way; remembers the conditions of each. */
class BusyStore extends MemoryObjectStore {
  readonly conditions: unknown[] = [];
  during: (call: number) => void = () => {};

  override async put(key: string, body: Payload, options: PutOptions = {}): Promise<PutResult> {
    const { ifMatch, ifNoneMatch } = options;
    this.conditions.push(ifMatch ?? ifNoneMatch);
    const call = this.conditions.length;
    // The first half of the file is read, somebody writes, the rest is read.
    this.during(call);
    return super.put(key, body, options);
  }
}

const run = (store: MemoryObjectStore, over: { ifNoneMatch?: "*"; ifMatch?: Etag; mayBeMapped?: boolean } = {}) => {
  const watch = new ContentWatch(fd);
  const sent: Etag[] = [];
  const job = {
    ...{ fd, watch, uploader: new Uploader({ store }), copyPath: `${path}.copy`, onSent: (etag: Etag) => void sent.push(etag) },
    target: { key: "a", headers: {}, metadata: {}, ...over },
  };
  return uploadSteadily(job).then((result) => ({ ...result, sent, holds: result.moment !== undefined && watch.holds(result.moment) }));
};

describe("uploadSteadily", () => {
  it("`uploadSteadily` sends once when nobody writes, and its moment holds", async () => {
    const store = new BusyStore();
    fs.writeSync(fd, "hello");
    const { mtime } = new ContentWatch(fd).stat();
    expect(await run(store)).toMatchObject({ size: 5, holds: true, mtime });
    expect(store.requests).toEqual({ PutObject: 1 });
  });

  it("`uploadSteadily` sends again when the file changed meanwhile, replacing what it just sent", async () => {
    const store = new BusyStore();
    fs.writeSync(fd, "hello");
    store.during = (call) => void (call === 1 && fs.writeSync(fd, "HELLO", 0));
    const result = await run(store, { ifNoneMatch: "*" });
    expect(store.text("a")).toBe("HELLO");
    expect(store.conditions).toEqual(["*", result.sent[0]]);
    expect(result).toMatchObject({ size: 5, holds: true });
  });

  it("`uploadSteadily` asks no condition for the second sending when none was asked for the first", async () => {
    const store = new BusyStore();
    store.during = (call) => void (call === 1 && fs.writeSync(fd, "more"));
    await run(store);
    expect(store.conditions).toEqual([undefined, undefined]);
    expect(store.text("a")).toBe("more");
  });

  it("`uploadSteadily` sends a copy of one moment when the file changes all the time, and answers that it is dirty still", async () => {
    const store = new BusyStore();
    let line = 0;
    const append = () => fs.writeSync(fd, `line ${line++}\n`);
    for (let i = 0; i < 10; i += 1) append();
    store.during = append;
    const result = await run(store, { ifMatch: store.seed("a", "old") });
    const text = store.text("a") ?? "";
    expect(text.startsWith("line 0\n")).toBe(true);
    expect(text.split("\n").length - 1).toBeGreaterThanOrEqual(10);
    expect(text).toBe(Array.from({ length: text.split("\n").length - 1 }, (_, i) => `line ${i}\n`).join(""));
    expect(result).toMatchObject({ moment: undefined, size: text.length });
    expect(store.requests).toEqual({ PutObject: 3 });
    expect(fs.readdirSync(dir)).toEqual(["file"]);
  });

  it("`uploadSteadily` tries again when the file became shorter while it was read", async () => {
    const store = new BusyStore();
    fs.writeSync(fd, Buffer.alloc(300_000, "x"));
    store.during = (call) => void (call === 1 && fs.ftruncateSync(fd, 5));
    const result = await run(store);
    expect(store.text("a")).toBe("xxxxx");
    expect(result).toMatchObject({ size: 5, holds: true });
  });

  it("`uploadSteadily` tries again when the file was cut while it was read, and is as long again by now", async () => {
    const store = new BusyStore();
    fs.writeSync(fd, "content");
    store.during = (call) => {
      if (call > 1) return;
      fs.ftruncateSync(fd, 2);
      fs.ftruncateSync(fd, 7);
      throw new DriverError("corrupt", "the file ends too early");
    };
    expect(await run(store)).toMatchObject({ size: 7, holds: true });
    expect(store.text("a")).toBe("co\0\0\0\0\0");
  });

  it("`uploadSteadily` comes to an end when the file is cut while it is copied", async () => {
    const store = new BusyStore();
    const size = 16 << 20;
    fs.ftruncateSync(fd, size);
    store.during = (call) => void (call < 3 && fs.writeSync(fd, `${call}`, call));
    const cutting = setInterval(() => {
      fs.ftruncateSync(fd, 5);
      fs.ftruncateSync(fd, size);
    }, 1);
    try {
      expect((await run(store)).size).toBeLessThanOrEqual(size);
    } finally {
      clearInterval(cutting);
    }
    expect(fs.readdirSync(dir)).toEqual(["file"]);
  });

  it("`uploadSteadily` throws what the store threw, and tells of no version, when nothing was stored", async () => {
    const store = new BusyStore();
    store.during = () => {
      throw new DriverError("unavailable", "no");
    };
    await expect(run(store)).rejects.toMatchObject({ fault: "unavailable" });
  });

  it("`uploadSteadily` sends a file that may be mapped", async () => {
    const store = new BusyStore();
    fs.writeSync(fd, "mapped");
    expect(await run(store, { mayBeMapped: true })).toMatchObject({ holds: true });
    expect(store.text("a")).toBe("mapped");
  });
});

describe("replacing", () => {
  it("`uploadSteadily` prepares each try anew, and copies aside only the parts that are sent", async () => {
    const store = new MemoryObjectStore();
    const uploader = new Uploader({ store, partSizeBytes: 10, multipartFromBytes: 20, copiesParts: true });
    fs.writeSync(fd, "n".repeat(100));
    fs.ftruncateSync(fd, 100);
    const prepared: number[] = [];
    const sent: Etag[] = [];
    let source = { key: "base", etag: store.seed("base", "b".repeat(100)) };
    const watch = new ContentWatch(fd);
    const prepare = async (size: number) => {
      prepared.push(size);
      // Somebody writes all the time.
      fs.writeSync(fd, "w", 12);
      return { source, parts: uploader.planReuse(size, [[10, 20]]) ?? [] };
    };
    const onSent = (etag: Etag, size: number) => {
      expect(size).toBe(100);
      source = { key: "a", etag };
      sent.push(etag);
    };
    const result = await uploadSteadily({
      ...{ fd, watch, uploader, prepare, onSent, copyPath: `${path}.copy` },
      target: { key: "a", headers: {}, metadata: {} },
    });
    expect([result.moment, prepared.length, sent.length]).toEqual([undefined, 5, 3]);
    expect(store.text("a")).toBe(`${"b".repeat(10)}nnwnnnnnnn${"b".repeat(80)}`);
  });

  it("`replacing` puts the sent version in place of any condition, and adds none", () => {
    const target = { key: "a", headers: {}, metadata: {} };
    const sent = '"sent"' as Etag;
    expect(replacing(target, sent)).toEqual(target);
    expect(replacing({ ...target, ifNoneMatch: "*" }, sent)).toEqual({ ...target, ifMatch: sent });
    expect(replacing({ ...target, ifMatch: '"old"' as Etag }, sent)).toEqual({ ...target, ifMatch: sent });
  });
});
