// A pod's process: copies a tree into a volume, or compares one with it: node pod.ts copy|compare SOURCE VOLUME_PATH
//
// Its own process, as a pod is: file calls on a mount hold threads, and the process that serves CSI calls must never wait for a mount.
// It reports to its parent over Node's IPC channel.
import { compareTree, contentBytes, copyTree, type Entry, listTree } from "./tree.ts";

export type PodReport =
  | { readonly type: "total"; readonly entries: number; readonly bytes: number }
  | { readonly type: "progress"; readonly entries: number; readonly bytes: number }
  | { readonly type: "done"; readonly differences: readonly string[] };

/** Files in flight: a close waits until its object is in the bucket. */
const WIDTH = 16;
const REPORT_MS = 100;

function report(message: PodReport): void {
  process.send?.(message);
}

function totals(entries: readonly Entry[]): { entries: number; bytes: number } {
  return { entries: entries.length, bytes: entries.reduce((sum, { stats }) => sum + contentBytes(stats), 0) };
}

async function main([action, source = "", volume = ""]: readonly string[]): Promise<void> {
  const entries = await listTree(source);
  report({ type: "total", ...totals(entries) });
  let done = 0;
  let bytes = 0;
  const timer = setInterval(() => report({ type: "progress", entries: done, bytes }), REPORT_MS);
  const progress = (more: number) => {
    done += 1;
    bytes += more;
  };
  try {
    const differences = action === "compare" ? await compareTree(source, volume, entries, WIDTH, progress) : [];
    if (action === "copy") await copyTree(source, volume, entries, WIDTH, progress);
    report({ type: "done", differences });
  } finally {
    clearInterval(timer);
    process.disconnect?.();
  }
}

await main(process.argv.slice(2));
