/** The file systems that are compared: how each mounts a bucket. All run in the foreground, as one child process. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { hasCommand, isMounted } from "../../support/mounted-bucket.ts";

export interface Place {
  readonly bucket: string;
  readonly mountPoint: string;
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** The peer's cache; emptied between phases. */
  readonly cache: string;
  /** For logs and key files. */
  readonly home: string;
}

interface Peer {
  /** Undefined: always there. */
  readonly needs?: { readonly command: string; readonly from: string };
  command(place: Place): readonly string[];
  /** It cannot rename or delete directories: its bucket is not complete after the write phase. */
  readonly limited?: boolean;
}

const MAIN = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));

function ours(place: Place, ...options: string[]): string[] {
  const flags = ["--endpoint", place.endpoint, "--cache-dir", place.cache, "--foreground", "-o", ["allow_other", ...options].join(",")];
  return [process.execPath, MAIN, "mount", `s3://${place.bucket}`, place.mountPoint, ...flags];
}

const MOUNT_S3 = {
  command: "mount-s3",
  from: "cargo build --release in test/bench/compare/mountpoint (needs clang, cmake and libfuse-dev)",
};

export const PEERS: Readonly<Record<string, Peer>> = {
  ours: { command: (place) => ours(place) },
  "ours-no-passthrough": { command: (place) => ours(place, "passthrough=no") },
  s3fs: {
    needs: { command: "s3fs", from: "apt-get install s3fs" },
    command: ({ bucket, mountPoint, endpoint, cache, home, accessKeyId, secretAccessKey }) => {
      const passwd = join(home, "passwd-s3fs");
      writeFileSync(passwd, `${accessKeyId}:${secretAccessKey}\n`, { mode: 0o600 });
      const options = `passwd_file=${passwd},url=${endpoint},use_path_request_style,use_cache=${cache},allow_other`;
      return ["s3fs", bucket, mountPoint, "-f", "-o", options];
    },
  },
  rclone: {
    needs: { command: "rclone", from: "go install github.com/rclone/rclone@v1.76.0" },
    command: ({ bucket, mountPoint, endpoint, cache }) => {
      const remote = `:s3,provider=Other,env_auth=true,force_path_style=true,endpoint='${endpoint}':${bucket}`;
      return ["rclone", "mount", remote, mountPoint, "--vfs-cache-mode", "full", "--cache-dir", cache, "--allow-other"];
    },
  },
  mountpoint: { needs: MOUNT_S3, limited: true, command: ({ bucket, mountPoint, endpoint }) => ["mount-s3", bucket, mountPoint, endpoint] },
  "mountpoint-cache": {
    needs: MOUNT_S3,
    limited: true,
    command: ({ bucket, mountPoint, endpoint, cache }) => ["mount-s3", bucket, mountPoint, endpoint, cache],
  },
};

/** Why a peer cannot run here, or undefined. */
export function whyMissing(name: string): string | undefined {
  const needs = PEERS[name]?.needs;
  return needs === undefined || hasCommand(needs.command) ? undefined : `${needs.command} is not installed: ${needs.from}`;
}

export interface Mounted {
  /** Most memory its processes ever held, MiB. */
  peakMiB(): number;
  /** Unmounts and waits for the end; what does not end within a minute is killed and reported as false. */
  unmount(): Promise<boolean>;
}

const MOUNT_MS = 30_000;
const END_MS = 60_000;

export async function mountPeer(name: string, place: Place): Promise<Mounted> {
  const peer = PEERS[name];
  if (peer === undefined) throw new Error(`no peer ${name}: ${Object.keys(PEERS).join(" ")}`);
  const [file = "", ...args] = peer.command(place);
  const log = join(place.home, `${name}.log`);
  const fd = openSync(log, "a");
  const env = {
    ...process.env,
    AWS_ACCESS_KEY_ID: place.accessKeyId,
    AWS_SECRET_ACCESS_KEY: place.secretAccessKey,
    AWS_REGION: "us-east-1",
  };
  const child = spawn(file, args, { env, stdio: ["ignore", fd, fd] });
  closeSync(fd);
  await waitFor(async () => ended(child) || (await isMounted(place.mountPoint)), MOUNT_MS);
  if (ended(child) || !(await isMounted(place.mountPoint))) {
    child.kill("SIGKILL");
    throw new Error(`${name} did not mount: ${readFileSync(log, "utf8").slice(-500)}`);
  }
  return { peakMiB: () => peakKiB(child.pid ?? 0) / 1024, unmount: () => unmount(child, place.mountPoint) };
}

function ended(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function unmount(child: ChildProcess, mountPoint: string): Promise<boolean> {
  const unmounted = () => spawnSync("umount", [mountPoint]).status === 0;
  if (!unmounted()) {
    await sleep(1000);
    if (!unmounted()) spawnSync("umount", ["-l", mountPoint]);
  }
  if (await waitFor(() => ended(child), END_MS)) return true;
  child.kill("SIGKILL");
  return false;
}

async function waitFor(done: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean> {
  const deadline = Date.now() + limitMs;
  while (!(await done())) {
    if (Date.now() > deadline) return false;
    await sleep(50);
  }
  return true;
}

/** VmHWM of a process and of all below it (proc(5)): our engine is a child of the command. */
function peakKiB(pid: number): number {
  const own = /VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  return children.map(Number).reduce((sum, child) => sum + peakKiB(child), Number(own));
}
