/**
 * Random operations of one process with `durability=local`, and an engine that is killed between any two of them, its uploads at any
 * point: what was acknowledged must be there after it, on the same connection or a new one, and in the bucket at the end.
 * FAULT_RUNS and FAULT_SEED change how much and what is tried.
 */
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DriverError } from "#core/errors.ts";
import { ReferenceTree, Refused } from "../model/reference-tree.ts";
import { dumpOf } from "../model/world-dump.ts";
import { type KernelUser, O_CREAT, O_WRONLY } from "../support/kernel-user.ts";
import { VfsWorld } from "../support/vfs-world.ts";

const RUNS = Number(process.env["FAULT_RUNS"] ?? 25);
const SEED = Number(process.env["FAULT_SEED"] ?? Date.now() % 2 ** 31);

const path = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
const data = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("write" as const), path, data }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("save" as const), path, data }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("append" as const), path, data }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("truncate" as const), path, size: fc.nat({ max: 60 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("mkdir" as const), path }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("unlink" as const), path }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("rmdir" as const), path }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("rename" as const), path, to: path }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("chmod" as const), path, mode: fc.nat({ max: 0o777 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("fsync" as const), path }) },
  // Uploads come a little further.
  { weight: 3, arbitrary: fc.record({ do: fc.constant("pause" as const), ms: fc.nat({ max: 3 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("kill" as const), takeover: fc.boolean() }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

const TEMPORARY = "c.tmp";

function onTree(tree: ReferenceTree, taken: Step): void {
  switch (taken.do) {
    case "write":
      tree.openForWriting(taken.path, true).bytes = taken.data;
      return;
    case "save":
      tree.openForWriting(TEMPORARY, true).bytes = taken.data;
      tree.rename(TEMPORARY, taken.path);
      return;
    case "append": {
      const node = tree.openForWriting(taken.path, false);
      node.bytes = Buffer.concat([node.bytes, taken.data]);
      return;
    }
    case "truncate":
      tree.truncate(taken.path, taken.size);
      return;
    case "mkdir":
      tree.mkdir(taken.path);
      return;
    case "unlink":
      tree.unlink(taken.path);
      return;
    case "rmdir":
      tree.rmdir(taken.path);
      return;
    case "rename":
      tree.rename(taken.path, taken.to);
      return;
    case "chmod":
      tree.chmod(taken.path, taken.mode);
      return;
    case "fsync":
      tree.read(taken.path);
      return;
    default:
      return;
  }
}

async function onWorld(user: KernelUser, taken: Step): Promise<void> {
  switch (taken.do) {
    case "write":
      return user.writeFile(taken.path, taken.data);
    case "save":
      await user.writeFile(TEMPORARY, taken.data);
      return user.rename(TEMPORARY, taken.path);
    case "append": {
      const file = await user.open(taken.path, O_WRONLY | O_CREAT);
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
    case "fsync": {
      const file = await user.open(taken.path);
      await file.fsync();
      return file.close();
    }
    case "pause":
      return sleep(taken.ms);
    default:
      return;
  }
}

async function outcome(work: () => unknown): Promise<string> {
  try {
    await work();
    return "done";
  } catch (error) {
    if (error instanceof Refused || error instanceof DriverError) return error.fault;
    throw error;
  }
}

async function lives(steps: readonly Step[], passthrough: boolean, quietMs: number): Promise<void> {
  const uploadDelays = { quietMs, latestMs: quietMs, retryMs: 10 };
  let world = await VfsWorld.open({ passthrough, journal: true, options: { durability: "local", uploadDelays } });
  try {
    const tree = new ReferenceTree();
    for (const taken of steps) {
      if (taken.do === "kill") {
        world = await world.successor(taken.takeover);
        expect(await dumpOf(world.user), JSON.stringify(taken)).toEqual(tree.dump());
        continue;
      }
      const expected = await outcome(() => onTree(tree, taken));
      expect(await outcome(() => onWorld(world.user, taken)), JSON.stringify(taken)).toBe(expected);
    }
    await world.fs.syncAll();
    await using other = await world.other();
    expect(await dumpOf(other.user)).toEqual(tree.dump());
    expect(world.conflicts()).toEqual({});
    expect(world.spooled()).toEqual([]);
    expect(world.memory.openUploads).toBe(0);
  } finally {
    await world.remove();
  }
}

describe("An engine that is killed", () => {
  for (const passthrough of [false, true]) {
    it(`loses nothing that was acknowledged${passthrough ? ", in passthrough" : ""} (FAULT_SEED=${SEED})`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), fc.constantFrom(0, 600_000), (steps, quietMs) =>
          lives(steps, passthrough, quietMs),
        ),
        { numRuns: RUNS, seed: SEED, endOnFailure: process.env["FAULT_SHRINK"] === "no" },
      );
    });
  }
});
