import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { violations } from "../../../scripts/check-layers.ts";
import { LAYERS, layerOf, RESTRICTED } from "../../../scripts/layers.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "layers-"));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

/** Plants one file in a tree of its own and returns what the check says of it. */
function plant(path: string, text: string): string[] {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  writeFileSync(join(root, path), text);
  return violations(root).problems;
}

describe("violations", () => {
  it.each([
    ["a layer above", "src/core/x.ts", 'import { a } from "#s3/a.ts";'],
    ["a layer above as a type", "src/core/x.ts", 'import type { A } from "#s3/a.ts";'],
    ["a sibling", "src/fuse/cache/x.ts", 'import type { A } from "#fuse/journal/a.ts";'],
    ["the fuse from the controller", "src/controller/x.ts", 'import { a } from "#fuse/engine/index.ts";'],
    ["the controller from the fuse", "src/fuse/engine/x.ts", 'import { a } from "#controller/a.ts";'],
    ["a value where a type is allowed", "src/fuse/vfs/x.ts", 'import { a } from "#fuse/wire/a.ts";'],
    ["a value beside an inline type", "src/fuse/vfs/x.ts", 'import { type A, b } from "#fuse/wire/a.ts";'],
    ["the inside of the engine", "src/node/x.ts", 'import { a } from "#fuse/engine/wiring.ts";'],
    ["a dynamic import", "src/core/x.ts", 'const a = await import("#s3/a.ts");'],
    ["a bare import", "src/core/x.ts", 'import "#s3/a.ts";'],
    ["a re-export", "src/core/x.ts", 'export * from "#s3/a.ts";'],
    ["an import over several lines", "src/core/x.ts", 'import {\n  a,\n  b,\n} from "#s3/a.ts";'],
    ["a relative way around", "src/s3/x.ts", 'import { a } from "../core/a.ts";'],
    ["its own layer by the long way", "src/s3/x.ts", 'import { a } from "#s3/a.ts";'],
    ["a builtin in core", "src/core/x.ts", 'import { readFileSync } from "node:fs";'],
    ["koffi outside the channel", "src/fuse/engine/x.ts", 'import koffi from "koffi";'],
    ["undici outside s3", "src/node/x.ts", 'import { Pool } from "undici";'],
    ["the SDK outside s3", "src/controller/x.ts", 'import { S3Client } from "@aws-sdk/client-s3";'],
    ["processes in the fuse", "src/fuse/channel/x.ts", 'import { spawn } from "node:child_process";'],
    ["a CommonJS require", "src/core/x.ts", 'const fs = require("fs");'],
    ["a folder without a row", "src/extra/x.ts", "export const a = 1;"],
    ["an exit deep inside", "src/s3/x.ts", "export const stop = () => process.exit(1);"],
  ])("finds %s", (_what, path, text) => {
    expect(plant(path, text)).toEqual([expect.stringContaining(path)]);
  });

  it.each([
    ["down the table", "src/s3/x.ts", 'import { DriverError } from "#core/errors.ts";'],
    ["within a folder", "src/fuse/vfs/wrappers/x.ts", 'import { a } from "../inode.ts";'],
    ["a permitted type", "src/fuse/vfs/x.ts", 'import type { Op } from "#fuse/wire/ops.ts";'],
    ["a permitted type of the store", "src/fuse/journal/x.ts", 'import type { ObjectStore } from "#s3/object-store.ts";'],
    ["the engine's face", "src/node/x.ts", 'import { run } from "#fuse/engine/index.ts";'],
    ["processes in the node plugin", "src/node/x.ts", 'import { spawn } from "node:child_process";'],
    ["an exit in main", "src/cli/main.ts", "process.exit(2);"],
  ])("passes %s", (_what, path, text) => {
    expect(plant(path, text)).toEqual([]);
  });

  it("fails when it saw no file at all", () => {
    expect(violations(root).problems).toHaveLength(1);
  });

  it("is clean on this project", () => {
    const { scanned, problems } = violations(".");
    expect(problems).toEqual([]);
    expect(scanned).toBeGreaterThan(10);
  });
});

/** The rows below `row` that its own row lets it import. */
function below(row: string): string[] {
  const allowed = LAYERS[row]?.layers ?? [];
  return Object.keys(LAYERS).filter(
    (other) => other !== row && allowed.some((path) => layerOf(path) === other || other.startsWith(`${path}/`)),
  );
}

describe("LAYERS", () => {
  it("has no cycle: every row imports only rows above it in the table", () => {
    const order = Object.keys(LAYERS);
    const upward = order.flatMap((row) =>
      below(row)
        .filter((other) => order.indexOf(other) > order.indexOf(row))
        .map((other) => `${row} -> ${other}`),
    );
    expect(upward).toEqual([]);
  });

  it("knows every folder that RESTRICTED names", () => {
    expect(
      Object.values(RESTRICTED)
        .flat()
        .filter((folder) => layerOf(folder) === undefined),
    ).toEqual([]);
  });
});
