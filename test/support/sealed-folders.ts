/** Taking away folders in which the node plugin sealed directories: those of pods that had a volume to the end. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setImmutable } from "#fuse/channel/immutable.ts";

/** Removes the folder and all in it. Nothing may be mounted below it. */
export async function removeSealed(dir: string): Promise<void> {
  await unsealBelow(dir);
  await rm(dir, { recursive: true, force: true });
}

/** Takes the seals off all directories in the folder, which need not be there. */
export async function unsealBelow(dir: string): Promise<void> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  await setImmutable(dir, false).catch(() => false);
  await Promise.all(entries.filter((entry) => entry.isDirectory()).map((entry) => unsealBelow(join(dir, entry.name))));
}
