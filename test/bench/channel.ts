/**
 * What the kernel channel costs: node -C source test/bench/channel.ts [SECONDS [TIMES]]. Needs root, /dev/fuse and python3.
 *
 * The file system is in memory, so what is measured is the kernel's FUSE, the request loop, decode, bridge and encode.
 *
 * On a quiet 2-core machine, Linux 6.18, Node 26 (each figure +-15 %), one and four processes: 10.7 k and 44 k lookups/s, 9 k and 42 k
 * writes of 4 KiB, 1.0 and 1.3 GB/s written, 1.3 and 2.0 GB/s read cold. With what was there before, four reads that blocked threads of
 * libuv's pool: 7.9 k and 26 k, 8 k and 30 k, 1.0 and 1.45 GB/s, 1.2 and 1.6 GB/s. What the main thread copies costs four writers a tenth
 * of a rate that no bucket takes; each wake-up of a thread costs every request. A worker with blocking reads into shared memory had fewer
 * lookups than four threads, and slower writes and reads.
 *
 * Lookups are stat(2) of names that are not there, uncached; the reads are cold (each open drops the cached pages).
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { mountEntries, setReadAhead } from "../../src/fuse/channel/mount.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { type MemoryMount, mountMemory } from "../support/memory-mount.ts";

const run = promisify(execFile);

/** argv: directory, seconds, what, processes. Prints operations (or MiB) per second over all processes. */
const CLIENT = `
import os, sys, time, multiprocessing
d, seconds, what, processes = sys.argv[1], float(sys.argv[2]), sys.argv[3], int(sys.argv[4])
MIB = 1 << 20
SIZE = 128 * MIB
def lookups(k, end):
    n = 0
    while time.monotonic() < end:
        for _ in range(100):
            try: os.stat(d + "/missing%d" % k)
            except FileNotFoundError: pass
            n += 1
    return n
def reads(k, end):
    n = 0
    while time.monotonic() < end:
        f = os.open(d + "/big%d" % k, os.O_RDONLY)
        while True:
            b = os.read(f, MIB)
            if not b: break
            n += len(b) / MIB
        os.close(f)
    return n
def writes(k, end):
    n = 0; b = b"x" * MIB
    f = os.open(d + "/big%d" % k, os.O_CREAT | os.O_WRONLY)
    while time.monotonic() < end:
        for i in range(SIZE // MIB): os.pwrite(f, b, i * MIB); n += 1
    os.close(f)
    return n
def small(k, end):
    n = 0; b = b"x" * 4096
    f = os.open(d + "/small%d" % k, os.O_CREAT | os.O_WRONLY)
    while time.monotonic() < end:
        for i in range(100): os.pwrite(f, b, i * 4096); n += 1
    os.close(f)
    return n
def work(k):
    start = time.monotonic()
    n = globals()[what](k, start + seconds)
    return n / (time.monotonic() - start)
with multiprocessing.Pool(processes) as pool: print(sum(pool.map(work, range(processes))))
`;

async function measure(mount: MemoryMount, seconds: number, what: string, processes: number): Promise<number> {
  const { stdout } = await run("python3", ["-c", CLIENT, mount.dir, String(seconds), what, String(processes)]);
  return Math.round(Number(stdout));
}

async function row(seconds: number): Promise<Record<string, number>> {
  await using mount = await mountMemory({ patterns: [], ttlMs: 1000, negativeTtlMs: 0 });
  const result: Record<string, number> = {};
  for (const processes of [1, 4]) result[`lookups/s x${processes}`] = await measure(mount, seconds, "lookups", processes);
  for (const processes of [1, 4]) result[`4 KiB writes/s x${processes}`] = await measure(mount, seconds, "small", processes);
  for (const processes of [1, 4]) result[`write MiB/s x${processes}`] = await measure(mount, seconds, "writes", processes);
  for (const processes of [1, 4]) result[`read MiB/s x${processes}`] = await measure(mount, seconds, "reads", processes);
  setReadAhead(mountEntries().find((entry) => entry.mountPoint === mount.dir)!, 8 << 20);
  result["read MiB/s x1, 8 MiB ahead"] = await measure(mount, seconds, "reads", 1);
  result["server RSS MiB"] = Math.round((await mount.calls()).rssBytes / 2 ** 20);
  return result;
}

if (!skipMounts("the channel's benchmark")) {
  const [seconds = "1", times = "3"] = process.argv.slice(2);
  for (let left = Number(times); left > 0; left--) console.log(JSON.stringify(await row(Number(seconds))));
}
