/**
 * Two processes on a mount and another S3 client, who puts and deletes the objects under them: what is seen, refused and stored is what
 * the model of bucket-model.ts allows, and no byte of a refused writer is lost. What fails is shrunk (fuzzing.ts).
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { chmod, mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DeleteObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { missingCommand, type PosixMount, posixServers, startPosixMount } from "../support/posix-mount.ts";
import { createSdkClient } from "../support/sdk-client.ts";
import { bucketContent, told } from "./bucket-content.ts";
import { BucketModel, type Content, type Handle } from "./bucket-model.ts";
import { type BucketRun, type BucketStep, bucketRun } from "./fuzz-bucket-steps.ts";
import { inBytes, shownStep } from "./fuzz-steps.ts";
import { FULL, FUZZ_MS, fuzz, runsOf, SEED } from "./fuzzing.ts";
import { ObeyingProcess, type Told } from "./obeying-process.ts";

const RUNS = runsOf(60, 800);
/** The engine fills smaller files when they are opened; of larger ones a part may be missing when their version is gone. */
const FILLED_BYTES = 4 << 20;

const missing = missingCommand(["python3"]);
if (missing !== undefined) console.warn(`SKIPPED the fuzzer with another S3 client: no ${missing} on this machine`);

const OPTIONS = ["metadata_ttl=0", ...(FULL ? ["metadata_ttl=0,passthrough=no"] : [])];
const mounts = posixServers().flatMap((kind) => OPTIONS.map((options) => [kind, options] as const));

const PLAIN = { users: [0, 0], watch: false, steps: [] } as const;

interface Place {
  readonly mounted: PosixMount;
  readonly client: S3Client;
  readonly processes: readonly [ObeyingProcess, ObeyingProcess];
  /** True when the store takes conditions. */
  readonly obeys: boolean;
}

/** One run in a directory of its own. */
class BucketFuzz {
  readonly #place: Place;
  readonly #name: string;
  readonly #model = new BucketModel();
  readonly #handles = new Map<string, Handle>();
  readonly #conflictsBefore: ReadonlySet<string>;

  constructor(place: Place, name: string) {
    this.#place = place;
    this.#name = name;
    this.#conflictsBefore = new Set(conflictFiles(place.mounted));
  }

  async take(step: BucketStep, index: number, run: BucketRun): Promise<void> {
    const words = inBytes({ process: 0, told: step.told }, index, { ...PLAIN, unit: run.unit });
    if (step.actor === "S3") return this.#elsewhere(words);
    const who = step.actor;
    if (words.do === "open") return this.#open(who, words);
    if ("slot" in words) return this.#onHandle(who, words);
    return this.#byName(who, words);
  }

