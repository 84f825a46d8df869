/**
 * Serves a `MemoryFileSystem` on the FUSE descriptor 3: node -C source serve-memory-filesystem.ts, with IPC.
 * First message in: `ServeConfig`, then `ServeRequest`s. Messages out: {init: base64, features} when the mount works, {calls} when asked.
 * Exit code 0 when the mount is gone.
 */
import { fstatSync, openSync } from "node:fs";
import { type NodeId, ROOT_NODE } from "../../src/core/brand.ts";
import type { KernelChannel, KernelFeatures } from "../../src/fuse/channel/channel.ts";
import { openKernelChannel } from "../../src/fuse/channel/device-channel.ts";
import { createBridge } from "../../src/fuse/engine/bridge.ts";
import { MemoryFileSystem, type MemoryFileSystemOptions } from "./memory-filesystem.ts";

export interface ServeConfig extends Pick<MemoryFileSystemOptions, "ttlMs" | "negativeTtlMs" | "plainEntries"> {
  /** Files of patternBytes: name, size, delay of each read in milliseconds. */
  readonly patterns: readonly (readonly [name: string, size: number, delayMs: number])[];
  /** A local file to serve by passthrough as `backed`. */
  readonly backing?: string;
  /** The backing id that a predecessor used for it. */
  readonly backingId?: number;
  /** The predecessor's init reply, base64. */
  readonly resume?: string;
}

export type ServeRequest =
  | { readonly do: "calls" }
  | { readonly do: "resize"; readonly name: string; readonly size: number; readonly notify: boolean }
  | { readonly do: "remove"; readonly name: string; readonly notify: boolean };

export type ServeReport =
  | { readonly init: string; readonly features: KernelFeatures }
  | { readonly calls: Readonly<Record<string, number>>; readonly rssBytes: number }
  | { readonly backingId: number };

const FUSE_FD = 3;

function report(message: ServeReport): void {
  process.send?.(message);
}

/** As when another client of the bucket changed something: the kernel does not know, unless it is told. */
async function changeBehindTheKernel(
  fs: MemoryFileSystem,
  channel: KernelChannel,
  request: Exclude<ServeRequest, { do: "calls" }>,
): Promise<void> {
  const { node } = await fs.lookup(ROOT_NODE, request.name);
  if (request.do === "resize") await fs.setattr(node as NodeId, { size: request.size });
  else await fs.unlink(ROOT_NODE, request.name);
  if (request.notify && request.do === "resize") channel.invalidateNode(node, 0, 0);
  else if (request.notify) channel.invalidateEntry(ROOT_NODE, request.name);
}

async function serve(config: ServeConfig): Promise<void> {
  const backingFd = config.backing === undefined ? undefined : openSync(config.backing, "r+");
  const channel = await openKernelChannel({
    fd: FUSE_FD,
    passthrough: "auto",
    ...(config.resume === undefined ? {} : { resume: Buffer.from(config.resume, "base64") }),
    ...(backingFd === undefined ? {} : { trialFd: backingFd }),
  });
  let { backingId } = config;
  const backing = (fd: number): number | undefined => {
    if (backingId !== undefined) return backingId;
    backingId = channel.registerBacking(fd);
    if (backingId !== undefined) report({ backingId });
    return backingId;
  };
  const fs = new MemoryFileSystem({ ...config, backingId: backing });
  for (const [name, size, delayMs] of config.patterns) fs.addPattern(name, size, delayMs);
  if (backingFd !== undefined) fs.addBacked("backed", fstatSync(backingFd).size, backingFd);
  process.on("message", (request: ServeRequest) => {
    if (request.do === "calls") report({ calls: fs.calls, rssBytes: process.memoryUsage.rss() });
    else void changeBehindTheKernel(fs, channel, request);
  });
  report({ init: Buffer.from(channel.init).toString("base64"), features: channel.features });
  await channel.serve(createBridge(fs));
  await fs.destroy();
  process.disconnect();
}

process.once("message", (config: ServeConfig) => {
  serve(config).catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
    process.disconnect();
  });
});
