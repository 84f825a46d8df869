import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, mkdtemp, open, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isFault } from "#core/errors.ts";
import { silentLogger } from "#core/log.ts";
import { resolveMountOptions } from "#core/options.ts";
import { bindMount, mountFuse, openFuseDevice, setReadAhead, unmount } from "#fuse/channel/mount.ts";
import { pollUntil } from "#node/deadline.ts";
import type { SuperviseOptions } from "#node/mount-start.ts";
import { mountsOn, readMounts } from "#node/mounts.ts";
import { isAlive, type ProcessIdentity } from "#node/process-identity.ts";
import { readOwner, StateFolder } from "#node/state-folder.ts";
import { type MountSupervisor, restartDelayMs, superviseMount } from "#node/supervisor.ts";
import { skipMounts } from "../support/kernel-gate.ts";

const FAKE_ENGINE = fileURLToPath(new URL("../support/fake-engine.mjs", import.meta.url));
const mounts = { openFuseDevice, mountFuse, setReadAhead, bindMount, unmount };
const CONTENT = "hello from the fake engine\n";

/** Reads a file with four reads in flight until its input ends. Says when the first was right, and at the end how many were. */
const READER = `
  const { open } = require("node:fs/promises");
  const [path, content] = process.argv.slice(1);
  let reading = true, right = 0, wrong = 0;
  process.stdin.on("end", () => { reading = false; }).resume();
  async function read(file) {
    while (reading) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(64), 0, 64, 0).catch(() => ({ bytesRead: 0, buffer: Buffer.alloc(0) }));
      if (buffer.subarray(0, bytesRead).toString() === content) { if (right++ === 0) console.log("reading"); } else wrong++;
    }
  }
  open(path).then((file) => Promise.all([1, 2, 3, 4].map(() => read(file))).then(() => file.close()))
    .then(() => console.log("right " + right + ", wrong or failed " + wrong));
`;

let work: string;
let logFd: number;
const supervisors: MountSupervisor[] = [];

async function optionsFor(bucket: string): Promise<SuperviseOptions> {
  const folder = await StateFolder.claim(join(work, "cache", "state"), join(work, "mnt"));
  return {
    config: {
      store: { bucket, prefix: "", region: "us-east-1", credentials: { kind: "static", accessKeyId: "AK", secretAccessKey: "SK" } },
      options: resolveMountOptions({}, { uid: 0, gid: 0 }),
      mountPoint: join(work, "mnt"),
      stateDir: join(work, "cache", "state"),
      cacheSizeBytes: 1000,
      logLevel: "error",
    },
    folder,
    command: { file: process.execPath, args: [FAKE_ENGINE] },
    mounts,
    log: silentLogger,
    logFd,
    readyMs: 30_000,
  };
}

async function supervise(bucket: string, more: Partial<SuperviseOptions> = {}): Promise<MountSupervisor> {
  const supervisor = await superviseMount({ ...(await optionsFor(bucket)), ...more });
  supervisors.push(supervisor);
  return supervisor;
}

async function isMounted(): Promise<boolean> {
  return mountsOn(await readMounts(), join(work, "mnt")).length > 0;
}

test("`restartDelayMs` starts at once and never waits over five seconds when failures follow each other", () => {
  expect([0, 1, 2, 3, 6, 7, 1000].map(restartDelayMs)).toEqual([0, 100, 200, 400, 3200, 5000, 5000]);
});