  async finish(): Promise<void> {
    for (const slot of [...this.#handles.keys()]) await this.#close(slot);
    for (const process of this.#place.processes) await process.leave();
    const { mounted, client } = this.#place;
    const found = await bucketContent(client, mounted.bucket, `${this.#name}/`);
    const files = Object.entries(found).filter(([key]) => key !== "" && !key.endsWith("/"));
    const stored = Object.fromEntries(files.map(([key, { content }]) => [key, content]));
    expect(stored, "the bucket at the end").toEqual(
      Object.fromEntries([...this.#model.bucket].map(([key, { bytes }]) => [key, told(bytes)])),
    );
    this.#compareConflicts();
  }

  /** What refused writers wrote is in the conflict folder, and nothing else. */
  #compareConflicts(): void {
    const kept = conflictFiles(this.#place.mounted).filter((path) => !this.#conflictsBefore.has(path));
    const whole = this.#model.conflicts.filter(({ incomplete }) => !incomplete).map(({ bytes }) => told(bytes));
    const found = kept.map((path) => told(readFileSync(path)));
    if (whole.length === this.#model.conflicts.length) expect(found.sort(), "the conflict folder").toEqual(whole.sort());
    else expect(found, "the conflict folder").toEqual(expect.arrayContaining(whole));
  }

  async #elsewhere({ do: what, path, letter, size }: Told): Promise<void> {
    const { client, mounted } = this.#place;
    const where = { Bucket: mounted.bucket, Key: `${this.#name}/${path as string}` };
    if (what === "delete") {
      await client.send(new DeleteObjectCommand(where));
      this.#model.bucket.delete(path as string);
      return;
    }
    const bytes = Buffer.alloc(size as number, letter as string);
    await client.send(new PutObjectCommand({ ...where, Body: bytes }));
    this.#model.put(path as string, bytes);
  }

  async #ask(who: 0 | 1, words: Told, allowed: readonly string[]): Promise<string> {
    const { result } = await this.#place.processes[who].ask(words);
    expect(allowed, `${words.do} of ${String(words["path"] ?? `[${String(words["slot"])}]`)} gave ${result}`).toContain(result);
    return result;
  }

  async #open(who: 0 | 1, words: Told): Promise<void> {
    const key = `${who}${String(words["slot"])}`;
    if (this.#handles.has(key)) await this.#close(key);
    const model = this.#model;
    const path = words["path"] as string;
    const flags = words["flags"] as readonly string[];
    if (model.isDisputed(path)) return this.#openDisputed(who, key, words);
    const there = model.found(path);
    const refusal =
      there === undefined ? !flags.includes("O_CREAT") && "ENOENT" : flags.includes("O_CREAT") && flags.includes("O_EXCL") && "EEXIST";
    await this.#ask(who, { ...words, mode: 0o666 }, [refusal || "ok"]);
    if (refusal) return;
    const content = there ?? model.created(flags.includes("O_EXCL"));
    this.#opened(key, path, content, flags);
    // Linux truncates for readers too.
    if (flags.includes("O_TRUNC")) resize(content, 0);
  }

  #opened(key: string, name: string, content: Content, flags: readonly string[]): void {
    this.#model.bind(name, content);
    const writes = flags[0] !== "O_RDONLY";
    this.#handles.set(key, { name, content, reads: flags[0] !== "O_WRONLY", writes, sends: writes || flags.includes("O_TRUNC") });
  }

  /** Unsent changes here and another version there: an open gives either of them, and whole. */
  async #openDisputed(who: 0 | 1, key: string, words: Told): Promise<void> {
    const path = words["path"] as string;
    const slot = words["slot"];
    const mine = this.#model.live.get(path) as Content;
    const theirs = this.#model.bucket.get(path);
    const flags = ["O_RDWR"];
    const allowed = ["ok", "ESTALE", ...(theirs === undefined ? ["ENOENT"] : [])];
    if ((await this.#ask(who, { ...words, flags }, allowed)) !== "ok") return;
    const either = [mine.bytes, ...(theirs === undefined ? [] : [theirs.bytes])].map(told);
    const size = Math.max(mine.bytes.length, theirs?.bytes.length ?? 0) + 1;
    const seen = await this.#ask(who, { do: "pread", slot, offset: 0, size }, either);
    const content =
      seen === told(mine.bytes) ? mine : { ...mine, bytes: theirs?.bytes ?? mine.bytes, base: theirs, dirty: false, handles: 0 };
    this.#opened(key, path, content, flags);
  }

  async #onHandle(who: 0 | 1, words: Told): Promise<void> {
    const key = `${who}${String(words["slot"])}`;
    const handle = this.#handles.get(key);
    if (handle === undefined) {
      await this.#ask(who, words, words.do === "close" ? ["not open"] : ["EBADF"]);
    } else if (words.do === "close") {
      await this.#close(key);
    } else if (words.do === "flush" || words.do === "fsync") {
      await this.#sync(who, words, handle);
    } else if (words.do === "pread" || words.do === "fstat") {
      await this.#look(who, words, handle);
    } else {
      await this.#change(who, words, handle);
    }
  }

  /** Of a large file whose version is gone something may be missing, and an error says so. */
  #mayMiss({ name, content }: Handle): boolean {
    const large = Math.max(content.bytes.length, content.base?.bytes.length ?? FILLED_BYTES) >= FILLED_BYTES;
    return content.incomplete || (large && this.#model.isStale(name, content));
  }

  async #look(who: 0 | 1, words: Told, handle: Handle): Promise<void> {
    const { bytes } = handle.content;
    const also = this.#mayMiss(handle) ? ["ESTALE"] : [];
    if (words.do === "fstat") {
      const { result } = await this.#place.processes[who].ask(words);
      expect(result, "fstat").toContain(` size=${bytes.length} `);
    } else if (!handle.reads) {
      await this.#ask(who, words, ["EBADF"]);
    } else {
      const start = words["offset"] as number;
      await this.#ask(who, words, [told(bytes.subarray(start, start + (words["size"] as number))), ...also]);
    }
  }

  async #change(who: 0 | 1, words: Told, handle: Handle): Promise<void> {
    const { content } = handle;
    const size = words["size"] as number;
    const isWrite = words.do === "pwrite";
    if (!handle.writes) return void (await this.#ask(who, words, [isWrite ? "EBADF" : "EINVAL"]));
    const mayMiss = this.#mayMiss(handle);
    if (mayMiss) content.incomplete = true;
    const result = await this.#ask(who, words, [isWrite ? `${size}` : "ok", ...(mayMiss ? ["ESTALE"] : [])]);
    if (result === "ESTALE") return;
    if (isWrite) write(content, words["offset"] as number, Buffer.alloc(size, words["letter"] as string));
    else resize(content, size);
  }

  async #sync(who: 0 | 1, words: Told, { name, content, ...handle }: Handle): Promise<void> {
    const sends = handle.sends || words.do === "fsync";
    const result = await this.#ask(who, words, sends ? this.#model.outcomesOfSync(name, content, this.#place.obeys) : ["ok"]);
    if (sends) this.#model.synced(name, content, result);
  }

  async #close(key: string): Promise<void> {
    const handle = this.#handles.get(key) as Handle;
    this.#handles.delete(key);
    await this.#sync(Number(key[0]) as 0 | 1, { do: "close", slot: Number(key[1]) }, handle);
    this.#model.release(handle.name, handle.content);
  }

