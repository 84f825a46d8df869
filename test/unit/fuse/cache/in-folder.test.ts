import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inFolder } from "#fuse/cache/in-folder.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "in-folder-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

describe("inFolder", () => {
  it("makes the folder only when it is missing, and answers what was made", () => {
    const path = join(dir, "a", "b", "file");
    let tries = 0;
    const make = () => {
      tries += 1;
      writeFileSync(path, "x");
      return "made";
    };
    expect([inFolder(path, make), tries]).toEqual(["made", 2]);
    expect([inFolder(path, make), tries]).toEqual(["made", 3]);
    expect(readFileSync(path, "utf8")).toBe("x");
  });

  it("throws what else goes wrong as a fault, after no second try", () => {
    mkdirSync(join(dir, "folder"));
    let tries = 0;
    const make = () => {
      tries += 1;
      writeFileSync(join(dir, "folder"), "x");
    };
    expect(() => inFolder(join(dir, "folder"), make)).toThrow(expect.objectContaining({ fault: "internal" }));
    expect(tries).toBe(1);
  });
});
