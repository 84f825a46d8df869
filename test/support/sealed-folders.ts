/** Taking away folders in which the node plugin sealed directories. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setImmutable } from "#fuse/channel/immutable.ts";

/** Removes the folder and all in it. Nothing may be mounted below it. */
export async function removeSealed(dir: string): Promise<void> {
  await unsealAll(dir);
  await rm(dir, { recursive: true });
}

async function unsealAll(dir: string): Promise<void> {
  await setImmutable(dir, false);
  const entries = await readdir(dir, { withFileTypes: true });
  await Promise.all(entries.filter((entry) => entry.isDirectory()).map((entry) => unsealAll(join(dir, entry.name))));
}
