import { chmodSync, lutimesSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { compareTree, contentBytes, copyTree, inParallel, listTree } from "../../../../scripts/demo/tree.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tree-"));
  mkdirSync(join(root, "from/deep/er"), { recursive: true });
  mkdirSync(join(root, "to"));
  writeFileSync(join(root, "from/a"), "alpha");
  writeFileSync(join(root, "from/deep/er/script"), "#!/bin/sh\n");
  chmodSync(join(root, "from/deep/er/script"), 0o750);
  writeFileSync(join(root, "from/empty"), "");
  utimesSync(join(root, "from/a"), 1_000_000.123456, 1_200_000.5);
  symlinkSync("../a", join(root, "from/deep/link"));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

const from = () => join(root, "from");
const to = () => join(root, "to");
const compare = async () => compareTree(from(), to(), await listTree(from()), 4, () => undefined);

describe("copyTree and compareTree", () => {
  beforeEach(async () => {
    await copyTree(from(), to(), await listTree(from()), 4, () => undefined);
  });

  it("agree when nothing changed, and tell every entry to the progress", async () => {
    const entries = await listTree(from());
    let seen = 0;
    let bytes = 0;
    const differences = await compareTree(from(), to(), entries, 4, (more) => {
      seen += 1;
      bytes += more;
    });
    expect(differences).toEqual([]);
    expect(seen).toBe(entries.length);
    expect(bytes).toBe(entries.reduce((sum, { stats }) => sum + contentBytes(stats), 0));
  });

  it.each<[string, string, () => void]>([
    ["one byte of content", "a", () => writeFileSync(join(to(), "a"), "alphA")],
    ["a longer file", "a", () => writeFileSync(join(to(), "a"), "alpha!")],
    ["a mode", "deep/er/script", () => chmodSync(join(to(), "deep/er/script"), 0o755)],
    ["a time", "a", () => utimesSync(join(to(), "a"), 1_000_000, 1_200_001)],
    ["a missing file", "empty", () => rmSync(join(to(), "empty"))],
    ["a file that is there only", "extra", () => writeFileSync(join(to(), "extra"), "")],
    [
      "a link's target",
      "deep/link",
      () => {
        rmSync(join(to(), "deep/link"));
        symlinkSync("../b", join(to(), "deep/link"));
      },
    ],
  ])("find %s", async (_what, path, change) => {
    change();
    // Only the change itself is of interest, so times that it touched in passing are put back.
    if (path === "a" && _what !== "a time") utimesSync(join(to(), "a"), 1_000_000.123456, 1_200_000.5);
    const link = (await listTree(from())).find((entry) => entry.path === "deep/link");
    if (path === "deep/link" && link) lutimesSync(join(to(), path), link.stats.atimeMs / 1000, link.stats.mtimeMs / 1000);
    expect((await compare()).filter((line) => line.startsWith(`${path}: `))).toHaveLength(1);
  });
});

describe("inParallel", () => {
  it("runs every item, never more than the width at a time", async () => {
    let running = 0;
    let most = 0;
    const done: number[] = [];
    await inParallel([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
      most = Math.max(most, ++running);
      await Promise.resolve();
      done.push(item);
      running -= 1;
    });
    expect(done.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(most).toBe(3);
  });

  it("stops at the first failure and throws it", async () => {
    const seen: number[] = [];
    const work = async (item: number) => {
      seen.push(item);
      if (item === 2) throw new Error("two");
    };
    await expect(inParallel([1, 2, 3, 4, 5], 1, work)).rejects.toThrow("two");
    expect(seen).toEqual([1, 2]);
  });
});
