/**
 * Node plugin and keeper as processes of their own, each as in a pod: the plugin is the first process of a PID namespace, so that its
 * end is the end of its engines, and process ids of one plugin mean nothing to the next.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, realpath } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unmount } from "#fuse/channel/mount.ts";
import { isServed } from "#fuse/engine/index.ts";
import { createKeeperClient, type Keeper } from "#keeper/client.ts";
import { pollUntil } from "#node/deadline.ts";
import { type MountRow, readMounts } from "#node/mounts.ts";
import { VolumeRecords } from "#node/volume-records.ts";
import { connectGrpc, type GrpcClient } from "./grpc.ts";
import type { S3Server } from "./s3-servers.ts";
import { findBinary } from "./s3-servers.ts";
import { removeSealed } from "./sealed-folders.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const CAPABILITY = { volumeCapability: { mount: { fsType: "", mountFlags: [] }, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } } };
const CALL = { deadlineMs: 200_000 };
const START_MS = 120_000;

/** Why this machine has no such pods; undefined when it has. */
export function whyNoPods(): string | undefined {
  return findBinary("unshare") === undefined ? "needs unshare (util-linux)" : undefined;
}

export class PodWorld {
  readonly dir: string;
  readonly stateDir: string;
  readonly keeper: Keeper;
  readonly #s3: S3Server;
  #node: GrpcClient | undefined;
  #keeperProcess: ChildProcess | undefined;
  #plugin: ChildProcess | undefined;
  #apart = false;

  private constructor(dir: string, s3: S3Server) {
    this.dir = dir;
    this.stateDir = join(dir, "state");
    this.keeper = createKeeperClient({ socketPath: join(dir, "keeper", "keeper.sock") });
    this.#s3 = s3;
  }

  static async create(s3: S3Server): Promise<PodWorld> {
    return new PodWorld(await realpath(await mkdtemp(join(tmpdir(), "bucketmount-pods-"))), s3);
  }

