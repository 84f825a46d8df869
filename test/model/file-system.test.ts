/**
 * Random operations of processes on one host, with another host that changes things now and then and time that passes, compared with a
 * simple tree after each step. MODEL_RUNS and MODEL_SEED change how much and what is tried.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DriverError } from "#core/errors.ts";
import { O_APPEND, O_CREAT, O_RDWR, type OpenFile } from "../support/kernel-user.ts";
import { METADATA_TTL_MS, VfsWorld } from "../support/vfs-world.ts";
import { type ReferenceFile, ReferenceTree, Refused, resized, written } from "./reference-tree.ts";
import { dumpOf } from "./world-dump.ts";

const RUNS = Number(process.env["MODEL_RUNS"] ?? 25);
const SEED = Number(process.env["MODEL_SEED"] ?? Date.now() % 2 ** 31);

const path = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
const data = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const offset = fc.nat({ max: 60 });
const slot = fc.nat({ max: 2 });

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("write" as const), path, data }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("append" as const), path, data }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("truncate" as const), path, size: offset }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("mkdir" as const), path }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("unlink" as const), path }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("rmdir" as const), path }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("rename" as const), path, to: path }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("chmod" as const), path, mode: fc.nat({ max: 0o777 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("open" as const), path, slot }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("slotWrite" as const), slot, offset, data }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("slotTruncate" as const), slot, size: offset }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("slotSync" as const), slot }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("close" as const), slot }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("elsewhereWrite" as const), path, data }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("elsewhereUnlink" as const), path }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("elsewhereRename" as const), path, to: path }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("forget" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

const KINDS = [
  [false, "remote"],
  [true, "remote"],
  [false, "local"],
  [true, "local"],
] as const;

interface Slot {
  readonly file: OpenFile;
  readonly node: ReferenceFile;
}

class Comparison {
  readonly here: VfsWorld;
  readonly there: VfsWorld;
  readonly tree = new ReferenceTree();
  readonly slots = new Map<number, Slot>();

  constructor(here: VfsWorld, there: VfsWorld) {
    this.here = here;
    this.there = there;
  }

  /** Does the step on both sides; they must agree on its outcome. */
  async take(taken: Step): Promise<void> {
    if (taken.do === "wait") return this.#pass();
    if (taken.do === "forget") return this.here.user.forgetAll();
    const elsewhere = taken.do.startsWith("elsewhere");
    // A file that is open here and changed elsewhere is another test's matter: here all hosts work one after the other.
    if (elsewhere && this.slots.size > 0) return;
    // What nobody waited for is on its way: the other host would be asked for another thing than the tree.
    if (elsewhere) await this.here.fs.syncAll();
    if (elsewhere) this.#pass();
    const expected = outcomeOf(() => this.#onTree(taken));
    const real = await realOutcomeOf(() => this.#onWorld(taken));
    expect(real, JSON.stringify(taken)).toBe(expected);
    if (elsewhere) this.#pass();
  }

  async check(): Promise<void> {
    expect(await dumpOf(this.here.user)).toEqual(this.tree.dump());
    for (const { file, node } of this.slots.values()) {
      expect((await file.readAll()).toString("hex")).toBe(node.bytes.toString("hex"));
      expect((await file.stat()).size).toBe(node.bytes.length);
    }
  }

  /** At the end all is closed, and both hosts and a new one see the same. */
  async finish(): Promise<void> {
    for (const { file } of this.slots.values()) await file.close();
    this.slots.clear();
    await this.here.fs.syncAll();
    this.#pass();
    await this.check();
    await using fresh = await this.here.other();
    for (const world of [this.there, fresh]) expect(await dumpOf(world.user)).toEqual(this.tree.dump());
    expect(this.here.spooled()).toEqual([]);
    expect(this.here.kernel.registered).toBe(0);
    expect(this.here.conflicts()).toEqual({});
  }

  #pass(): void {
    this.here.clock.advance(METADATA_TTL_MS * 100);
  }

  #onTree(taken: Step): unknown {
    const { tree } = this;
    switch (taken.do) {
      case "write":
        tree.openForWriting(taken.path, true).bytes = taken.data;
        return undefined;
      case "append": {
        const node = tree.openForWriting(taken.path, false);
        node.bytes = Buffer.concat([node.bytes, taken.data]);
        return undefined;
      }
      case "truncate":
        return tree.truncate(taken.path, taken.size);
      case "mkdir":
        return tree.mkdir(taken.path);
      case "unlink":
      case "elsewhereUnlink":
        return tree.unlink(taken.path);
      case "rmdir":
        return tree.rmdir(taken.path);
      case "rename":
      case "elsewhereRename":
        return tree.rename(taken.path, taken.to);
      case "chmod":
        return tree.chmod(taken.path, taken.mode);
      case "elsewhereWrite":
        return tree.replace(taken.path, taken.data);
      default:
        return undefined;
    }
  }

  async #onWorld(taken: Step): Promise<void> {
    const { user } = this.here;
    const elsewhere = this.there.user;
    switch (taken.do) {
      case "write":
        return user.writeFile(taken.path, taken.data);
      case "append": {
        const file = await user.open(taken.path, O_RDWR | O_CREAT | O_APPEND);
        await file.append(taken.data);
        return file.close();
      }
      case "truncate":
        // The kernel itself refuses to cut a directory.
        if (((await user.stat(taken.path)).mode & 0o170000) === 0o040000) throw new DriverError("is_dir", taken.path);
        await user.setattr(taken.path, { size: taken.size });
        return;
      case "mkdir":
        await user.mkdir(taken.path);
        return;
      case "unlink":
        return user.unlink(taken.path);
      case "rmdir":
        return user.rmdir(taken.path);
      case "rename":
        return user.rename(taken.path, taken.to);
      case "chmod":
        await user.setattr(taken.path, { mode: taken.mode });
        return;
      case "elsewhereWrite":
        return elsewhere.writeFile(taken.path, taken.data);
      case "elsewhereUnlink":
        return elsewhere.unlink(taken.path);
      case "elsewhereRename":
        return elsewhere.rename(taken.path, taken.to);
      default:
        return this.#onSlot(taken);
    }
  }

  async #onSlot(taken: Step): Promise<void> {
    if (taken.do === "open") {
      if (this.slots.has(taken.slot)) return;
      const expected = outcomeOf(() => void this.tree.openForWriting(taken.path, false));
      const real = await realOutcomeOf(async () => {
        const file = await this.here.user.open(taken.path, O_RDWR | O_CREAT);
        this.slots.set(taken.slot, { file, node: this.tree.find(taken.path) as ReferenceFile });
      });
      expect(real, JSON.stringify(taken)).toBe(expected);
      return;
    }
    const open = "slot" in taken ? this.slots.get(taken.slot) : undefined;
    if (open === undefined) return;
    if (taken.do === "slotWrite" && taken.data.length > 0) {
      await open.file.write(taken.offset, taken.data);
      open.node.bytes = written(open.node.bytes, taken.offset, taken.data);
    } else if (taken.do === "slotTruncate") {
      await open.file.truncate(taken.size);
      open.node.bytes = resized(open.node.bytes, taken.size);
    } else if (taken.do === "slotSync") {
      await open.file.fsync();
    } else if (taken.do === "close") {
      this.slots.delete(taken.slot);
      await open.file.close();
    }
  }
}

