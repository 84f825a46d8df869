import { expect, test } from "vitest";
import type { NodeId } from "#core/brand.ts";
import { Directory } from "#fuse/vfs/directory.ts";
import { Inode, type InodeChild } from "#fuse/vfs/inode.ts";
import { WalkAhead } from "#fuse/vfs/walk-ahead.ts";

function directoryOf(count: number): { parent: Inode; children: InodeChild[] } {
  const parent = new Inode(2 as NodeId, "dir", null, "");
  parent.directory = new Directory();
  const children = Array.from({ length: count }, (_, i) => (parent.directory as Directory<Inode>).obtain(`f${i}`));
  return { parent, children };
}

function recorder() {
  const started: string[] = [];
  const finish: (() => void)[] = [];
  const start = (_parent: Inode, child: InodeChild) => {
    started.push(child.name);
    return new Promise<void>((resolve) => finish.push(resolve));
  };
  return { started, finish, walk: new WalkAhead({ head: start, list: start }) };
}

test("`WalkAhead` starts nothing for a single question", () => {
  const { parent, children } = directoryOf(10);
  const { started, walk } = recorder();
  walk.resolving(parent, children[3] as InodeChild);
  expect(started).toEqual([]);
});

test("`WalkAhead` runs ahead when questions follow the directory's order, and asks for each entry once", async () => {
  const { parent, children } = directoryOf(200);
  const { started, finish, walk } = recorder();
  walk.resolving(parent, children[0] as InodeChild);
  walk.resolving(parent, children[1] as InodeChild);
  expect(started).toEqual(children.slice(2, 66).map(({ name }) => name));
  for (const done of finish.splice(0)) done();
  await Promise.resolve();
  await Promise.resolve();
  for (const child of children.slice(2)) walk.resolving(parent, child);
  expect(new Set(started).size).toBe(started.length);
});

test("`WalkAhead` begins anew when a question is not the expected one", () => {
  const { parent, children } = directoryOf(10);
  const { started, walk } = recorder();
  walk.resolving(parent, children[0] as InodeChild);
  walk.resolving(parent, children[5] as InodeChild);
  expect(started).toEqual([]);
  walk.resolving(parent, children[6] as InodeChild);
  expect(started).toEqual(["f7", "f8", "f9"]);
});

test("`WalkAhead` survives requests that fail", async () => {
  const { parent, children } = directoryOf(3);
  const walk = new WalkAhead({ head: () => Promise.reject(new Error("down")), list: () => undefined });
  walk.resolving(parent, children[0] as InodeChild);
  walk.resolving(parent, children[1] as InodeChild);
  await new Promise((resolve) => setImmediate(resolve));
  walk.resolving(parent, children[2] as InodeChild);
});
