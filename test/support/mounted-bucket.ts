/** A bucket mounted on a temporary folder: by us, as a user would from the command line, or by Debian's s3fs. */
import { spawn, spawnSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { processesOf } from "../../scripts/demo/program.ts";
import type { S3Server } from "./s3-servers.ts";

export interface MountedBucket {
  readonly path: string;
  /** Unmounts, waits until every process of the mount has ended, and removes the folders. Rejects when one does not end. */
  unmount(): Promise<void>;
}

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const MOUNT_MS = 60_000;
const END_MS = 60_000;

/** True when `command` can be run here. */
export function hasCommand(command: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;
}

/** Runs the command line from source; its exit code and what it printed. Keys go by environment, as everywhere. */
export function bucketmount(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ["-C", "source", MAIN, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  // The exit, not the close of the pipes: a process that stays in the background may hold them.
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve({ code, stdout, stderr }));
  });
}

/** `bucketmount mount s3://BUCKET DIR`, which returns when the mount answers. */
export async function mountOurs(server: S3Server, bucket: string, flags: readonly string[] = []): Promise<MountedBucket> {
  const home = await mkdtemp(join(tmpdir(), "bucketmount-mounted-"));
  const path = join(home, "mnt");
  await mkdir(path);
  const env = { AWS_ACCESS_KEY_ID: server.accessKeyId, AWS_SECRET_ACCESS_KEY: server.secretAccessKey, BUCKETMOUNT_CLUSTER: home };
  const where = ["--endpoint", server.endpoint, "--region", server.region, "--cache-dir", join(home, "cache")];
  const { code, stderr } = await bucketmount(["mount", `s3://${bucket}`, path, ...where, "-o", "allow_other", ...flags], env);
  if (code !== 0) {
    await rm(home, { recursive: true, force: true });
    throw new Error(`mount ended with exit code ${code}: ${stderr}`);
  }
  return {
    path,
    unmount: async () => {
      const { code: ended, stderr: said } = await bucketmount(["umount", path]);
      if (ended !== 0) throw new Error(`umount ended with exit code ${ended}: ${said}`);
      await until(
        () => processesOf(home).length === 0,
        END_MS,
        () => `after umount these processes live on: ${processesOf(home)}`,
      );
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** `s3fs BUCKET DIR` in the foreground, without its cache. */
export async function mountS3fs(server: S3Server, bucket: string, options: readonly string[] = []): Promise<MountedBucket> {
  return mountPeer("s3fs", async (home, path) => {
    const passwd = join(home, "passwd");
    await writeFile(passwd, `${server.accessKeyId}:${server.secretAccessKey}\n`);
    await chmod(passwd, 0o600);
    const all = [`passwd_file=${passwd}`, `url=${server.endpoint}`, "use_path_request_style", "allow_other", ...options].join(",");
    return { command: ["s3fs", bucket, path, "-f", "-o", all] };
  });
}

/** How rclone is told of a server: keys by environment. */
export function rcloneEnvironment({ endpoint, region, accessKeyId, secretAccessKey }: S3Server): NodeJS.ProcessEnv {
  return {
    ...process.env,
    ...{ RCLONE_CONFIG: "/dev/null", RCLONE_S3_PROVIDER: "Other", RCLONE_S3_ENDPOINT: endpoint, RCLONE_S3_REGION: region },
    ...{ RCLONE_S3_ACCESS_KEY_ID: accessKeyId, RCLONE_S3_SECRET_ACCESS_KEY: secretAccessKey, RCLONE_S3_DIRECTORY_MARKERS: "true" },
  };
}

/** `rclone mount` in the foreground with its full cache, symbolic links and directory markers; unmounts when all is uploaded. */
export async function mountRclone(server: S3Server, bucket: string): Promise<MountedBucket> {
  let control = "";
  const mounted = await mountPeer("rclone", async (home, path) => {
    control = join(home, "control");
    const flags = ["--vfs-cache-mode=full", "--vfs-write-back=0s", "--vfs-links", "--allow-other", `--cache-dir=${join(home, "cache")}`];
    const remote = ["--rc", "--rc-no-auth", `--rc-addr=unix://${control}`];
    return { command: ["rclone", "mount", `:s3:${bucket}`, path, ...flags, ...remote], env: rcloneEnvironment(server) };
  });
  const pending = () => {
    const { stdout } = spawnSync("rclone", ["rc", "--unix-socket", control, "vfs/stats"], { encoding: "utf8" });
    const { diskCache } = JSON.parse(stdout) as { diskCache: { uploadsInProgress: number; uploadsQueued: number } };
    return diskCache.uploadsInProgress + diskCache.uploadsQueued;
  };
  return {
    path: mounted.path,
    unmount: async () => {
      await until(
        () => pending() === 0,
        END_MS,
        () => "rclone goes on uploading",
      );
      await mounted.unmount();
    },
  };
}

interface PeerCommand {
  readonly command: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Another file system's program in the foreground, mounting on `path` in the folder `home`, which goes with the mount. */
async function mountPeer(peer: string, prepare: (home: string, path: string) => Promise<PeerCommand>): Promise<MountedBucket> {
  const home = await mkdtemp(join(tmpdir(), `bucketmount-${peer}-`));
  const path = join(home, "mnt");
  await mkdir(path);
  const { command, env } = await prepare(home, path);
  const [file = "", ...args] = command;
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], ...(env === undefined ? {} : { env }) });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-2000);
    });
  }
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  await until(
    async () => ended() || (await isMounted(path)),
    MOUNT_MS,
    () => `${peer} did not mount: ${said}`,
  );
  if (ended()) throw new Error(`${peer} ended at once: ${said}`);
  return {
    path,
    unmount: async () => {
      const { status, stderr } = spawnSync("umount", [path], { encoding: "utf8" });
      if (status !== 0) throw new Error(`umount of ${peer}: ${stderr}`);
      await until(ended, END_MS, () => `${peer} lives on after umount`);
      await rm(home, { recursive: true, force: true });
    },
  };
}

export async function isMounted(path: string): Promise<boolean> {
  return (await readFile("/proc/self/mountinfo", "utf8")).includes(` ${path} `);
}

async function until(done: () => boolean | Promise<boolean>, limitMs: number, problem: () => string): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error(problem());
    await sleep(50);
  }
}