  async startKeeper(): Promise<void> {
    this.#keeperProcess = this.#spawn([
      process.execPath,
      "-C",
      "source",
      MAIN,
      "keeper",
      "--socket",
      join(this.dir, "keeper", "keeper.sock"),
    ]);
    await this.until("the keeper answers", () =>
      this.keeper.list().then(
        () => true,
        () => false,
      ),
    );
  }

  /** `apart`: in a PID namespace of its own. */
  async startPlugin({ apart = true }: { apart?: boolean } = {}): Promise<void> {
    const { dir, stateDir } = this;
    const flags = [
      "--endpoint",
      `unix://${dir}/csi.sock`,
      "--node-id",
      "n1",
      "--state-dir",
      stateDir,
      "--keeper",
      join(dir, "keeper", "keeper.sock"),
    ];
    const program = [process.execPath, "-C", "source", MAIN, "node", ...flags, "--s3-endpoint", this.#s3.endpoint];
    this.#apart = apart;
    this.#plugin = this.#spawn(apart ? ["unshare", "--pid", "--fork", "--kill-child=KILL", ...program] : program);
    this.#node = connectGrpc(join(dir, "csi.sock"), "csi.v1.Node");
    const plugin = this.#plugin;
    await this.until("the plugin answers", async () => {
      if (plugin.exitCode !== null || plugin.signalCode !== null) throw new Error("the plugin has ended");
      return this.call("NodeGetInfo", {}, 1000).then(
        () => true,
        () => false,
      );
    });
  }

  call(method: string, request: object, deadlineMs = CALL.deadlineMs): Promise<unknown> {
    return (this.#node as GrpcClient).call(method, request, { deadlineMs });
  }

  /** Repeats what another call or a take-over of the volume keeps from being done, as the kubelet does. */
  async #insist(method: string, request: object): Promise<void> {
    await this.until(`${method} is done`, async () => {
      try {
        await this.call(method, request);
        return true;
      } catch (error) {
        if ((error as { details?: string }).details?.includes("in progress")) return false;
        throw error;
      }
    });
  }

  async stage(volumeId: string, bucket: string, more: object = {}): Promise<void> {
    await mkdir(this.staging(volumeId), { recursive: true }).catch(() => undefined);
    const request = { volumeId, volumeContext: { bucket }, ...CAPABILITY, stagingTargetPath: this.staging(volumeId) };
    await this.#insist("NodeStageVolume", { ...request, ...more });
  }

  async publish(volumeId: string, bucket: string): Promise<string> {
    const request = { volumeId, volumeContext: { bucket }, ...CAPABILITY, stagingTargetPath: this.staging(volumeId) };
    await this.#insist("NodePublishVolume", { ...request, targetPath: this.target(volumeId) });
    return this.target(volumeId);
  }

  async leave(volumeId: string): Promise<void> {
    await this.#insist("NodeUnpublishVolume", { volumeId, targetPath: this.target(volumeId) });
    await this.#insist("NodeUnstageVolume", { volumeId, stagingTargetPath: this.staging(volumeId) });
  }

  staging(volumeId: string): string {
    return join(this.dir, "staging", volumeId);
  }

  target(volumeId: string): string {
    return join(this.dir, "pods", volumeId, "mount");
  }

  folder(volumeId: string): string {
    return new VolumeRecords(this.stateDir).folder(volumeId);
  }

  /** True while an engine serves the volume. */
  isServed(volumeId: string): boolean {
    return isServed(this.folder(volumeId));
  }

  /** SIGKILL to the plugin, and with it to its engines where it is apart: a pod's end without grace. */
  async killPlugin(): Promise<void> {
    this.#node?.close();
    await end(this.#plugin, "SIGKILL");
    // unshare(1) is gone at once, and the kernel then ends what was in the namespace.
    if (this.#apart) await this.until("the engines are gone", async () => !(await this.#anyServed()));
  }

  async #anyServed(): Promise<boolean> {
    const folders = await readdir(join(this.stateDir, "volumes")).catch(() => []);
    return folders.some((name) => isServed(join(this.stateDir, "volumes", name)));
  }

  async killKeeper(): Promise<void> {
    await end(this.#keeperProcess, "SIGKILL");
  }

  /** SIGTERM, as at the end of a pod with grace; the answer is the exit code, once it has ended. */
  async terminate(which: "plugin" | "keeper"): Promise<number | null> {
    const child = (which === "plugin" ? this.#plugin : this.#keeperProcess) as ChildProcess;
    if (which === "plugin") this.#node?.close();
    const gone = once(child, "exit");
    // unshare(1) keeps the signal to itself, and ends as its child does.
    process.kill(which === "plugin" && this.#apart ? await onlyChildOf(child.pid ?? 0) : (child.pid ?? 0), "SIGTERM");
    return (await gone)[0] as number | null;
  }

  async mounts(): Promise<MountRow[]> {
    return (await readMounts()).filter((row) => row.mountPoint.startsWith(`${this.dir}/`));
  }

  /** What all processes wrote. */
  log(): Promise<string> {
    return readFile(join(this.dir, "log"), "utf8").catch(() => "");
  }

  async until(what: string, probe: () => Promise<boolean> | boolean): Promise<void> {
    if (!(await pollUntil(START_MS, 20, probe))) throw new Error(`not within ${START_MS / 1000} s: ${what}`);
  }

  async stop(): Promise<void> {
    await this.killPlugin();
    await this.killKeeper();
    for (const { mountPoint } of (await this.mounts()).toReversed()) await unmount(mountPoint, { lazy: true });
    await this.until("the engines end", async () => !(await this.#anyServed()));
    await removeSealed(this.dir);
  }

  #spawn([file = "", ...args]: readonly string[]): ChildProcess {
    const log = openSync(join(this.dir, "log"), "a");
    const { accessKeyId, secretAccessKey, region } = this.#s3;
    const child = spawn(file, args, {
      env: { ...process.env, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_REGION: region },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    return child;
  }
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

async function onlyChildOf(parent: number): Promise<number> {
  for (const name of await readdir("/proc")) {
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    if (Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent) return Number(name);
  }
  throw new Error(`process ${parent} has no child`);
}
