/**
 * Serves a `MemoryFileSystem` on the FUSE descriptor 3: node -C source serve-memory-filesystem.ts, with IPC.
 * First message in: `ServeConfig`. Messages out: {init: base64, features} when the mount works, {calls} on "calls".
 * Exit code 0 when the mount is gone.
 */
import { fstatSync, openSync } from "node:fs";
import type { KernelFeatures } from "../../src/fuse/channel/channel.ts";
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
  readonly readers?: number;
}

export type ServeReport =
  | { readonly init: string; readonly features: KernelFeatures }
  | { readonly calls: Readonly<Record<string, number>>; readonly rssBytes: number }
  | { readonly backingId: number };

const FUSE_FD = 3;

function report(message: ServeReport): void {
  process.send?.(message);
}

async function serve(config: ServeConfig): Promise<void> {
  const backingFd = config.backing === undefined ? undefined : openSync(config.backing, "r+");
  const channel = await openKernelChannel({
    fd: FUSE_FD,
    passthrough: "auto",
    ...(config.resume === undefined ? {} : { resume: Buffer.from(config.resume, "base64") }),
    ...(backingFd === undefined ? {} : { trialFd: backingFd }),
    ...(config.readers === undefined ? {} : { readers: config.readers }),
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
  process.on("message", () => report({ calls: fs.calls, rssBytes: process.memoryUsage.rss() }));
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
