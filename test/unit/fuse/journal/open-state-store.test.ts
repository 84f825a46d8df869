import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NodeId } from "#core/brand.ts";
import { type JournalDamage, openStateStore } from "#fuse/journal/open-state-store.ts";
import { encodeRecord } from "#fuse/journal/record.ts";
import { applyChange, change, modelOf, plain } from "../../../contract/state-store.ts";

let dir: string;
let path: string;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "state-store-"));
  path = join(dir, "journal");
});
afterEach(() => fs.rmSync(dir, { recursive: true }));

const inode = (node: number, name: string) => ({ node: node as NodeId, parent: 1 as NodeId, name, kind: "file" as const });

describe("openStateStore", () => {
  it("`openStateStore` recovers the state after a prefix of the changes when the journal is cut at any byte", async () => {
    const changes = fc.sample(change, { numRuns: 14, seed: 7 });
    const store = openStateStore({ dir });
    const ends = [fs.statSync(path).size];
    for (const one of changes) {
      applyChange(store, one);
      ends.push(fs.statSync(path).size);
    }
    await store.close();
    const whole = fs.readFileSync(path);
    for (let cut = 0; cut <= whole.byteLength; cut += 1) {
      fs.writeFileSync(path, whole.subarray(0, cut));
      const damage: JournalDamage[] = [];
      const cutStore = openStateStore({ dir, onDamage: (told) => damage.push(told) });
      const count = Math.max(
        0,
        ends.findLastIndex((end) => end <= cut),
      );
      expect(plain(cutStore.recovered)).toEqual(plain(modelOf(changes.slice(0, count))));
      expect(damage).toEqual([]);
      await cutStore.close();
    }
  });

  it("`openStateStore` writes on after a torn tail so that a third engine finds all of it", async () => {
    let store = openStateStore({ dir });
    store.putInode(inode(5, "a"));
    await store.close();
    fs.appendFileSync(path, encodeRecord({ type: "inode", row: inode(6, "torn") }).subarray(0, 30));
    store = openStateStore({ dir });
    store.putInode(inode(7, "b"));
    await store.close();
    store = openStateStore({ dir });
    expect([...store.recovered.inodes.keys()]).toEqual([5, 7]);
    await store.close();
  });

  it("`dropDirty` writes only where there is a row, one that a predecessor left included", async () => {
    const row = { node: 5 as NodeId, spool: "s", key: "k", base: null, extents: null, headers: {}, metadata: {} };
    let store = openStateStore({ dir });
    store.putDirty(row);
    store.putDirty({ ...row, node: 6 as NodeId }, row.node);
    await store.close();
    store = openStateStore({ dir });
    const size = fs.statSync(path).size;
    store.dropDirty(5 as NodeId);
    expect(fs.statSync(path).size).toBe(size);
    store.dropDirty(6 as NodeId);
    const sizeWithout = fs.statSync(path).size;
    expect(sizeWithout).toBeGreaterThan(size);
    store.dropDirty(6 as NodeId);
    expect(fs.statSync(path).size).toBe(sizeWithout);
    await store.close();
    store = openStateStore({ dir });
    expect(store.recovered.dirty.size).toBe(0);
    await store.close();
  });

  it("`openStateStore` stops at a bad record in the middle, tells it and keeps the rest aside", async () => {
    let store = openStateStore({ dir });
    store.putInode(inode(5, "a"));
    const offset = fs.statSync(path).size;
    store.putInode(inode(6, "b"));
    store.putInode(inode(7, "c"));
    await store.close();
    const bytes = fs.readFileSync(path);
    bytes.writeUInt8(0xee, offset + 30);
    fs.writeFileSync(path, bytes);
    const damage: JournalDamage[] = [];
    store = openStateStore({ dir, onDamage: (told) => damage.push(told) });
    expect([...store.recovered.inodes.keys()]).toEqual([5]);
    expect(damage).toEqual([{ path, offset, lostBytes: bytes.byteLength - offset, keptAs: `${path}.damaged` }]);
    expect(fs.readFileSync(`${path}.damaged`).equals(bytes)).toBe(true);
    await store.close();
  });

  it("`openStateStore` refuses a folder that another store has open, and one of another format", async () => {
    const store = openStateStore({ dir });
    expect(() => openStateStore({ dir, lockWaitMs: 0 })).toThrow(expect.objectContaining({ fault: "in_use" }));
    await store.close();
    fs.writeFileSync(path, encodeRecord({ type: "format", version: 99 }));
    expect(() => openStateStore({ dir })).toThrow(expect.objectContaining({ fault: "precondition" }));
    // The refused attempt left no lock behind, and the journal as it was.
    expect(() => openStateStore({ dir, lockWaitMs: 0 })).toThrow(expect.objectContaining({ fault: "precondition" }));
  });

  it("`openStateStore` finds every put whose return was seen when the engine was killed", async () => {
    const module = join(import.meta.dirname, "../../../../src/fuse/journal/open-state-store.ts");
    const program = `
      import { writeSync } from "node:fs";
      import { openStateStore } from ${JSON.stringify(module)};
      const store = openStateStore({ dir: ${JSON.stringify(dir)}, checkpointFromBytes: 4096 });
      const step = (node) => {
        store.putInode({ node, parent: 1, name: "n" + node, kind: "file" });
        if (node > 12) store.dropInode(node - 10);
        writeSync(1, node + "\\n");
        setImmediate(step, node + 1);
      };
      step(2);`;
    const child = spawn(process.execPath, ["-C", "source", "--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    let seen = "";
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (text: string) => {
      seen += text;
      if (seen.length > 4000) child.kill("SIGKILL");
    });
    await once(child, "close");
    const last = Number(seen.slice(0, seen.lastIndexOf("\n")).split("\n").at(-1));
    const store = openStateStore({ dir });
    expect(last).toBeGreaterThan(500);
    expect(store.recovered.maxNode).toBeGreaterThanOrEqual(last);
    expect(store.recovered.inodes.get(last as NodeId)?.name).toBe(`n${last}`);
    expect(store.recovered.inodes.size).toBeLessThanOrEqual(12);
    await store.close();
  });

  it("a checkpoint makes the journal small again when most of it is history", async () => {
    const store = openStateStore({ dir, checkpointFromBytes: 10_000 });
    let last = 0;
    for (let round = 0, size = 0; size >= last; round += 1) {
      last = size;
      for (let node = 2; node < 12; node += 1) store.putInode(inode(node, "a"));
      store.putInode(inode(12, `round-${round}`));
      await new Promise((resume) => setImmediate(resume));
      size = fs.statSync(path).size;
    }
    store.putInode(inode(13, "after"));
    await store.close();
    const successor = openStateStore({ dir });
    expect([...successor.recovered.inodes.keys()].toSorted((a, b) => a - b)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    await successor.close();
  });
});
