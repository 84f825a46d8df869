/** Mounts over the deaths of node plugin, engines and keeper, in every order: real processes, real FUSE, a real S3 server. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readOwner } from "#node/state-folder.ts";
import { createBucketAdmin } from "#s3/index.ts";
import { BusyUser } from "../support/busy-user.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { PodWorld, whyNoPods } from "../support/pod-world.ts";
import { availableServers, type S3Server, startServer } from "../support/s3-servers.ts";

const run = promisify(execFile);
const CALL = { deadlineMs: 100_000 };
const LONG_MS = 600_000;

let s3: S3Server;
let world: PodWorld;
let bucket: string;
let buckets = 0;

async function sh(script: string, ...args: string[]): Promise<string> {
  return (await run("sh", ["-ec", script, "sh", ...args], { timeout: 120_000 })).stdout;
}

function skips(): boolean {
  const reason = whyNoPods();
  if (reason !== undefined) console.warn(`SKIPPED test/kernel/keeper: ${reason}`);
  return skipMounts("test/kernel/keeper") || reason !== undefined;
}

/** Waits until the user has gone on for a while. */
async function goesOn(user: BusyUser): Promise<void> {
  const { rounds } = await user.report();
  await world.until("the user goes on", async () => (await user.report()).rounds > rounds + 10);
}

async function withBucket(name: string): Promise<string> {
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const admin = createBucketAdmin({ endpoint, region, pathStyle: true, credentials: { accessKeyId, secretAccessKey } });
  await admin.createBucket(name, CALL);
  await admin.close();
  return name;
}

async function stageAndPublish(volumeId: string): Promise<string> {
  await world.stage(volumeId, bucket);
  return world.publish(volumeId, bucket);
}

const kept = async () => (await world.keeper.list()).map(({ volumeId }) => volumeId).sort();

