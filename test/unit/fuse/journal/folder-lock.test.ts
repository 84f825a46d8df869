import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isFolderLocked, lockFolder } from "#fuse/journal/folder-lock.ts";

let dir: string;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "folder-lock-"));
});
afterEach(() => fs.rmSync(dir, { recursive: true }));

describe("lockFolder", () => {
  it("`lockFolder` refuses a second owner in the same process, and takes the folder after `release`", () => {
    const lock = lockFolder(dir, 0);
    expect(() => lockFolder(dir, 0)).toThrow(expect.objectContaining({ fault: "in_use" }));
    lock.release();
    lockFolder(dir, 0).release();
  });

  it("`lockFolder` refuses while another process has the folder, naming it, and takes it when that is killed", async () => {
    const module = join(import.meta.dirname, "../../../../src/fuse/journal/folder-lock.ts");
    const program = `import { isFolderLocked, lockFolder } from ${JSON.stringify(module)}; lockFolder(${JSON.stringify(dir)}, 0); console.log("locked"); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["-C", "source", "--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(child.stdout, "data");
      expect(isFolderLocked(dir)).toBe(true);
      expect(() => lockFolder(dir, 0)).toThrow(
        expect.objectContaining({ fault: "in_use", message: expect.stringContaining(`process ${child.pid}`) }),
      );
    } finally {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
    expect(isFolderLocked(dir)).toBe(false);
    lockFolder(dir, 0).release();
  });
});

it("`isFolderLocked` makes nothing where there is no lock, and takes none away", () => {
  expect([isFolderLocked(dir), isFolderLocked(join(dir, "missing"))]).toEqual([false, false]);
  expect(fs.readdirSync(dir)).toEqual([]);
  const lock = lockFolder(dir, 0);
  expect([isFolderLocked(dir), isFolderLocked(dir)]).toEqual([true, true]);
  lock.release();
});
