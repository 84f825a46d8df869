/**
 * A cluster on one machine: the embedded S3 server, the controller and node plugins as real processes on Unix sockets, and the calls
 * that Kubernetes makes for a claim used by pods. The demo and the Maven example are built of it.
 */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type S3Server, type ServerKind, startServer } from "../../test/support/s3-servers.ts";
import { removeSealed } from "../../test/support/sealed-folders.ts";
import { type CsiClient, type CsiService, connect, READY_MS } from "./csi-client.ts";
import { mountsUnder } from "./mounts.ts";
import { type Program, processesOf, startProgram } from "./program.ts";

export interface Volume {
  readonly volumeId: string;
  readonly volumeContext: Readonly<Record<string, string>>;
}

/** One node plugin, with a state folder (and so a cache) of its own. The calls are kubelet's. */
export interface ClusterNode {
  stage(volume: Volume): Promise<void>;
  unstage(volume: Volume): Promise<void>;
  /** Bind-mounts the staged volume for one pod; answers the path that the pod would see. */
  publish(volume: Volume, pod: string): Promise<string>;
  unpublish(volume: Volume, pod: string): Promise<void>;
}

export interface Cluster {
  /** Everything of this cluster lives below this folder. */
  readonly dir: string;
  readonly s3: S3Server;
  createVolume(name: string): Promise<Volume>;
  deleteVolume(volume: Volume): Promise<void>;
  addNode(name: string): Promise<ClusterNode>;
  /** The socket of "controller", or of a node by its name. */
  socket(name: string): string;
  /** What is still mounted or running for this cluster, one line each. */
  leftovers(): string[];
  /** Ends the processes. What is still mounted stays mounted, and is named by `leftovers`. */
  stop(): Promise<void>;
  /** Stops, takes away whatever is left, by force if need be, and removes the folder. May be called after `stop`. */
  destroy(): Promise<void>;
}

/** A claim for many pods on many nodes, to write. */
const CAPABILITY = { mount: { fsType: "", mountFlags: [] }, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } };

/** The plugins of one cluster: all are started the same way, and ended together. */
class Plugins {
  readonly #dir: string;
  readonly #s3: S3Server;
  readonly #programs: Program[] = [];
  readonly #clients: CsiClient[] = [];

  constructor(dir: string, s3: S3Server) {
    this.#dir = dir;
    this.#s3 = s3;
  }

  /** Starts one and waits until it answers. One that ends before is an error with the end of its log. */
  async start(name: string, service: CsiService, args: readonly string[]): Promise<CsiClient> {
    const socket = socketOf(this.#dir, name);
    const program = startProgram({
      name,
      dir: this.#dir,
      env: { ...process.env, ...environment(this.#s3) },
      args: [...args, "--endpoint", `unix://${socket}`, "--s3-endpoint", this.#s3.endpoint],
    });
    this.#programs.push(program);
    const client = connect(service, socket);
    this.#clients.push(client);
    await Promise.race([client.ready(READY_MS), endedEarly(program)]);
    return client;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    await Promise.all(this.#programs.map((program) => program.stop()));
  }
}

function socketOf(dir: string, name: string): string {
  return join(dir, `${name}.sock`);
}

function environment(s3: S3Server): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_REGION: s3.region,
    AWS_EC2_METADATA_DISABLED: "true",
  };
}

async function endedEarly({ name, exited, logFile }: Program): Promise<never> {
  const code = await exited;
  const log = await readFile(logFile, "utf8").catch(() => "");
  throw new Error(`the process of ${name} ended with exit code ${code}:\n${log.trim().split("\n").slice(-5).join("\n")}`);
}

/** Starts S3 and the controller; nodes are added afterwards. */
export async function startCluster(kind: ServerKind = "s3rver"): Promise<Cluster> {
  const dir = await mkdtemp(join(tmpdir(), "bucketmount-cluster-"));
  const s3 = await startServer(kind);
  const plugins = new Plugins(dir, s3);
  const destroy = async () => {
    await plugins.stop();
    for (const path of mountsUnder(dir).toReversed()) spawnSync("umount", ["-l", path]);
    for (const pid of processesOf(dir)) process.kill(pid, "SIGKILL");
    await s3.stop();
    await removeSealed(dir);
  };
  const controller = await plugins.start("controller", "csi.v1.Controller", ["controller"]).catch(async (error: unknown) => {
    await destroy();
    throw error;
  });
  return {
    dir,
    s3,
    ...controllerCalls(controller),
    addNode: (name) => addNode(plugins, dir, name),
    socket: (name) => socketOf(dir, name),
    leftovers: () => [...mountsUnder(dir).map((path) => `mount ${path}`), ...processesOf(dir).map((pid) => `process ${pid}`)],
    stop: async () => {
      await plugins.stop();
      await s3.stop();
    },
    destroy,
  };
}

/** The calls of external-provisioner. */
function controllerCalls(controller: CsiClient): Pick<Cluster, "createVolume" | "deleteVolume"> {
  return {
    createVolume: async (name) => {
      const reply = await controller.call<{ volume: Volume }>("createVolume", { name, volumeCapabilities: [CAPABILITY] });
      return reply.volume;
    },
    deleteVolume: async ({ volumeId }) => {
      await controller.call("deleteVolume", { volumeId });
    },
  };
}

/** The calls of kubelet. The folders that kubelet makes are made here. */
async function addNode(plugins: Plugins, dir: string, name: string): Promise<ClusterNode> {
  const home = join(dir, name);
  await mkdir(join(home, "registry"), { recursive: true });
  const flags = ["--node-id", name, "--registration-dir", join(home, "registry"), "--state-dir", join(home, "state")];
  const node = await plugins.start(name, "csi.v1.Node", ["node", ...flags]);
  const staging = (volume: Volume) => join(home, "staging", volume.volumeId.replaceAll("/", "_"), "globalmount");
  const target = (pod: string) => join(home, "pods", pod, "mount");
  const about = (volume: Volume) => ({ ...volume, volumeCapability: CAPABILITY, stagingTargetPath: staging(volume) });
  return {
    stage: async (volume) => {
      await mkdir(staging(volume), { recursive: true });
      await node.call("nodeStageVolume", about(volume));
    },
    unstage: async (volume) => {
      await node.call("nodeUnstageVolume", { volumeId: volume.volumeId, stagingTargetPath: staging(volume) });
    },
    publish: async (volume, pod) => {
      await mkdir(join(home, "pods", pod), { recursive: true });
      await node.call("nodePublishVolume", { ...about(volume), targetPath: target(pod) });
      return target(pod);
    },
    unpublish: async (volume, pod) => {
      await node.call("nodeUnpublishVolume", { volumeId: volume.volumeId, targetPath: target(pod) });
    },
  };
}
