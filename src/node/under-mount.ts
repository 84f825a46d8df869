/**
 * The directory under a pod's mount. Nobody sees it while the mount is there. When the mount is missing (after a reboot, in a mount
 * namespace that it did not reach, between a dead mount and the next one), a container that was started all the same must not fill this
 * machine's disk and take it for its volume. So the directory is sealed before the mount goes on it: nobody can write into it, root
 * included.
 *
 * The seal is on the disk: a mount of something empty below the other one would be gone after the reboot, which is what it is for. It comes
 * off when the volume is unpublished, also where no mount is left; and some time after a start of the plugin for what the kubelet cannot
 * unpublish any more. Staging directories need none: no pod sees them, and what is published is always compared with the staged mount.
 */
import { chmod, lstat, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { within } from "./deadline.ts";
import type { SealingMounts } from "./kernel-mounts.ts";
import { type MountRow, readMounts, topMount } from "./mounts.ts";

type Seals = Pick<SealingMounts, "setImmutable">;

/** These are local directories. */
const LOCAL_MS = 10_000;
/** As target-path.ts makes them. */
const OPEN_MODE = 0o750;

/**
 * Keeps everybody from writing into the directory, on which nothing may be mounted: by the immutable attribute, or where the file system has
 * none by its mode, which does not keep root out. Throws when it is not there.
 */
export function seal(mounts: Seals, dir: string): Promise<void> {
  return within(
    LOCAL_MS,
    dir,
    (async () => {
      if (!(await mounts.setImmutable(dir, true))) await chmod(dir, 0);
    })(),
  );
}

/** Undoes `seal`. Anything but a directory that nothing is mounted on is left as it is, and so is one that was not sealed. */
export function unseal(mounts: Seals, dir: string): Promise<void> {
  return within(
    LOCAL_MS,
    dir,
    (async () => {
      if (topMount(await readMounts(), dir) !== undefined) return;
      const found = await lstat(dir).catch(() => undefined);
      if (!found?.isDirectory()) return;
      await mounts.setImmutable(dir, false);
      if ((found.mode & 0o777) === 0) await chmod(dir, OPEN_MODE);
    })(),
  );
}

/**
 * Takes the seal off targets that the kubelet will never unpublish: nothing is mounted there, and the file by which it knows the volume is
 * missing or damaged, as a loss of power leaves it. It then tries to remove the directories of a pod that is gone, which a seal would keep
 * it from for ever. Answers those targets.
 */
export async function unsealAbandoned(mounts: Seals, targets: readonly string[]): Promise<string[]> {
  const rows: readonly MountRow[] = await readMounts();
  const abandoned: string[] = [];
  for (const target of targets) {
    if (topMount(rows, target) !== undefined || (await isKnownToKubelet(target))) continue;
    await unseal(mounts, target);
    abandoned.push(target);
  }
  return abandoned;
}

/** kubernetes/pkg/volume/csi: beside the target it writes vol_data.json, from which it makes NodeUnpublishVolume after its own restart. */
async function isKnownToKubelet(target: string): Promise<boolean> {
  try {
    JSON.parse(await readFile(join(dirname(target), "vol_data.json"), "utf8"));
    return true;
  } catch {
    return false;
  }
}
