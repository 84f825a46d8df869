/** Where a mount keeps its state, and how much content it may keep there. */
import { createHash } from "node:crypto";
import { statfs } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** For root the system's place, so that fstab mounts (no HOME) and later ones by hand share their caches. */
export function defaultCacheDir(uid: number, env: NodeJS.ProcessEnv, home: string = homedir()): string {
  if (uid === 0) return "/var/cache/bucketmount";
  return join(env["XDG_CACHE_HOME"] || join(home, ".cache"), "bucketmount");
}

export interface MountIdentity {
  readonly endpoint?: string | undefined;
  readonly bucket: string;
  readonly prefix: string;
  /** Without symbolic links. */
  readonly mountPoint: string;
}

/** 16 hex digits: the same mount has the same state folder and finds what an earlier run left there. */
export function mountId({ endpoint = "", bucket, prefix, mountPoint }: MountIdentity): string {
  return createHash("sha256")
    .update(JSON.stringify([endpoint, bucket, prefix, mountPoint]))
    .digest("hex")
    .slice(0, 16);
}

/** 20 GiB: holds a busy CI cache, and surprises nobody on a laptop. */
const MOST_BYTES = 20 * 2 ** 30;

/** 20 GiB, at most half of what is free where the folder is or will be. */
export async function defaultCacheSize(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" || dirname(dir) === dir) throw error;
    return { bavail: (await defaultCacheSize(dirname(dir))) * 2, bsize: 1 };
  });
  return Math.min(MOST_BYTES, Math.floor((bavail * bsize) / 2));
}
