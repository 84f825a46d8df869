import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isFault } from "#core/errors.ts";
import { identify, type ProcessIdentity } from "#node/process-identity.ts";
import { readOwner, StateFolder } from "#node/state-folder.ts";

let dir: string;
let path: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "state-folder-"));
  path = join(dir, "cache", "mount");
});
afterEach(() => rm(dir, { recursive: true }));

async function ownedBy(supervisor: ProcessIdentity): Promise<void> {
  await mkdir(path, { recursive: true });
  await writeFile(join(path, "owner.json"), JSON.stringify({ supervisor, mountPoint: "/other" }));
}

describe("StateFolder", () => {
  test("`claim` makes a private folder and writes its owner down", async () => {
    await StateFolder.claim(path, "/m");
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect(await readOwner(path)).toEqual({ mountPoint: "/m", supervisor: await identify(process.pid) });
  });

  test("`claim` names the mount that has the folder while its supervisor lives", async () => {
    await ownedBy((await identify(process.ppid)) as ProcessIdentity);
    const error = await StateFolder.claim(path, "/m").catch((thrown: unknown) => thrown);
    expect(isFault(error, "in_use")).toBe(true);
    expect((error as Error).message).toContain('"/other"');
  });

  test("`claim` takes the folder of a process that is gone, or whose id another one has", async () => {
    const parent = (await identify(process.ppid)) as ProcessIdentity;
    await ownedBy({ ...parent, startTicks: parent.startTicks + 1 });
    expect((await StateFolder.claim(path, "/m")).path).toBe(path);
  });

  test("`claim` takes a folder whose owner file is torn", async () => {
    await mkdir(path, { recursive: true });
    await writeFile(join(path, "owner.json"), "{");
    expect((await StateFolder.claim(path, "/m")).path).toBe(path);
  });

  test("`discard` takes back every folder that `claim` made, and not what others use by now", async () => {
    const folder = await StateFolder.claim(path, "/m");
    await writeFile(join(dir, "cache", "neighbour"), "");
    await folder.discard();
    expect(await readdir(join(dir, "cache"))).toEqual(["neighbour"]);
    await rm(join(dir, "cache"), { recursive: true });
    await (await StateFolder.claim(path, "/m")).discard();
    expect(await readdir(dir)).toEqual([]);
  });

  test("`discard` and `release` keep a folder that was there", async () => {
    await mkdir(path, { recursive: true });
    await writeFile(join(path, "spool"), "");
    await (await StateFolder.claim(path, "/m")).discard();
    await (await StateFolder.claim(path, "/m")).release();
    expect(await readdir(path)).toEqual(["spool"]);
  });
});
