/**
 * Two processes make the same random system calls on a mount and in a directory of ext4, step by step: every result is compared, and
 * at the end the trees, what another host sees of it, and the bucket. What fails is shrunk (fuzzing.ts).
 */
import { statfsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import type { S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { type MountedBucket, mountOurs } from "../support/mounted-bucket.ts";
import { missingCommand, type PosixMount, posixServers, startPosixMount } from "../support/posix-mount.ts";
import { createSdkClient } from "../support/sdk-client.ts";
import { bucketContent } from "./bucket-content.ts";
import { inBytes, type Run, run, shownRun, shownStep } from "./fuzz-steps.ts";
import { FULL, FUZZ_MS, fuzz, runsOf, SEED } from "./fuzzing.ts";
import { type Answer, ObeyingProcess, type Told } from "./obeying-process.ts";

/** <linux/magic.h> */
const [EXT4_MAGIC, FUSE_MAGIC] = [0xef53, 0x65735546];
const RUNS = runsOf(30, 400);
/** Runs whose trees are left to be seen after the unmount; in one directory they would be too many to be listed. */
const KEPT = 10;

const ext4 = [tmpdir(), "/var/tmp", homedir(), import.meta.dirname].find((folder) => statfsSync(folder).type === EXT4_MAGIC);
const missing = missingCommand(["python3"]) ?? (ext4 === undefined ? "ext4" : undefined);
if (missing !== undefined) console.warn(`SKIPPED the fuzzer: no ${missing} on this machine`);

/** What stands in the directory, and is open, before the first step. */
function beginning(unit: number): readonly (readonly [0 | 1, Told])[] {
  const size = 20 * unit;
  return [
    [0, { do: "mkdir", path: "d", mode: 0o777 }],
    [0, { do: "writeFile", path: "a", size, letter: "1" }],
    [0, { do: "writeFile", path: "d/a", size, letter: "2" }],
    [0, { do: "chmod", path: "a", mode: 0o666 }],
    [0, { do: "symlink", path: "c", to: "a" }],
    [0, { do: "open", slot: 0, path: "a", flags: ["O_RDWR"] }],
    [1, { do: "open", slot: 0, path: "d/a", flags: ["O_RDWR"] }],
    [1, { do: "open", slot: 1, path: "a", flags: ["O_RDONLY"] }],
  ];
}

/** The first and the last stand for all in a short run. */
const OPTIONS = [
  "durability=remote",
  "durability=local",
  "durability=remote,passthrough=no,metadata_ttl=0",
  "durability=local,passthrough=no,metadata_ttl=0",
].filter((_, index, { length }) => FULL || index === 0 || index === length - 1);
const mounts = posixServers().flatMap((kind) => OPTIONS.map((options) => [kind, options] as const));

type Pair = readonly [ObeyingProcess, ObeyingProcess];
type Tree = Readonly<Record<string, string>>;

function lines({ result, seen = [] }: Answer): string {
  return [result, ...seen].join("\n       ");
}

class Comparison implements AsyncDisposable {
  readonly #mounted: PosixMount;
  readonly #elsewhere: MountedBucket;
  readonly #local: string;
  readonly #client: S3Client;
  readonly #onMount: Pair = [new ObeyingProcess(), new ObeyingProcess()];
  readonly #onDisk: Pair = [new ObeyingProcess(), new ObeyingProcess()];
  readonly #otherHost = new ObeyingProcess();
  readonly #kept: { name: string; tree: Tree }[] = [];
  #runs = 0;

  constructor(mounted: PosixMount, elsewhere: MountedBucket, local: string) {
    this.#mounted = mounted;
    this.#elsewhere = elsewhere;
    this.#local = local;
    this.#client = createSdkClient(mounted.server);
  }

  get kept(): readonly { name: string; tree: Tree }[] {
    return this.#kept;
  }

  async check(given: Run): Promise<void> {
    const name = `run-${++this.#runs}`;
    const roots = [join(this.#mounted.path, name), join(this.#local, name)] as const;
    for (const root of roots) {
      await mkdir(root);
      await chmod(root, 0o777);
    }
    try {
      await this.#enter(roots, given);
      await this.#take(given);
      await this.#leave();
      this.#kept.push({ name, tree: await this.#compareTrees(roots, name) });
    } catch (error) {
      await this.#leave().catch(() => undefined);
      await this.#remove(name);
      throw error;
    }
    const old = this.#kept.length > KEPT ? this.#kept.shift() : undefined;
    if (old !== undefined) await this.#remove(old.name);
  }

  async #enter([mount, disk]: readonly [string, string], { users, unit }: Run): Promise<void> {
    for (const at of [0, 1] as const) {
      await Promise.all([this.#onMount[at].enter(mount, users[at]), this.#onDisk[at].enter(disk, users[at])]);
    }
    for (const [at, words] of beginning(unit)) await this.#ask(at, words, JSON.stringify(words));
  }

  async #take(given: Run): Promise<void> {
    for (const [index, step] of given.steps.entries()) {
      const words = inBytes(step, index, given);
      await this.#ask(step.process, words, `step ${index + 1}, ${shownStep(step, index, given)}`);
    }
  }

  async #ask(at: 0 | 1, words: Told, what: string): Promise<void> {
    const [found, expected] = await Promise.all([this.#onMount[at].ask(words), this.#onDisk[at].ask(words)]);
    if (lines(found) !== lines(expected)) throw new Error(`${what}\nmount: ${lines(found)}\next4:  ${lines(expected)}`);
  }

  async #leave(): Promise<void> {
    for (const at of [0, 1] as const) {
      const [found, expected] = await Promise.all([this.#onMount[at].leave(), this.#onDisk[at].leave()]);
      expect(found, `the closes of P${at} at the end`).toBe(expected);
    }
  }

  /** All that ext4 has must be on the mount, on another host and in the bucket, and nothing else. */
  async #compareTrees([mount, disk]: readonly [string, string], name: string): Promise<Tree> {
    await this.#enterAll([mount, disk, join(this.#elsewhere.path, name)]);
    const expected = await this.#onDisk[0].tree(false);
    expect(await this.#onMount[0].tree(false), "the tree on the mount").toEqual(expected);
    const stored = await this.#onDisk[0].tree(true);
    const directories = Object.keys(stored).filter((path) => stored[path]?.startsWith("dir "));
    for (const path of directories) await this.#onMount[0].ask({ do: "fsyncdir", path });
    expect(await this.#otherHost.tree(true), "the tree on another host").toEqual(stored);
    await this.#compareBucket(name, expected);
    for (const each of [this.#onMount[0], this.#onDisk[0], this.#otherHost]) await each.leave();
    return stored;
  }

  async #enterAll([mount, disk, other]: readonly [string, string, string]): Promise<void> {
    await Promise.all([this.#onMount[0].enter(mount, 0), this.#onDisk[0].enter(disk, 0), this.#otherHost.enter(other, 0)]);
  }

  async #compareBucket(name: string, tree: Tree): Promise<void> {
    const expected = Object.entries(tree).map(([path, line]) => {
      const [kind = "", permissions = ""] = line.split(" ");
      const key = path === "." ? "" : kind === "dir" ? `${path}/` : path;
      // A directory's object and a fifo's are empty.
      return [key, { content: line.split(" : ")[1] ?? "nothing", permissions }] as const;
    });
    expect(await bucketContent(this.#client, this.#mounted.bucket, `${name}/`), "the bucket").toEqual(Object.fromEntries(expected));
  }

  async #remove(name: string): Promise<void> {
    for (const folder of [this.#mounted.path, this.#local]) await rm(join(folder, name), { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of [...this.#onMount, ...this.#onDisk, this.#otherHost]) await each[Symbol.asyncDispose]();
    this.#client.destroy();
  }
}

describe.skipIf(missing !== undefined || skipMounts("the fuzzer")).each(mounts)("on a bucket of %s with %s", (kind, options) => {
  let mounted: PosixMount;
  let elsewhere: MountedBucket;
  let local: string | undefined;
  let comparison: Comparison;

  beforeAll(async () => {
    mounted = await startPosixMount(kind, "fuzzed", ["-o", options]);
    elsewhere = await mountOurs(mounted.server, "fuzzed", ["-o", "metadata_ttl=0"]);
    local = await mkdtemp(join(ext4 ?? "", "fuzzed-"));
    // The users of a run walk through it.
    await chmod(local, 0o711);
    comparison = new Comparison(mounted, elsewhere, local);
  }, FUZZ_MS);
  afterAll(async () => {
    await comparison?.[Symbol.asyncDispose]();
    await elsewhere?.unmount();
    await mounted?.end();
    if (local !== undefined) await rm(local, { recursive: true, force: true });
  }, FUZZ_MS);

  const name = "random system calls of two processes do what they do on ext4";
  it(`${name} (FUZZ_SEED=${SEED})`, { timeout: FUZZ_MS }, async () => {
    expect(statfsSync(mounted.path).type).toBe(FUSE_MAGIC);
    await fuzz({
      test: { file: "test/posix/fuzz.test.ts", name: `${kind} with ${options}` },
      arbitrary: run,
      runs: RUNS,
      check: (given) => comparison.check(given),
      shown: shownRun,
    });
    console.log(`fuzzed on ${kind}, ${options}: ${RUNS} runs, seed ${SEED}`);
  });

  it("what the last runs left is there after an unmount", { timeout: FUZZ_MS }, async () => {
    mounted = await mounted.again();
    await using process = new ObeyingProcess();
    for (const { name: folder, tree } of comparison.kept) {
      await process.enter(join(mounted.path, folder), 0);
      expect(await process.tree(true), folder).toEqual(tree);
    }
  });
});
