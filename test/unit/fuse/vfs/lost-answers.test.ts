/** Renames and exchanges at random, with requests that fail or whose answers are lost: no content is lost, and the mount shows the bucket. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { RENAME_EXCHANGE } from "#fuse/vfs/filesystem.ts";
import { S_IFDIR, S_IFMT } from "#fuse/vfs/mode.ts";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { faultOf, type KernelUser } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { METADATA_TTL_MS, VfsWorld } from "../../../support/vfs-world.ts";

const RUNS = Number(process.env["LOST_ANSWER_RUNS"] ?? 60);
const METHODS = ["copy", "put", "delete", "deleteMany", "head", "list"] as const;

const path = fc.constantFrom("a", "b", "d", "d/x", "d/new", "e", "e/x", "e/sub", "new");
const step = fc.record({
  from: path,
  to: path,
  flags: fc.constantFrom(0, RENAME_EXCHANGE),
  /** The request of this method that is the `nth`, from 0 on. */
  fault: fc.option(fc.record({ method: fc.constantFrom(...METHODS), nth: fc.nat({ max: 5 }), after: fc.boolean() }), { freq: 4 }),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What the bucket holds, markers of directories left out. */
function objectsOf(memory: MemoryObjectStore): Record<string, string> {
  const files = memory.keys.filter((key) => !key.endsWith("/"));
  return Object.fromEntries(files.map((key) => [key, Buffer.from(memory.bytes(key) ?? []).toString()]));
}

async function filesBelow(user: KernelUser, directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of await user.readdir(directory)) {
    const child = directory === "" ? name : `${directory}/${name}`;
    if (((await user.stat(child)).mode & S_IFMT) === S_IFDIR) Object.assign(found, await filesBelow(user, child));
    else found[child] = await user.text(child);
  }
  return found;
}

async function check(steps: readonly Step[]): Promise<void> {
  const memory = new MemoryObjectStore();
  const failing = new FailingObjectStore(memory);
  await using world = await VfsWorld.open({ store: failing });
  for (const directory of ["d", "e", "e/sub"]) await world.user.mkdir(directory);
  for (const file of ["a", "b", "d/x", "d/y", "e/x", "e/sub/z"]) await world.user.writeFile(file, `of ${file}`);
  for (const { from, to, flags, fault } of steps) {
    const before = objectsOf(memory);
    let count = 0;
    if (fault !== null) failing.fail(fault.method, { fault: "unavailable", after: fault.after, when: () => count++ === fault.nth });
    const result = await faultOf(world.user.rename(from, to, flags));
    failing.mend();
    const told = `rename ${from} to ${to}, flags ${flags}: ${result}`;
    const after = objectsOf(memory);
    // A file that is replaced is gone.
    const kept = Object.entries(before).flatMap(([key, content]) => (flags === 0 && key === to ? [] : [content]));
    expect(Object.values(after), told).toEqual(expect.arrayContaining(kept));
    world.clock.advance(METADATA_TTL_MS * 100);
    expect(await filesBelow(world.user, ""), told).toEqual(after);
  }
}

it("renames and exchanges that fail, or whose answers are lost, lose nothing", { timeout: 300_000 }, async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), check), { numRuns: RUNS });
});
