/** One real mount on a server of its own, for suites that run other people's programs on it, and the running of those programs. */
import { spawn } from "node:child_process";
import { chmod } from "node:fs/promises";
import { dirname } from "node:path";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { outputOf } from "./child-output.ts";
import { hasCommand, type MountedBucket, mountOurs } from "./mounted-bucket.ts";
import { availableServers, type S3Server, type ServerKind, startServer } from "./s3-servers.ts";
import { createSdkClient } from "./sdk-client.ts";

/** versitygw, or the embedded s3rver where that is not installed; in a full run both. */
export function posixServers(): readonly ServerKind[] {
  const both = availableServers().filter((kind) => kind === "s3rver" || kind === "versitygw");
  return process.env["POSIX_FULL"] === "1" ? both : both.slice(-1);
}

export interface PosixMount {
  readonly server: S3Server;
  readonly bucket: string;
  /** The mount point; users other than root get to it too. */
  readonly path: string;
  /** Unmounts, and mounts the same bucket anew with nothing cached. */
  again(): Promise<PosixMount>;
  /** Unmounts and ends the server. */
  end(): Promise<void>;
}

/** Starts a server, makes `bucket` there and mounts it. */
export async function startPosixMount(kind: ServerKind, bucket: string, flags: readonly string[] = []): Promise<PosixMount> {
  const server = await startServer(kind);
  try {
    await makeBucket(server, bucket);
    return await mountAt(server, bucket, flags);
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function mountAt(server: S3Server, bucket: string, flags: readonly string[]): Promise<PosixMount> {
  const mounted: MountedBucket = await mountOurs(server, bucket, flags);
  await chmod(dirname(mounted.path), 0o711);
  return {
    server,
    bucket,
    path: mounted.path,
    again: async () => {
      await mounted.unmount();
      return mountAt(server, bucket, flags);
    },
    end: async () => {
      try {
        await mounted.unmount();
      } finally {
        await server.stop();
      }
    },
  };
}

export async function makeBucket(server: S3Server, bucket: string): Promise<void> {
  const client = createSdkClient(server);
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
}

/** The first of `commands` that is not on this machine; undefined when all are there. */
export function missingCommand(commands: readonly string[]): string | undefined {
  return commands.find((command) => !hasCommand(command));
}

/** What a program printed, both streams as they came. Rejects with all of it when the program ends with another code than `code`. */
export async function runProgram(
  [file = "", ...args]: readonly string[],
  { cwd, env = {}, code = 0 }: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv; readonly code?: number },
): Promise<string> {
  const child = spawn(file, args, { cwd, env: { ...process.env, LC_ALL: "C.UTF-8", ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const { code: ended, signal, said } = await outputOf(child);
  if (ended === code) return said;
  throw new Error(`${[file, ...args].join(" ").slice(0, 200)} ended with ${signal ?? ended}, not ${code}:\n${said.slice(-4000)}`);
}

/** A bash script that ends at its first failure. */
export function runScript(
  script: string,
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv; readonly code?: number },
): Promise<string> {
  return runProgram(["bash", "-euo", "pipefail", "-c", script], options);
}
