/** Serves a `MemoryFileSystem` on the directory given, through libfuse: node -C source serve-through-libfuse.ts DIR. Ends with the mount. */
import { openLibfuseChannel } from "../../src/fuse/channel/libfuse-channel.ts";
import { createBridge } from "../../src/fuse/engine/bridge.ts";
import { MemoryFileSystem } from "./memory-filesystem.ts";

const fs = new MemoryFileSystem({ ttlMs: 0, negativeTtlMs: 0 });
const channel = await openLibfuseChannel({ mountPoint: process.argv[2] ?? "", source: "memory", allowOther: true });
await channel.serve(createBridge(fs));
await fs.destroy();
// The library leaves a handle of its own in the event loop.
process.exit(0);
