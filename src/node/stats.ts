/** NodeGetVolumeStats: what statfs(2) says of a published or staged volume. */
import { DriverError } from "#core/errors.ts";
import { askMount } from "./liveness.ts";
import type { VolumeUsage } from "./messages.ts";
import { isOurs, readMounts, topMount } from "./mounts.ts";
import type { StagedVolumes } from "./staged-volumes.ts";

/** The kubelet asks once a minute and waits for it. */
const STATS_MS = 5000;

/** Bytes and inodes. Faults: `not_found` when the volume is not mounted at the path, `timed_out` when its engine does not answer. */
export async function volumeUsage(staged: StagedVolumes, volumeId: string, path: string): Promise<readonly VolumeUsage[]> {
  const row = topMount(await readMounts(), path);
  if (row === undefined || !isOurs(row) || row.device !== (await staged.deviceOf(volumeId))) {
    throw new DriverError("not_found", `volume ${volumeId} is not mounted on "${path}"`);
  }
  const { bsize, blocks, bfree, bavail, files, ffree } = await askMount(path, STATS_MS);
  return [
    { unit: "BYTES", total: blocks * bsize, used: (blocks - bfree) * bsize, available: bavail * bsize },
    { unit: "INODES", total: files, used: files - ffree, available: ffree },
  ];
}
