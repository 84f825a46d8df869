import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NodeId } from "#core/brand.ts";
import { type CheckpointJob, checkpoint, isCheckpointDue, journalHead } from "#fuse/journal/checkpoint.ts";
import { openStateStore } from "#fuse/journal/open-state-store.ts";
import { encodeRecord } from "#fuse/journal/record.ts";
import { JournalWriter } from "#fuse/journal/writer.ts";

let dir: string;
let path: string;
let writer: JournalWriter;
let names: Map<number, string>;

beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "checkpoint-"));
  path = join(dir, "journal");
  fs.writeFileSync(path, journalHead(1, 0));
  writer = new JournalWriter(fs.openSync(path, "a+"), fs.statSync(path).size);
  names = new Map();
});
afterEach(async () => {
  await writer.close();
  fs.rmSync(dir, { recursive: true });
});

function put(node: number, name: string): void {
  names.set(node, name);
  writer.append(encodeRecord({ type: "inode", row: { node: node as NodeId, parent: 1 as NodeId, name, kind: "file" } }));
}

function drop(node: number): void {
  names.delete(node);
  writer.append(encodeRecord({ type: "inode-dropped", node: node as NodeId }));
}

/** What a successor would find if the process died now. */
async function found(): Promise<Map<number, string>> {
  const copy = fs.mkdtempSync(join(tmpdir(), "checkpoint-copy-"));
  try {
    for (const file of fs.readdirSync(dir)) fs.copyFileSync(join(dir, file), join(copy, file));
    const store = openStateStore({ dir: copy });
    await store.close();
    return new Map([...store.recovered.inodes].map(([node, row]) => [node as number, row.name]));
  } finally {
    fs.rmSync(copy, { recursive: true });
  }
}

const job = (over: Partial<CheckpointJob>): CheckpointJob => ({
  writer,
  path,
  temporaryPath: `${path}.new`,
  pause: async () => {},
  sliceBytes: 200,
  cancelled: () => false,
  ...over,
});

describe("checkpoint", () => {
  it("`checkpoint` keeps the live rows, the counters and what is put meanwhile, and at each pause a crash loses nothing", async () => {
    for (let i = 0; i < 100; i += 1) put(2 + (i % 10), `name-${i}`);
    put(500, "highest");
    drop(500);
    const before = writer.size;
    let pauses = 0;
    const pause = async () => {
      pauses += 1;
      put(2 + (pauses % 12), `later-${pauses}`);
      if (pauses % 5 === 0) drop(3);
      expect(await found()).toEqual(names);
    };
    expect(await checkpoint(job({ pause }))).toBe(true);
    expect(pauses).toBeGreaterThan(20);
    put(77, "after the switch");
    expect(await found()).toEqual(names);
    expect(writer.size).toBeLessThan(before);
    expect(fs.statSync(path).size).toBe(writer.size);
    const store = openStateStore({ dir });
    expect(store.recovered.maxNode).toBe(500);
    await store.close();
  });

  it("`checkpoint` leaves the journal alone when it is cancelled at any pause", async () => {
    for (let i = 0; i < 30; i += 1) put(2 + (i % 4), `name-${i}`);
    for (let stopAt = 1; ; stopAt += 1) {
      let pauses = 0;
      const pause = async () => {
        pauses += 1;
      };
      const done = await checkpoint(job({ pause, cancelled: () => pauses >= stopAt }));
      expect(fs.existsSync(`${path}.new`)).toBe(false);
      expect(await found()).toEqual(names);
      if (done) break;
    }
    put(9, "still works");
    expect(await found()).toEqual(names);
  });

  it("`checkpoint` leaves the journal alone when its folder takes no new file", async () => {
    put(2, "a");
    await expect(checkpoint(job({ temporaryPath: join(dir, "missing", "journal.new") }))).rejects.toThrow(/ENOENT/);
    put(3, "b");
    expect(await found()).toEqual(names);
  });

  it("`checkpoint` fails and keeps the journal when a record of it has gone bad", async () => {
    put(2, "a");
    const offset = writer.size;
    put(3, "b");
    put(4, "c");
    const fd = fs.openSync(path, "r+");
    fs.writeSync(fd, Buffer.from([0xff]), 0, 1, offset + 30);
    fs.closeSync(fd);
    await expect(checkpoint(job({}))).rejects.toThrow(`damaged at byte ${offset}`);
    expect(fs.existsSync(`${path}.new`)).toBe(false);
  });
});

describe("isCheckpointDue", () => {
  it("`isCheckpointDue` asks for a least size and for twice the size after the last one", () => {
    expect(isCheckpointDue({ sizeBytes: 99, lastBytes: 0, leastBytes: 100 })).toBe(false);
    expect(isCheckpointDue({ sizeBytes: 100, lastBytes: 0, leastBytes: 100 })).toBe(true);
    expect(isCheckpointDue({ sizeBytes: 159, lastBytes: 80, leastBytes: 100 })).toBe(false);
    expect(isCheckpointDue({ sizeBytes: 160, lastBytes: 80, leastBytes: 100 })).toBe(true);
  });
});