describe.skipIf(skipMounts("test/kernel/supervisor"))("superviseMount", () => {
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), "bucketmount-supervisor-"));
    await mkdir(join(work, "mnt"));
    logFd = openSync(join(work, "engine.log"), "a");
  });
  afterEach(async () => {
    for (const supervisor of supervisors.splice(0)) await supervisor.stop({ force: true, flushMs: 10_000, endMs: 30_000 });
    closeSync(logFd);
    await rm(work, { recursive: true });
  });

  test("`superviseMount` serves the directory when it resolves, and leaves nothing when it is stopped", async () => {
    const supervisor = await supervise("good");
    expect(await readFile(join(work, "mnt", "hello"), "utf8")).toBe(CONTENT);
    const { engine } = (await readOwner(join(work, "cache", "state"))) as { engine: ProcessIdentity };
    expect(await isAlive(engine)).toBe(true);
    expect(await supervisor.stop({ flushMs: 10_000, endMs: 30_000 })).toEqual({ uploaded: true });
    expect(await isMounted()).toBe(false);
    expect(await isAlive(engine)).toBe(false);
    expect(await readOwner(join(work, "cache", "state"))).toBeUndefined();
  });

  test("`superviseMount` keeps readers going without an error when the engine is killed again and again", async () => {
    const supervisor = await supervise("good");
    // Another process reads: one that holds files open on its own mount cannot start a successor (see supervisor.ts).
    const reader = spawn(process.execPath, ["-e", READER, join(work, "mnt", "hello"), CONTENT], { stdio: ["pipe", "pipe", "inherit"] });
    await once(reader.stdout, "data");
    const report = once(reader.stdout, "data");
    const exit = once(reader, "exit");
    for (let kill = 1; kill <= 4; kill++) {
      process.kill(supervisor.health.enginePid, "SIGKILL");
      expect(await pollUntil(30_000, 5, () => supervisor.health.restarts === kill && supervisor.health.engine === "serving")).toBe(true);
      expect((await supervisor.status(30_000)).takeovers).toBe(1);
    }
    reader.stdin.end();
    expect(String((await report)[0])).toMatch(/^right [1-9]\d*, wrong or failed 0\n$/);
    await exit;
  });

  test("`superviseMount` ends cleanly when somebody else unmounts", async () => {
    const supervisor = await supervise("good");
    await unmount(join(work, "mnt"));
    expect(await supervisor.ended).toEqual({ uploaded: true });
    expect(supervisor.health).toMatchObject({ engine: "ended", restarts: 0 });
  });

  test("`superviseMount` ends and takes the dead mount away when the connection is aborted", async () => {
    const supervisor = await supervise("good");
    const abort = await open(`/sys/fs/fuse/connections/${supervisor.device.split(":")[1]}/abort`, "w").catch(() => undefined);
    if (abort === undefined) {
      console.warn("SKIPPED aborting a connection: /sys/fs/fuse/connections is not mounted");
      return;
    }
    await abort.write("1");
    await abort.close();
    await supervisor.ended;
    expect(await isMounted()).toBe(false);
  });

  test("`superviseMount` says that data is left when the engine ends with 3", async () => {
    const supervisor = await supervise("dirty");
    expect(await supervisor.stop({ flushMs: 10_000, endMs: 30_000 })).toEqual({ uploaded: false });
  });

  test.each([
    ["refused", "no_bucket", 30_000],
    ["crash", "internal", 30_000],
    ["silent", "timed_out", 500],
  ])("`superviseMount` leaves no mount, process or folder when the first engine is %s", async (bucket, fault, readyMs) => {
    const error = await superviseMount({ ...(await optionsFor(bucket)), readyMs }).catch((thrown: unknown) => thrown);
    expect(isFault(error, fault as "internal")).toBe(true);
    expect(await isMounted()).toBe(false);
    expect((await readdir(work)).sort()).toEqual(["engine.log", "mnt"]);
  });

  test("`superviseMount` keeps a state folder that was there when the first start fails", async () => {
    await mkdir(join(work, "cache", "state", "spool"), { recursive: true });
    await expect(superviseMount(await optionsFor("refused"))).rejects.toThrow("there is no such bucket");
    expect((await readdir(join(work, "cache", "state"))).sort()).toEqual(["spool", "supervisor.lock"]);
  });

  test("`stop` refuses and keeps serving when a file is open, and detaches when forced", async () => {
    const supervisor = await supervise("good");
    const file = await open(join(work, "mnt", "hello"));
    const refusal = await supervisor.stop({ flushMs: 10_000, endMs: 30_000 }).catch((thrown: unknown) => thrown);
    expect(isFault(refusal, "in_use")).toBe(true);
    expect(await file.readFile("utf8")).toBe(CONTENT);
    const stopped = supervisor.stop({ force: true, flushMs: 10_000, endMs: 30_000 });
    expect(await pollUntil(30_000, 5, async () => !(await isMounted()))).toBe(true);
    await file.close();
    expect(await stopped).toEqual({ uploaded: true });
  });

  test("`stop` keeps the mount when not everything could be uploaded", async () => {
    const supervisor = await supervise("unflushable");
    await expect(supervisor.stop({ flushMs: 10_000, endMs: 30_000 })).rejects.toThrow("2 files are left");
    expect(await isMounted()).toBe(true);
  });

  test("`flush` goes on with the successor when the engine dies meanwhile", async () => {
    const supervisor = await supervise("slow-flush");
    const flushed = supervisor.flush(30_000);
    await pollUntil(1000, 5, () => supervisor.health.enginePid > 0);
    process.kill(supervisor.health.enginePid, "SIGKILL");
    await flushed;
    expect(supervisor.health.restarts).toBe(1);
  });

  test("`superviseMount` keeps keys out of the engine's environment and arguments when they are given", async () => {
    const env = { ...process.env, AWS_SECRET_ACCESS_KEY: "not for you", AWS_REGION: "r" };
    const status = (await (await supervise("good", { env })).status(30_000)) as unknown as Record<string, unknown>;
    expect(status).toMatchObject({ environment: ["UV_THREADPOOL_SIZE"], cwd: "/", argv: [] });
  });

  test("`superviseMount` refuses a state folder when another mount has it", async () => {
    const other = join(work, "other");
    await mkdir(other);
    const supervisor = await supervise("good");
    const { engine } = (await readOwner(join(work, "cache", "state"))) as { engine: ProcessIdentity };
    expect(await isAlive(engine)).toBe(true);
    const second = StateFolder.claim(join(work, "cache", "state"), other);
    await expect(second).rejects.toThrow(`in use by the mount on "${supervisor.config.mountPoint}"`);
  });
});
