import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NodeId } from "#core/brand.ts";
import type { DirtyRow } from "#fuse/journal/state-store.ts";
import { createSpool } from "#fuse/write/create-spool.ts";
import type { Spool } from "#fuse/write/spool.ts";
import { MemoryContentReader } from "../../../support/memory-content-reader.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";

let dir: string;
let store: MemoryObjectStore;
let spool: Spool;
beforeEach(() => {
  dir = join(fs.mkdtempSync(join(tmpdir(), "create-spool-")), "spool");
  store = new MemoryObjectStore();
  spool = createSpool({ dir, store });
});
afterEach(() => fs.rmSync(join(dir, ".."), { recursive: true }));

const row = (name: string, over: Partial<DirtyRow> = {}): DirtyRow => ({
  ...{ node: 5 as NodeId, spool: name, key: "a", base: null, extents: null, headers: {}, metadata: {} },
  ...over,
});
const textOf = async (file: { read(offset: number, size: number): Promise<readonly Uint8Array[]> }) =>
  Buffer.concat(await file.read(0, 1000)).toString();

describe("createSpool", () => {
  it("`create` gives an empty file of its own, whole and dirty, readable by the owner only", () => {
    const [a, b] = [spool.create(), spool.create()];
    expect(a.path).not.toBe(b.path);
    expect(a.path).toBe(spool.pathFor(a.spool));
    expect([a.whole, a.changed(), a.stat().size, a.extents()]).toEqual([true, true, 0, null]);
    expect(fs.statSync(a.path).mode & 0o777).toBe(0o600);
    expect(fs.statSync(dir).mode & 0o777).toBe(0o700);
    a.discard();
    b.discard();
  });

  it("`adopt` takes a file that was moved here, clean until it is written to", async () => {
    const name = spool.freshName();
    fs.writeFileSync(spool.pathFor(name), "cached");
    const file = spool.adopt(name);
    expect([file.whole, file.changed()]).toEqual([true, false]);
    await file.write(0, Buffer.from("C"));
    expect(file.changed()).toBe(true);
    expect(await textOf(file)).toBe("Cached");
    file.discard();
  });

  it("`overlay` has the base's size and nothing of its own, takes no room, and is clean until it is written to", async () => {
    const file = spool.overlay(new MemoryContentReader(Buffer.alloc(1 << 20, "b")));
    expect([file.whole, file.changed(), file.stat().size, file.extents()]).toEqual([false, false, 1 << 20, []]);
    expect(spool.bytes()).toBe(0);
    await file.write(5, Buffer.from("xyz"));
    expect([file.changed(), file.extents()]).toEqual([true, [[5, 8]]]);
    file.discard();
  });

  it("`overlay` of an empty base is whole and lets the base go", () => {
    const base = new MemoryContentReader(new Uint8Array(0));
    const file = spool.overlay(base);
    expect([file.whole, base.closed]).toEqual([true, true]);
    file.discard();
  });

  it("`recover` finds a whole file again after a crash, dirty, and uploads it once the left upload is aborted", async () => {
    const file = spool.create();
    await file.write(0, Buffer.from("not yet in the bucket"));
    const upload = { ...(await store.beginUpload("a")), parts: [] };
    const again = createSpool({ dir, store }).recover(row(file.spool, { upload }), undefined);
    expect([again.whole, again.changed()]).toEqual([true, true]);
    await again.upload({ key: "a", headers: {}, metadata: {} });
    expect(store.text("a")).toBe("not yet in the bucket");
    expect(store.openUploads).toBe(0);
    expect(again.changed()).toBe(false);
    file.close();
    again.discard();
  });

  it("`recover` gives zeros where the file had been cut below its base, also when the row does not tell of it", async () => {
    const content = Buffer.alloc(20, "b");
    const file = spool.overlay(new MemoryContentReader(content));
    await file.write(2, Buffer.from("W"));
    const before = row(file.spool, { extents: file.extents() });
    await file.truncate(10);
    file.close();
    const again = createSpool({ dir, store }).recover(before, new MemoryContentReader(content));
    await again.truncate(15);
    expect(await textOf(again)).toBe(`bbWbbbbbbb${"\0".repeat(5)}`);
    again.discard();
  });

  it("`recover` throws `not_found` when the spool file is gone, and refuses a row with extents when it has no base", () => {
    expect(() => spool.recover(row("gone"), undefined)).toThrow(expect.objectContaining({ fault: "not_found" }));
    const base = new MemoryContentReader(Buffer.alloc(1));
    expect(() => spool.recover(row("gone", { extents: [] }), base)).toThrow(expect.objectContaining({ fault: "not_found" }));
    expect(() => spool.recover(row("gone", { extents: [] }), undefined)).toThrow(expect.objectContaining({ fault: "internal" }));
  });

  it("`orphans` names files that no row names, and `createSpool` removes copies only", () => {
    const [a, b] = [spool.create(), spool.create()];
    fs.writeFileSync(`${a.path}.copy`, "half a copy");
    const successor = createSpool({ dir, store });
    expect(successor.orphans([row(a.spool)])).toEqual([b.path]);
    expect(fs.readdirSync(dir).toSorted()).toEqual([a.spool, b.spool].toSorted());
    expect(successor.freshName()).not.toMatch(new RegExp(`^(${a.spool}|${b.spool})$`));
    a.discard();
    b.discard();
  });

  it("`bytes` counts what the files hold", async () => {
    const [a, b] = [spool.create(), spool.create()];
    await a.write(0, Buffer.alloc(100_000, "x"));
    await b.write(0, Buffer.from("four"));
    expect(spool.bytes()).toBe(100_004);
    a.discard();
    expect(spool.bytes()).toBe(4);
    b.close();
    expect(spool.bytes()).toBe(4);
  });

  it("`pathFor` refuses a name that leads out of the folder", () => {
    for (const name of ["../x", "a/b", "", ".", "x.copy"]) expect(() => spool.pathFor(name)).toThrow(/not the name/);
  });
});
