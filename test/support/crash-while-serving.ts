/** Serves the FUSE descriptor 3 and then ends as argv says, with reads of the device in flight: `throw` or `exit`. */
import { openKernelChannel } from "../../src/fuse/channel/device-channel.ts";
import { createBridge } from "../../src/fuse/engine/bridge.ts";
import { MemoryFileSystem } from "./memory-filesystem.ts";

const channel = await openKernelChannel({ fd: 3, passthrough: "no" });
setTimeout(() => {
  if (process.argv[2] === "throw") throw new Error("planted");
  process.exit(7);
}, 50);
await channel.serve(createBridge(new MemoryFileSystem()));
