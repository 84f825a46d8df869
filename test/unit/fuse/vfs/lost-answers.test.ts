/**
 * Requests that fail, or whose answers are lost: no content is lost, what a call tells is true, and the mount shows what the bucket holds.
 * LOST_ANSWER_RUNS makes more runs of the random ones.
 */
import { constants } from "node:fs";
import fc from "fast-check";
import { expect, it } from "vitest";
import { RENAME_EXCHANGE } from "#fuse/vfs/filesystem.ts";
import { S_IFDIR, S_IFMT } from "#fuse/vfs/mode.ts";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { faultOf, type KernelUser } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { METADATA_TTL_MS, VfsWorld } from "../../../support/vfs-world.ts";

const RUNS = Number(process.env["LOST_ANSWER_RUNS"] ?? 60);
const LONG_MS = 600_000;
const METHODS = ["copy", "put", "delete", "deleteMany", "head", "list", "get"] as const;

/** The request of this method that is the `nth` of a call, from 0 on. */
const fault = fc.option(fc.record({ method: fc.constantFrom(...METHODS), nth: fc.nat({ max: 5 }), after: fc.boolean() }), { freq: 4 });
type Faulty = typeof fault extends fc.Arbitrary<infer T> ? T : never;

/** "done", or the fault of the work during which one request failed. */
async function under(store: FailingObjectStore, failing: Faulty, work: () => Promise<unknown>): Promise<string> {
  let count = 0;
  if (failing !== null) {
    const { method, after, nth } = failing;
    store.fail(method, { fault: "unavailable", after, when: () => count++ === nth });
  }
  const result = await faultOf(work);
  store.mend();
  return result;
}

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

it("renames and exchanges that fail, or whose answers are lost, lose nothing", { timeout: LONG_MS }, async () => {
  const path = fc.constantFrom("a", "b", "d", "d/x", "d/new", "e", "e/x", "e/sub", "new");
  const step = fc.record({ from: path, to: path, flags: fc.constantFrom(0, RENAME_EXCHANGE), failing: fault });
  const check = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
    const memory = new MemoryObjectStore();
    const store = new FailingObjectStore(memory);
    await using world = await VfsWorld.open({ store });
    for (const directory of ["d", "e", "e/sub"]) await world.user.mkdir(directory);
    for (const file of ["a", "b", "d/x", "d/y", "e/x", "e/sub/z"]) await world.user.writeFile(file, `of ${file}`);
    for (const { from, to, flags, failing } of steps) {
      const before = objectsOf(memory);
      const told = `rename ${from} to ${to}, flags ${flags}: ${await under(store, failing, () => world.user.rename(from, to, flags))}`;
      const after = objectsOf(memory);
      // A file that is replaced is gone.
      const kept = Object.entries(before).flatMap(([key, content]) => (flags === 0 && key === to ? [] : [content]));
      expect(Object.values(after), told).toEqual(expect.arrayContaining(kept));
      world.clock.advance(METADATA_TTL_MS * 100);
      expect(await filesBelow(world.user, ""), told).toEqual(after);
    }
  });
  await fc.assert(check, { numRuns: RUNS });
});

type Content = string | undefined;
/** What a name may hold: one content, or after a call that failed one of several. Undefined: nothing. */
type May = ReadonlySet<Content>;

const CALLS = ["write", "patch", "rename", "exchange", "unlink", "chmod", "read"] as const;
type Call = (typeof CALLS)[number];

function perform(user: KernelUser, call: Call, from: string, to: string, content: string): Promise<unknown> {
  switch (call) {
    case "write":
      return user.writeFile(from, content);
    case "patch":
      return user.writeFile(from, "+", constants.O_WRONLY);
    case "rename":
      return user.rename(from, to);
    case "exchange":
      return user.rename(from, to, RENAME_EXCHANGE);
    case "unlink":
      return user.unlink(from);
    case "chmod":
      return user.setattr(from, { mode: 0o640 });
    case "read":
      return user.text(from);
  }
}

