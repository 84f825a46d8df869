/**
 * Microseconds per put of the state store on this machine's disk: `node -C source test/bench/journal.ts [rows]`.
 * A put is on the way of every LOOKUP and OPEN, so it must stay far below a kernel round trip (about 15 us).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HandleId, NodeId } from "#core/brand.ts";
import { openStateStore } from "#fuse/journal/open-state-store.ts";

const rows = Number(process.argv[2] ?? 200_000);
const dir = mkdtempSync(join(tmpdir(), "journal-bench-"));
const us = (label: string, count: number, work: (i: number) => void) => {
  const begin = performance.now();
  for (let i = 0; i < count; i += 1) work(i);
  console.log(`${label.padEnd(40)} ${(((performance.now() - begin) * 1000) / count).toFixed(2)} us`);
};
try {
  const store = openStateStore({ dir });
  const node = (i: number) => (i + 2) as NodeId;
  us("putInode", rows, (i) => store.putInode({ node: node(i), parent: 1 as NodeId, name: `maven-artifact-${i}.jar`, kind: "file" }));
  us("putHandle", rows, (i) => store.putHandle({ handle: (i + 1) as HandleId, node: node(i), kind: "file", flags: 0o2, backingId: 7 }));
  const dirty = { key: "org/example/a/1.0/a-1.0.jar", base: null, extents: null, headers: {}, metadata: { uid: "1000", mode: "33188" } };
  us("putDirty", rows / 10, (i) => store.putDirty({ ...dirty, node: node(i), spool: `s${i}` }));
  us("dropHandle", rows, (i) => store.dropHandle((i + 1) as HandleId));
  const begin = performance.now();
  let syncs = 0;
  for (; syncs < 20; syncs += 1) {
    store.dropInode(node(syncs));
    await store.sync();
  }
  console.log(`${"put and sync".padEnd(40)} ${((performance.now() - begin) / syncs).toFixed(2)} ms`);
  await store.close();
  const again = performance.now();
  const successor = openStateStore({ dir });
  console.log(`${`open, ${successor.recovered.inodes.size} nodes`.padEnd(40)} ${(performance.now() - again).toFixed(0)} ms`);
  // A checkpoint runs between requests: the longest time one of them would have waited for it.
  let longest = 0;
  successor.putInode({ node: node(1), parent: 1 as NodeId, name: "x", kind: "file" });
  for (let i = 0, last = performance.now(); i < 2000; i += 1) {
    await new Promise((resume) => setImmediate(resume));
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }
  console.log(`${"longest pause during a checkpoint".padEnd(40)} ${longest.toFixed(1)} ms`);
  await successor.close();
} finally {
  rmSync(dir, { recursive: true });
}
