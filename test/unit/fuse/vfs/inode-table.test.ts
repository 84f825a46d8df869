import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ROOT_NODE } from "#core/brand.ts";
import { Inode } from "#fuse/vfs/inode.ts";
import { InodeTable } from "#fuse/vfs/inode-table.ts";
import { createMemoryMedium, createMemoryStateStore } from "../../../support/memory-state-store.ts";

function table() {
  const medium = createMemoryMedium();
  return { medium, inodes: new InodeTable(createMemoryStateStore(medium)) };
}

/** A clean file, as a look-up gives it. */
function lookedUp(inodes: InodeTable, parent: Inode, name: string, kind: Inode["kind"] = "file"): Inode {
  const inode = inodes.create(kind, parent, name);
  inode.version = kind === "dir" ? null : undefined;
  inodes.hold(inode);
  return inode;
}

function assertInvariants(inodes: InodeTable, rows: ReadonlySet<number>): void {
  const all = [...inodes.all()];
  for (const inode of all) {
    expect(all.filter(({ parent }) => parent === inode).length).toBe(inode.liveChildren);
    if (inode.parent !== null) expect(inodes.get(inode.parent.node)).toBe(inode.parent);
    if (inode.lookups > 0) expect(rows.has(inode.node)).toBe(true);
  }
}

describe("InodeTable", () => {
  it("`forget` lets an inode go when the last look-up is taken back, with its row", () => {
    const { inodes, medium } = table();
    const inode = lookedUp(inodes, inodes.root, "f");
    inodes.hold(inode);
    inodes.forget(inode.node, 1);
    expect(inodes.get(inode.node)).toBe(inode);
    inodes.forget(inode.node, 1);
    expect(() => inodes.get(inode.node)).toThrow(expect.objectContaining({ fault: "stale" }));
    expect(medium.inodes.size).toBe(0);
  });

  it("a child keeps its parents, and they go with it", () => {
    const { inodes } = table();
    const a = lookedUp(inodes, inodes.root, "a", "dir");
    const b = lookedUp(inodes, a, "b", "dir");
    const f = lookedUp(inodes, b, "f");
    inodes.forget(a.node, 1);
    inodes.forget(b.node, 1);
    expect(inodes.size).toBe(4);
    inodes.forget(f.node, 1);
    expect(inodes.size).toBe(1);
  });

  it("`present` puts back what a `forget` let go, with its parents, or answers what took its place", () => {
    const { inodes, medium } = table();
    const dir = lookedUp(inodes, inodes.root, "d", "dir");
    const file = lookedUp(inodes, dir, "f");
    expect(inodes.present(file)).toBe(file);
    for (const { node } of [dir, file]) inodes.forget(node, 1);
    expect(inodes.size).toBe(1);
    expect(inodes.present(file)).toBe(file);
    inodes.hold(file);
    assertInvariants(inodes, new Set(medium.inodes.keys()));
    expect([...medium.inodes.keys()].toSorted()).toEqual([dir.node, file.node]);
    inodes.forget(file.node, 1);
    expect([inodes.size, medium.inodes.size]).toEqual([1, 0]);
  });

  it("what is only here, or open, stays without look-ups", () => {
    const { inodes } = table();
    const local = lookedUp(inodes, inodes.root, "new");
    local.version = null;
    inodes.forget(local.node, 1);
    expect(inodes.get(local.node)).toBe(local);
    inodes.detach(local);
    expect(inodes.size).toBe(1);
  });

  it("`detach` stores that the name is gone while the kernel holds the number", () => {
    const { inodes, medium } = table();
    const inode = lookedUp(inodes, inodes.root, "f");
    inodes.detach(inode);
    expect(medium.inodes.get(inode.node)).toMatchObject({ unlinked: true });
    inodes.forget(inode.node, 1);
    expect(medium.inodes.size).toBe(0);
  });

  it("`move` changes parent and name, in the row too, and lets the old parent go", () => {
    const { inodes, medium } = table();
    const [from, to] = [lookedUp(inodes, inodes.root, "from", "dir"), lookedUp(inodes, inodes.root, "to", "dir")];
    const inode = lookedUp(inodes, from, "f");
    inodes.forget(from.node, 1);
    inodes.move(inode, to, "g");
    expect(medium.inodes.get(inode.node)).toMatchObject({ parent: to.node, name: "g" });
    expect(() => inodes.get(from.node)).toThrow();
    expect(to.liveChildren).toBe(1);
  });

  it("the root is never let go", () => {
    const { inodes } = table();
    inodes.forget(ROOT_NODE, 100);
    expect(inodes.get(ROOT_NODE)).toBe(inodes.root);
  });

  it("a successor counts on from the largest number, and never forgets what it restored", () => {
    const { inodes, medium } = table();
    const last = lookedUp(inodes, inodes.root, "f");
    const next = new InodeTable(createMemoryStateStore(medium));
    const restored = new Inode(last.node, "file", next.root, "f");
    next.restore(restored);
    expect(next.create("file", next.root, "g").node).toBeGreaterThan(last.node);
    next.forget(last.node, 5);
    expect(next.get(last.node)).toBe(restored);
  });

  it("keeps its invariants through any sequence of operations", () => {
    const pick = fc.nat({ max: 20 });
    const step = fc.record({ do: fc.constantFrom("file", "dir", "hold", "forget", "forgetAll", "detach", "move"), a: pick, b: pick });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { inodes, medium } = table();
        let count = 0;
        for (const { do: what, a, b } of steps) {
          const all = [...inodes.all()];
          const chosen = all[a % all.length] as Inode;
          const directories = all.filter(({ kind }) => kind === "dir");
          const directory = directories[b % directories.length] as Inode;
          if (what === "file" || what === "dir") lookedUp(inodes, directory, `n${count++}`, what);
          else if (chosen === inodes.root) continue;
          else if (what === "hold") inodes.hold(chosen);
          else if (what === "forget") inodes.forget(chosen.node, 1);
          else if (what === "forgetAll") inodes.forget(chosen.node, chosen.lookups);
          else if (what === "detach") inodes.detach(chosen);
          else if (!directory.isWithin(chosen)) inodes.move(chosen, directory, `m${count++}`);
          assertInvariants(inodes, new Set(medium.inodes.keys()));
        }
      }),
    );
  });
});

it("`InodeTable.sweep` lets go what the kernel never held and nobody saw for long", () => {
  const inodes = new InodeTable(createMemoryStateStore());
  const old = inodes.create("dir", inodes.root, "old");
  inodes.create("file", old, "child");
  const fresh = inodes.create("dir", inodes.root, "fresh");
  const held = inodes.create("dir", inodes.root, "held");
  inodes.hold(held);
  fresh.validatedAt = 100;
  inodes.sweep(50);
  expect([...inodes.all()].map(({ name }) => name)).toEqual(["", "fresh", "held"]);
});
