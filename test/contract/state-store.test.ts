import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStateStore } from "#fuse/journal/open-state-store.ts";
import { createMemoryMedium, createMemoryStateStore } from "../support/memory-state-store.ts";
import { stateStoreContract } from "./state-store.ts";

stateStoreContract("memory", () => {
  const medium = createMemoryMedium();
  return { open: () => createMemoryStateStore(medium), dispose: () => {} };
});

/** `checkpointFromBytes` is small in the second run, so that checkpoints are going on all the time. */
for (const checkpointFromBytes of [8 << 20, 256]) {
  stateStoreContract(`journal with checkpoints from ${checkpointFromBytes} bytes on`, () => {
    const dir = mkdtempSync(join(tmpdir(), "state-store-"));
    return {
      open: () => openStateStore({ dir, checkpointFromBytes, checkpointSliceBytes: 100 }),
      dispose: () => rmSync(dir, { recursive: true }),
    };
  });
}
