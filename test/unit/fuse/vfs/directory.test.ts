import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Etag } from "#core/brand.ts";
import { Directory, type Listing } from "#fuse/vfs/directory.ts";
import type { ListedObject } from "#s3/object-store.ts";

interface Node {
  readonly name: string;
  local: boolean;
}

const object = (name: string, etag = "1"): ListedObject => ({ key: `d/${name}`, size: 1, etag: `"${etag}"` as Etag, lastModified: 0 });

function listing(directory: Directory<Node>, names: readonly string[], more: Partial<Listing> = {}): Listing {
  return {
    since: directory.changes,
    objects: new Map(names.map((name) => [name, object(name)])),
    prefixes: new Set(),
    complete: true,
    at: 1,
    ...more,
  };
}

function make(directory: Directory<Node>, name: string, local = false): Node {
  const done = directory.beginChange(name);
  const node = { name, local };
  directory.obtain(name).inode = node;
  done();
  return node;
}

describe("Directory", () => {
  it("`merge` takes names over, and gives up the inodes of those that are gone", () => {
    const directory = new Directory<Node>();
    directory.merge(listing(directory, ["a", "b"]));
    const node = { name: "a", local: false };
    directory.obtain("a").inode = node;
    expect(directory.merge(listing(directory, ["b", "c"]))).toEqual([{ name: "a", inode: node }]);
    expect([...directory.children.keys()]).toEqual(["b", "c"]);
  });

  it("`merge` leaves what was changed after the listing began", () => {
    const directory = new Directory<Node>();
    directory.merge(listing(directory, ["old"]));
    const begun = listing(directory, ["old", "removed"]);
    make(directory, "made");
    const done = directory.beginChange("old");
    directory.children.delete("old");
    done();
    directory.merge(begun);
    expect([...directory.children.keys()].sort()).toEqual(["made", "removed"]);
    directory.merge(listing(directory, []));
    expect(directory.children.size).toBe(0);
  });

  it("`merge` leaves what is being changed, and an older listing than the end of the change too", () => {
    const directory = new Directory<Node>();
    const done = directory.beginChange("f");
    const during = listing(directory, ["f"]);
    directory.merge(during);
    expect(directory.get("f")).toBeUndefined();
    done();
    directory.merge(during);
    expect(directory.get("f")).toBeUndefined();
    directory.merge(listing(directory, ["f"]));
    expect(directory.get("f")?.object?.key).toBe("d/f");
  });

  it("`merge` keeps what is only here", () => {
    const directory = new Directory<Node>();
    const node = make(directory, "f", true);
    expect(directory.merge(listing(directory, []))).toEqual([]);
    expect(directory.get("f")?.inode).toBe(node);
    node.local = false;
    expect(directory.merge(listing(directory, []))).toEqual([{ name: "f", inode: node }]);
  });

  it("`merge` of a part of a listing removes nothing and does not count as one", () => {
    const directory = new Directory<Node>();
    directory.merge(listing(directory, ["a", "b"]));
    const { listedAt, listings } = directory;
    directory.merge(listing(directory, ["b", "c"], { complete: false, at: 99 }));
    expect([...directory.children.keys()]).toEqual(["a", "b", "c"]);
    expect([directory.listedAt, directory.listings]).toEqual([listedAt, listings]);
  });

  it("`beginChange` counts changes of one name that overlap", () => {
    const directory = new Directory<Node>();
    const [first, second] = [directory.beginChange("f"), directory.beginChange("f")];
    first();
    expect(directory.isNewer("f", directory.changes)).toBe(true);
    second();
    expect(directory.isNewer("f", directory.changes)).toBe(false);
  });

  it("agrees with the bucket once a listing began after all changes, whatever was listed and changed meanwhile", () => {
    const name = fc.constantFrom("a", "b", "c");
    const step = fc.oneof(
      fc.record({ do: fc.constantFrom("put", "delete", "foreignPut", "foreignDelete"), name }),
      fc.record({ do: fc.constantFrom("list", "begin", "end"), name: fc.constant("") }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const directory = new Directory<Node>();
        const bucket = new Set<string>();
        const open: Listing[] = [];
        for (const { do: what, name: at } of steps) {
          if (what === "put") {
            make(directory, at);
            bucket.add(at);
          } else if (what === "delete") {
            const done = directory.beginChange(at);
            bucket.delete(at);
            directory.children.delete(at);
            done();
          } else if (what === "foreignPut") bucket.add(at);
          else if (what === "foreignDelete") bucket.delete(at);
          else if (what === "begin") open.push(listing(directory, [...bucket]));
          else if (what === "end") for (const late of open.splice(0, 1)) directory.merge(late);
          else directory.merge(listing(directory, [...bucket]));
          // Own changes are seen at once.
          if (what === "put") expect(directory.get(at)).toBeDefined();
          if (what === "delete") expect(directory.get(at)).toBeUndefined();
        }
        directory.merge(listing(directory, [...bucket]));
        expect([...directory.children.keys()].sort()).toEqual([...bucket].sort());
      }),
    );
  });
});