describe.skipIf(skips())("the keeper", { timeout: LONG_MS }, () => {
  beforeAll(async () => {
    const kind = availableServers().includes("versitygw") ? "versitygw" : "s3rver";
    if (kind !== "versitygw") console.warn("test/kernel/keeper: versitygw is not installed; runs on s3rver");
    s3 = await startServer(kind);
  });
  afterAll(() => s3?.stop());
  beforeEach(async () => {
    buckets += 1;
    bucket = await withBucket(`kept-${buckets}`);
    world = await PodWorld.create(s3);
  }, LONG_MS);
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") console.log((await world.log()).slice(-8000));
    await world.stop();
  }, LONG_MS);

  test("work by path goes on without an error when plugin and engines are killed, then the keeper, then both again", async () => {
    await world.startKeeper();
    await world.startPlugin();
    const mount = await stageAndPublish("v");
    using user = new BusyUser(mount);
    await goesOn(user);
    for (let death = 1; death <= 3; death++) {
      await world.killPlugin();
      await world.startPlugin();
      await goesOn(user);
    }
    await world.killKeeper();
    await goesOn(user);
    await world.startKeeper();
    await world.until("the new keeper has the mount", async () => (await kept()).includes("v"));
    for (let death = 1; death <= 2; death++) {
      await world.killPlugin();
      await world.startPlugin();
      await goesOn(user);
    }
    const report = await user.stop();
    expect(report.problems).toEqual([]);
    await world.leave("v");
    expect(await world.mounts()).toEqual([]);
    expect(await kept()).toEqual([]);
    for (const [path, content] of Object.entries(report.kept)) {
      expect(await readFile(join(s3.dataDir, bucket, path), "utf8"), path).toBe(content);
    }
  });

  test("plugins that are killed at any moment of their start leave a mount that the next one takes over", async () => {
    await world.startKeeper();
    await world.startPlugin();
    using user = new BusyUser(await stageAndPublish("v"));
    await goesOn(user);
    await world.killPlugin();
    for (let lifeMs = 300; lifeMs <= 3000; lifeMs += 300) {
      const started = world.startPlugin().catch(() => undefined);
      await sleep(lifeMs);
      await world.killPlugin();
      await started;
    }
    await world.startPlugin();
    await goesOn(user);
    const report = await user.stop();
    expect(report.problems).toEqual([]);
    await world.leave("v");
    for (const [path, content] of Object.entries(report.kept)) {
      expect(await readFile(join(s3.dataDir, bucket, path), "utf8"), path).toBe(content);
    }
  });

  test("a mount whose plugin, engines and keeper are all dead fails at once, and is repaired by the next stage and publication", async () => {
    await world.startKeeper();
    await world.startPlugin();
    const mount = await stageAndPublish("v");
    await sh('printf content > "$1/file"', mount);
    await world.killKeeper();
    await world.killPlugin();
    await expect(sh('cat "$1/file"', mount)).rejects.toThrow(/not connected|connection abort/i);
    await world.startKeeper();
    await world.startPlugin();
    await stageAndPublish("v");
    expect(await sh('cat "$1/file"', mount)).toBe("content");
    await world.leave("v");
    expect(await world.mounts()).toEqual([]);
  });

  test("a keeper that is to end while no plugin lives waits for the next one", async () => {
    await world.startKeeper();
    await world.startPlugin();
    using user = new BusyUser(await stageAndPublish("v"));
    await goesOn(user);
    expect(await world.terminate("plugin")).toBe(0);
    let ended = false;
    const keeper = world.terminate("keeper").then((code) => {
      ended = true;
      return code;
    });
    await world.until("the keeper is asked to end", async () => (await world.log()).includes("the mounts live by this process"));
    expect(ended).toBe(false);
    await world.startPlugin();
    expect(await keeper).toBe(0);
    await goesOn(user);
    expect((await user.stop()).problems).toEqual([]);
  });

  test("a plugin that is to end while the keeper is replaced waits for the new one", async () => {
    await world.startKeeper();
    await world.startPlugin();
    using user = new BusyUser(await stageAndPublish("v"));
    await goesOn(user);
    expect(await world.terminate("keeper")).toBe(0);
    const plugin = world.terminate("plugin");
    await world.until("the plugin is asked to end", async () => (await world.log()).includes("the node plugin ends"));
    await world.startKeeper();
    expect(await plugin).toBe(0);
    expect(await kept()).toEqual(["v"]);
    await world.startPlugin();
    await goesOn(user);
    expect((await user.stop()).problems).toEqual([]);
  });

  test("an engine that outlives its plugin serves on alone, and gets a successor from the next plugin when it dies", async () => {
    await world.startKeeper();
    await world.startPlugin({ apart: false });
    using user = new BusyUser(await stageAndPublish("v"));
    await goesOn(user);
    await world.killPlugin();
    const orphan = (await readOwner(world.folder("v")))?.engine;
    await world.startPlugin();
    await world.stage("v", bucket);
    await world.until("the plugin waits", async () => (await world.log()).includes("an engine of before serves the mount"));
    await goesOn(user);
    expect((await readOwner(world.folder("v")))?.engine).toEqual(orphan);
    process.kill(orphan?.pid ?? 0, "SIGKILL");
    await goesOn(user);
    expect((await readOwner(world.folder("v")))?.engine).not.toEqual(orphan);
    expect((await user.stop()).problems).toEqual([]);
    await world.leave("v");
    expect(await world.mounts()).toEqual([]);
  });

  test("a kept descriptor that is not of the volume's mount gets no engine: the mount fails, and can be staged again", async () => {
    await world.startKeeper();
    await world.startPlugin();
    const mount = await stageAndPublish("v");
    await sh('printf content > "$1/file"', mount);
    await world.killPlugin();
    const owner = join(world.folder("v"), "owner.json");
    await writeFile(owner, JSON.stringify({ ...(await readOwner(world.folder("v"))), device: "0:1" }));
    await world.startPlugin();
    await expect(sh('cat "$1/file"', mount)).rejects.toThrow(/not connected|connection abort/i);
    expect(await kept()).toEqual([]);
    await stageAndPublish("v");
    expect(await sh('cat "$1/file"', mount)).toBe("content");
    expect(await kept()).toEqual(["v"]);
  });

  test("many volumes are taken over side by side, and their keys are on no disk", async () => {
    await world.startKeeper();
    await world.startPlugin();
    const { accessKeyId, secretAccessKey } = s3;
    const secrets = { accessKeyID: accessKeyId, secretAccessKey };
    const volumes = await Promise.all(["a", "b", "c"].map((id) => withBucket(`${bucket}-${id}`)));
    for (const volume of volumes) await world.stage(volume, volume, { secrets });
    const mounts = await Promise.all(volumes.map((volume) => world.publish(volume, volume)));
    for (const mount of mounts) await sh('printf content > "$1/file"', mount);
    await world.killPlugin();
    await expect(run("grep", ["-rl", secretAccessKey, world.dir, "--exclude-dir=pods", "--exclude-dir=staging"])).rejects.toMatchObject({
      code: 1,
    });
    await world.startPlugin();
    for (const mount of mounts) expect(await sh('cat "$1/file"; printf more > "$1/more"; cat "$1/more"', mount)).toBe("contentmore");
    for (const volume of volumes) await world.leave(volume);
    expect(await kept()).toEqual([]);
    expect(await world.mounts()).toEqual([]);
  });
});