function outcomeOf(work: () => unknown): string {
  try {
    work();
    return "done";
  } catch (error) {
    if (error instanceof Refused) return error.fault;
    throw error;
  }
}

async function realOutcomeOf(work: () => Promise<void>): Promise<string> {
  try {
    await work();
    return "done";
  } catch (error) {
    if (error instanceof DriverError) return error.fault;
    throw error;
  }
}

describe("BucketFileSystem against a model", () => {
  for (const [passthrough, durability] of KINDS) {
    it(`agrees with a POSIX tree${passthrough ? ", in passthrough" : ""}, durability=${durability} (MODEL_SEED=${SEED})`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: 5, maxLength: 40 }),
          fc.constantFrom(0, METADATA_TTL_MS),
          // Uploads that nobody waits for fall between the steps, or come at the end.
          fc.constantFrom({ quietMs: 0, latestMs: 0, retryMs: 10 }, { quietMs: 600_000, latestMs: 600_000, retryMs: 10 }),
          // What did not change is sent as well, or copied inside the store.
          fc.boolean(),
          async (steps, metadataTtlMs, uploadDelays, copiesParts) => {
            await using here = await VfsWorld.open({
              passthrough,
              options: { metadataTtlMs, fillAtOpenBytes: 20, durability, uploadDelays, ...(copiesParts ? { trackFromBytes: 16 } : {}) },
              ...(copiesParts ? { upload: { copiesParts, partSizeBytes: 8, multipartFromBytes: 16 } } : {}),
            });
            await using there = await here.other({ options: { metadataTtlMs, fillAtOpenBytes: 20 } });
            const comparison = new Comparison(here, there);
            for (const taken of steps) {
              await comparison.take(taken);
              await comparison.check();
            }
            await comparison.finish();
          },
        ),
        { numRuns: RUNS, seed: SEED, endOnFailure: process.env["MODEL_SHRINK"] === "no" },
      );
    });
  }
});