/** What a call that succeeds makes of two names. */
function outcome(call: Call, mine: May, theirs: May, content: string): readonly [May, May] {
  switch (call) {
    case "write":
      return [new Set([content]), theirs];
    case "patch":
      return [new Set([...mine].map((each) => each && `+${each.slice(1)}`)), theirs];
    case "rename":
      return [new Set([undefined]), mine];
    case "exchange":
      return [theirs, mine];
    case "unlink":
      return [new Set([undefined]), theirs];
    default:
      return [mine, theirs];
  }
}

it("a call that fails has been done or not, and the next one means what is there", { timeout: LONG_MS }, async () => {
  const path = fc.constantFrom("a", "b", "d/x", "d/y");
  const step = fc.record({ call: fc.constantFrom(...CALLS), from: path, to: path, failing: fault, passes: fc.boolean() });
  const check = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
    const store = new FailingObjectStore(new MemoryObjectStore());
    await using world = await VfsWorld.open({ store });
    const { user, clock } = world;
    const names = new Map<string, May>();
    const mayBe = (name: string): May => names.get(name) ?? new Set();
    await user.mkdir("d");
    for (const file of ["a", "b", "d/x", "d/y"]) {
      await user.writeFile(file, `0 ${file}`);
      names.set(file, new Set([`0 ${file}`]));
    }
    for (const [index, { call, from, to, failing, passes }] of steps.entries()) {
      const content = `${index + 1} ${from}`;
      const [mine, theirs] = [mayBe(from), mayBe(to)];
      const result = await under(store, failing, () => perform(user, call, from, to, content));
      const told = `${call} ${from} ${to} under ${JSON.stringify(failing)}: ${result}`;
      if (failing === null) expect(["done", "not_found"], told).toContain(result);
      if (result !== "not_found" && !(from === to && (call === "rename" || call === "exchange"))) {
        const [mineNow, theirsNow] = outcome(call, mine, theirs, content);
        // A file that was opened to be written anew is empty first.
        const perhaps = result === "done" ? undefined : call === "write" ? [...mine, ""] : [...mine];
        if (from !== to) names.set(to, result === "done" ? theirsNow : new Set([...theirs, ...theirsNow]));
        // A removal that nobody waited for may fail later.
        const mayStay = call === "unlink" && failing !== null ? mine : [];
        names.set(from, perhaps === undefined ? new Set([...mineNow, ...mayStay]) : new Set([...perhaps, ...mineNow]));
      }
      if (passes) clock.advance(METADATA_TTL_MS * 100);
      for (const [name, may] of names) {
        const seen: Content = (await faultOf(() => user.stat(name))) === "not_found" ? undefined : await user.text(name);
        expect([...may], `${told}: ${name}`).toContain(seen);
        names.set(name, new Set([seen]));
      }
    }
  });
  await fc.assert(check, { numRuns: RUNS });
});

for (const faulty of ["delete", "head"] as const) {
  const seen = faulty === "head" ? ", and whether it was done cannot be seen" : "";
  it(`a file whose deletion's answer is lost${seen} is gone for the next writer of its name`, async () => {
    const memory = new MemoryObjectStore();
    const store = new FailingObjectStore(memory);
    await using world = await VfsWorld.open({ store });
    await world.user.writeFile("f", "old");
    store.fail("delete", { fault: "timed_out", after: true });
    if (faulty === "head") store.fail("head", { fault: "unavailable" });
    expect(await faultOf(world.user.unlink("f"))).toBe(faulty === "head" ? "timed_out" : "done");
    store.mend();
    expect(memory.keys).toEqual([]);
    await world.user.writeFile("f", "new");
    expect(objectsOf(memory)).toEqual({ f: "new" });
  });
}

it("a rename is done when the answer to the deletion of the old name is lost", async () => {
  const memory = new MemoryObjectStore();
  const store = new FailingObjectStore(memory);
  await using world = await VfsWorld.open({ store });
  await world.user.writeFile("f", "content");
  store.fail("delete", { fault: "timed_out", after: true });
  await world.user.rename("f", "g");
  expect(objectsOf(memory)).toEqual({ g: "content" });
  expect(await world.user.readdir("")).toEqual(["g"]);
});
