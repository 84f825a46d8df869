/** The kubelet's calls for one volume of a NodeWorld, and what pods do with it. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { status } from "@grpc/grpc-js";
import { connectGrpc, type GrpcClient } from "./grpc.ts";
import { folderIn, type NodeWorld } from "./node-world.ts";

const run = promisify(execFile);

/** A call may have to mount; the machine may be slow. */
const CALL = { deadlineMs: 100_000 };

export interface CapabilityWishes {
  readonly mode?: string;
  readonly mountFlags?: readonly string[];
  readonly group?: number;
}

export function capability({ mode = "MULTI_NODE_MULTI_WRITER", mountFlags = [], group }: CapabilityWishes = {}): object {
  return { mount: { fsType: "", mountFlags, volumeMountGroup: group === undefined ? "" : String(group) }, accessMode: { mode } };
}

export type Secrets = Readonly<Record<string, string>>;

export interface Wishes extends CapabilityWishes {
  readonly secrets?: Secrets;
  readonly readonly?: boolean;
  readonly volumeContext?: Readonly<Record<string, string>>;
}

export class NodeVolume {
  readonly volumeId: string;
  readonly staging: string;
  readonly volumeContext: Readonly<Record<string, string>>;
  readonly #world: NodeWorld;
  readonly #node: GrpcClient;

  private constructor(world: NodeWorld, volumeId: string, staging: string, volumeContext: Readonly<Record<string, string>>) {
    this.#world = world;
    this.#node = connectGrpc(world.socketPath, "csi.v1.Node");
    this.volumeId = volumeId;
    this.staging = staging;
    this.volumeContext = volumeContext;
  }

  static async of(world: NodeWorld, volumeId: string, volumeContext: Readonly<Record<string, string>>): Promise<NodeVolume> {
    return new NodeVolume(world, volumeId, await folderIn(world, "staging", volumeId, "globalmount"), volumeContext);
  }

  stage({ secrets = {}, volumeContext = this.volumeContext, ...wishes }: Wishes = {}): Promise<object> {
    const request = {
      volumeId: this.volumeId,
      stagingTargetPath: this.staging,
      volumeCapability: capability(wishes),
      volumeContext,
      secrets,
    };
    return this.#node.call("NodeStageVolume", request, CALL);
  }

  target(pod: string): string {
    return join(this.#world.dir, "pods", pod, this.volumeId, "mount");
  }

  /** Answers where the pod has it. */
  async publish(
    pod: string,
    { secrets = {}, readonly = false, volumeContext = this.volumeContext, ...wishes }: Wishes = {},
  ): Promise<string> {
    const places = { stagingTargetPath: this.staging, targetPath: this.target(pod) };
    const request = { volumeId: this.volumeId, ...places, volumeCapability: capability(wishes), volumeContext, secrets, readonly };
    await this.#node.call("NodePublishVolume", request, CALL);
    return places.targetPath;
  }

  unpublish(pod: string): Promise<object> {
    return this.#node.call("NodeUnpublishVolume", { volumeId: this.volumeId, targetPath: this.target(pod) }, CALL);
  }

  unstage(): Promise<object> {
    return this.#node.call("NodeUnstageVolume", { volumeId: this.volumeId, stagingTargetPath: this.staging }, CALL);
  }

  /** Unpublishes from the pods and unstages. */
  async end(...pods: readonly string[]): Promise<void> {
    for (const pod of pods) await this.unpublish(pod);
    await this.unstage();
  }

  close(): void {
    this.#node.close();
  }
}

/** Files of a mount are touched by other processes only: the plugin runs in the test's own. */
export async function sh(script: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run("sh", ["-ec", script, "sh", ...args], { timeout: 240_000 });
  return stdout;
}

/** As a container's process runs in `dir`: not as root, with its pod's fsGroup among its groups. */
export async function shAs(
  { uid, group }: { readonly uid: number; readonly group?: number },
  dir: string,
  script: string,
): Promise<string> {
  const groups = group === undefined ? ["--clear-groups"] : ["--groups", String(group)];
  const who = ["--reuid", String(uid), "--regid", String(uid), ...groups, "--inh-caps=-all", "--"];
  // What leads to the directory is root's alone; a container has it at its own place.
  const { stdout } = await run("setpriv", [...who, "sh", "-ec", script], { cwd: dir, timeout: 240_000 });
  return stdout;
}

/** The code and message that a call fails with. */
export async function failure(call: Promise<unknown>): Promise<{ code: string; details: string }> {
  const error = (await call.then(
    () => {
      throw new Error("it did not fail");
    },
    (thrown: unknown) => thrown,
  )) as { code: number; details: string };
  return { code: status[error.code] ?? String(error), details: error.details };
}

/** Ends the connection of the mount: what the end of engine, plugin and keeper together looks like. */
export async function abortConnection(device: string): Promise<void> {
  const file = `/sys/fs/fuse/connections/${device.split(":")[1]}/abort`;
  await sh('[ -e "$1" ] || mount -t fusectl none /sys/fs/fuse/connections; echo 1 > "$1"', file);
}
