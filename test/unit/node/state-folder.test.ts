import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isFault } from "#core/errors.ts";
import { identify } from "#node/process-identity.ts";
import { readOwner, StateFolder } from "#node/state-folder.ts";

let dir: string;
let path: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "state-folder-"));
  path = join(dir, "cache", "mount");
});
const holders: ChildProcess[] = [];
afterEach(async () => {
  await Promise.all(holders.splice(0).map(kill));
  await rm(dir, { recursive: true });
});

/** A process that holds the folder, its own claim or an engine's lock, until it is killed. */
async function holder(what: "claim" | "engine"): Promise<ChildProcess> {
  const module = (name: string) => JSON.stringify(join(import.meta.dirname, "../../../src", name));
  const hold = {
    claim: `const { StateFolder } = await import(${module("node/state-folder.ts")}); globalThis.held = await StateFolder.claim(process.argv[1], "/other");`,
    engine: `const { lockFolder } = await import(${module("fuse/journal/folder-lock.ts")}); globalThis.held = lockFolder(process.argv[1] + "/journal", 0);`,
  }[what];
  const program = `${hold} console.log("held"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["-C", "source", "--input-type=module", "-e", program, path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  holders.push(child);
  await once(child.stdout, "data");
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

describe("StateFolder", () => {
  test("`claim` makes a private folder and writes its owner down", async () => {
    await StateFolder.claim(path, "/m");
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect(await readOwner(path)).toEqual({ mountPoint: "/m", supervisor: await identify(process.pid) });
  });

  test("`claim` names the mount that has the folder while its supervisor lives, and takes it when that is killed", async () => {
    const other = await holder("claim");
    const error = await StateFolder.claim(path, "/m").catch((thrown: unknown) => thrown);
    expect(isFault(error, "in_use")).toBe(true);
    expect((error as Error).message).toContain(`"/other" (pid ${other.pid})`);
    expect((await readOwner(path))?.mountPoint).toBe("/other");
    await kill(other);
    await (await StateFolder.claim(path, "/m")).release();
  });

  test("`claim` refuses while an engine serves whose supervisor is gone, and leaves the folder claimable", async () => {
    await mkdir(join(path, "journal"), { recursive: true });
    const engine = await holder("engine");
    for (let attempt = 0; attempt < 2; attempt++) await expect(StateFolder.claim(path, "/m")).rejects.toMatchObject({ fault: "in_use" });
    await kill(engine);
    await (await StateFolder.claim(path, "/m")).release();
  });

  test("`claim` has one owner in a process, and another one after `release`", async () => {
    const folder = await StateFolder.claim(path, "/m");
    await expect(StateFolder.claim(path, "/m")).rejects.toThrow(/"\/m" \(pid/);
    await folder.release();
    await (await StateFolder.claim(path, "/m")).release();
  });

  test("`claim` looks at no process id: an owner file alone keeps nobody out", async () => {
    await mkdir(path, { recursive: true });
    const supervisor = await identify(process.ppid);
    await writeFile(join(path, "owner.json"), JSON.stringify({ supervisor, engine: supervisor, mountPoint: "/other" }));
    expect((await StateFolder.claim(path, "/m")).path).toBe(path);
  });

  test("`claim` keeps of the last owner what its successor says, and changes nothing when that throws", async () => {
    await mkdir(path, { recursive: true });
    await writeFile(join(path, "owner.json"), JSON.stringify({ supervisor: { pid: 1, startTicks: 1 }, mountPoint: "/m", device: "0:57" }));
    const refused = StateFolder.claim(path, "/m", (before) => {
      throw new Error(`not ${before?.device}`);
    });
    await expect(refused).rejects.toThrow("not 0:57");
    expect((await readOwner(path))?.device).toBe("0:57");
    await StateFolder.claim(path, "/m", (before) => ({ device: `${before?.device}!` }));
    expect(await readOwner(path)).toMatchObject({ device: "0:57!", supervisor: await identify(process.pid) });
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
    // The lock's file stays: whoever took it away could take it from under the next owner.
    expect((await readdir(path)).sort()).toEqual(["spool", "supervisor.lock"]);
  });
});