  async #byName(who: 0 | 1, words: Told): Promise<void> {
    const model = this.#model;
    const path = words["path"] as string;
    const to = words["to"] as string | undefined;
    // Either of two versions may be meant: what is open shows what becomes of them.
    if (model.isDisputed(path) || (to !== undefined && model.isDisputed(to))) return;
    const there = model.found(path);
    if (words.do === "writeFile") return this.#writeFile(who, words, there);
    if (there === undefined) return void (await this.#ask(who, words, ["ENOENT"]));
    if (words.do === "readFile") {
      await this.#ask(who, words, [told(there.bytes)]);
    } else if (words.do === "stat") {
      const { result } = await this.#place.processes[who].ask(words);
      expect(result, `stat of ${path}`).toContain(` size=${there.bytes.length} `);
    } else if (words.do === "unlink") {
      await this.#ask(who, words, ["ok"]);
      model.unlinked(path);
    } else if (!there.dirty) {
      await this.#ask(who, words, ["ok"]);
      this.#renamed(path, to as string);
    }
  }

  #renamed(path: string, to: string): void {
    const moved = this.#model.renamed(path, to);
    if (moved === undefined) return;
    for (const [key, handle] of this.#handles) if (handle.content === moved) this.#handles.set(key, { ...handle, name: to });
  }

  async #writeFile(who: 0 | 1, words: Told, there: Content | undefined): Promise<void> {
    const path = words["path"] as string;
    const size = words["size"] as number;
    await this.#ask(who, words, [`${size}`]);
    const content = there ?? this.#model.created(false);
    this.#model.bind(path, content);
    resize(content, 0);
    write(content, 0, Buffer.alloc(size, words["letter"] as string));
    this.#model.synced(path, content, "ok");
    this.#model.release(path, content);
  }
}

function write(content: Content, offset: number, data: Buffer): void {
  const bytes = Buffer.alloc(Math.max(content.bytes.length, offset + data.length));
  content.bytes.copy(bytes);
  data.copy(bytes, offset);
  content.bytes = bytes;
  content.dirty = true;
}

function resize(content: Content, size: number): void {
  const bytes = Buffer.alloc(size);
  content.bytes.copy(bytes);
  content.bytes = bytes;
  content.dirty = true;
}

/** Of all mounts with this cache folder; there is one. */
function conflictFiles({ path }: PosixMount): string[] {
  const cache = join(dirname(path), "cache");
  const folders = readdirSync(cache, { recursive: true, encoding: "utf8" }).filter((each) => each.endsWith("/conflicts"));
  return folders.flatMap((folder) => readdirSync(join(cache, folder)).map((name) => join(cache, folder, name))).filter(existsSync);
}

function shown({ unit, steps }: BucketRun): string {
  const lines = steps.map(({ actor, told: words }, index) => {
    const line = shownStep({ process: actor === "S3" ? 0 : actor, told: words }, index, { ...PLAIN, unit });
    return `  ${String(index + 1).padStart(2)} ${actor === "S3" ? line.replace(/^P0/, "S3") : line}`;
  });
  return [`unit ${unit} bytes`, ...lines].join("\n");
}

describe.skipIf(missing !== undefined || skipMounts("the fuzzer with another S3 client")).each(mounts)(
  "on a bucket of %s, changed by others, with %s",
  (kind, options) => {
    let mounted: PosixMount;
    let client: S3Client;
    let processes: Place["processes"];
    let runs = 0;

    beforeAll(async () => {
      mounted = await startPosixMount(kind, "disputed", ["-o", options]);
      client = createSdkClient(mounted.server);
      processes = [new ObeyingProcess(), new ObeyingProcess()];
    }, FUZZ_MS);
    afterAll(async () => {
      for (const process of processes ?? []) await process[Symbol.asyncDispose]();
      client?.destroy();
      await mounted?.end();
    }, FUZZ_MS);

    async function check(run: BucketRun): Promise<void> {
      const name = `run-${++runs}`;
      const root = join(mounted.path, name);
      await mkdir(join(root, "d"), { recursive: true });
      await chmod(root, 0o777);
      for (const process of processes) await process.enter(root, 0);
      // s3rver takes no conditions.
      const fuzzed = new BucketFuzz({ mounted, client, processes, obeys: kind !== "s3rver" }, name);
      try {
        for (const [index, step] of run.steps.entries()) {
          await fuzzed.take(step, index, run).catch((error: Error) => {
            throw new Error(`step ${index + 1}: ${error.message}`, { cause: error });
          });
        }
        await fuzzed.finish();
      } finally {
        for (const process of processes) await process.leave();
        await rm(root, { recursive: true, force: true });
      }
    }

    const name = "two processes and another client see whole versions, and no writer's data is lost";
    it(`${name} (FUZZ_SEED=${SEED})`, { timeout: FUZZ_MS }, async () => {
      await fuzz({
        test: { file: "test/posix/fuzz-bucket.test.ts", name: `${kind}, changed by others, with ${options}` },
        arbitrary: bucketRun,
        runs: RUNS,
        check,
        shown,
      });
      console.log(`fuzzed with another client on ${kind}, ${options}: ${RUNS} runs, seed ${SEED}`);
    });
  },
);
