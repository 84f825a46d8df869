// open(2) on the mount gives what it gives on ext4: every combination of flags on every kind of target, run on both, side by side.
import { statfsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { missingCommand, type PosixMount, posixServers, runProgram, startPosixMount } from "../support/posix-mount.ts";

const PROGRAM = join(import.meta.dirname, "programs/open-flags.py");
/** A minute on a quiet machine. */
const LIMIT_MS = 900_000;
/** Shown of the cases that differ and should not. */
const SHOWN = 40;

/** <linux/magic.h> */
const [EXT4_MAGIC, FUSE_MAGIC] = [0xef53, 0x65735546];

/** Where there is ext4: a tmpfs or an overlay is no measure. */
const ext4 = [tmpdir(), "/var/tmp", homedir(), import.meta.dirname].find((folder) => statfsSync(folder).type === EXT4_MAGIC);
const missing = missingCommand(["python3"]) ?? (ext4 === undefined ? "ext4" : undefined);
if (missing !== undefined) console.warn(`SKIPPED open flags: no ${missing} on this machine`);

/** From "FLAGS, tab, KIND" to what came of it. */
type Cases = ReadonlyMap<string, string>;

async function run(folder: string): Promise<Cases> {
  const lines = (await runProgram(["python3", PROGRAM, folder], { cwd: "/" })).trimEnd().split("\n");
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf("\t")), line.slice(line.lastIndexOf("\t") + 1)]));
}

describe.skipIf(missing !== undefined || skipMounts("open flags")).each(posixServers())("open(2) on a mount of a bucket of %s", (kind) => {
  let mounted: PosixMount;
  let local: string;

  beforeAll(async () => {
    mounted = await startPosixMount(kind, "open-flags");
    local = await mkdtemp(join(ext4 ?? "", "open-flags-"));
    await mkdir(join(mounted.path, "cases"));
  });
  afterAll(async () => {
    await mounted?.end();
    await rm(local, { recursive: true, force: true });
  });

  const test = "does what it does on ext4 with every combination of flags and every kind of target";
  it(test, { timeout: LIMIT_MS }, async () => {
    expect(statfsSync(mounted.path).type).toBe(FUSE_MAGIC);
    const [expected, found] = await Promise.all([run(local), run(join(mounted.path, "cases"))]);
    const differing = [...expected].filter(([name, result]) => found.get(name) !== result);
    console.log(`open flags on ${kind}: ${expected.size} cases, ${differing.length} differ from ext4`);
    const shown = differing.slice(0, SHOWN).map(([name, result]) => `${name}\n  ext4:  ${result}\n  mount: ${found.get(name)}`);
    expect(shown.join("\n"), `${differing.length} cases differ`).toBe("");
    expect(found.size).toBe(expected.size);
    expect(expected.size).toBeGreaterThan(25_000);
  });
});
