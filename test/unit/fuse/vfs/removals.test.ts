/** Removals that nobody waits for: what this host sees, what a failure means, what a successor does. */
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DriverError } from "#core/errors.ts";
import { FailingObjectStore } from "../../../support/failing-object-store.ts";
import { faultOf, type KernelUser } from "../../../support/kernel-user.ts";
import { MemoryObjectStore } from "../../../support/memory-object-store.ts";
import { ManualClock, METADATA_TTL_MS, VfsWorld, type WorldOptions } from "../../../support/vfs-world.ts";

const BATCHED: WorldOptions = { conditions: { deleteIfMatch: false } };

async function worldWith(files: readonly string[], given: WorldOptions = {}) {
  const clock = new ManualClock();
  const memory = new MemoryObjectStore({ clock });
  const store = new FailingObjectStore(memory);
  const world = await VfsWorld.open({ ...given, store, clock });
  for (const path of files) {
    const [directory] = path.split("/");
    if (path.includes("/") && !(await world.user.exists(directory as string))) await world.user.mkdir(directory as string);
    await world.user.writeFile(path, `of ${path}`);
  }
  return { world, memory, store, user: world.user, [Symbol.asyncDispose]: () => world.remove() };
}

/** True when the promise is settled after everything ran that needs no store. */
async function isDone(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const note = () => {
    done = true;
  };
  promise.then(note, note);
  for (let i = 0; i < 20; i++) await turn();
  return done;
}

async function fsyncdir({ user, world }: { user: KernelUser; world: VfsWorld }, path: string): Promise<void> {
  const handle = await world.fs.opendir(await user.node(path));
  try {
    await world.fs.fsyncdir(handle);
  } finally {
    await world.fs.releasedir(handle);
  }
}

describe("removals", () => {
  it("the first of a directory waits for the bucket, the next ones do not, and after the TTL one waits again", async () => {
    await using made = await worldWith(["d/a", "d/b", "d/c", "e/x"]);
    const { user, store, world, memory } = made;
    let release = store.hold("delete");
    const first = user.unlink("d/a");
    expect(await isDone(first)).toBe(false);
    release();
    await first;
    release = store.hold("delete");
    await user.unlink("d/b");
    expect(memory.keys).toContain("d/b");
    // Nothing was removed in it, nor above it.
    const elsewhere = user.unlink("e/x");
    expect(await isDone(elsewhere)).toBe(false);
    release();
    await elsewhere;
    await fsyncdir(made, "d");
    world.clock.advance(METADATA_TTL_MS);
    release = store.hold("delete");
    const later = user.unlink("d/c");
    expect(await isDone(later)).toBe(false);
    release();
    await later;
    expect(memory.keys).toEqual(["d/", "e/"]);
  });

  it("all wait where names are believed for no time", async () => {
    await using made = await worldWith(["d/a", "d/b"], { options: { metadataTtlMs: 0 } });
    const { user, store } = made;
    await user.unlink("d/a");
    const release = store.hold("delete");
    const next = user.unlink("d/b");
    expect(await isDone(next)).toBe(false);
    release();
    await next;
  });

  it("a directory of 500 files costs a DeleteObjects, where the store has no conditional deletes", async () => {
    const files = Array.from({ length: 500 }, (_, i) => `d/f${i}`);
    await using made = await worldWith(files, BATCHED);
    const { user, memory, store } = made;
    memory.resetRequests();
    await user.unlink("d/f0");
    const release = store.hold("deleteMany");
    for (const path of files.slice(1)) await user.unlink(path);
    release();
    await user.rmdir("d");
    expect(memory.keys).toEqual([]);
    // The first and the marker; four that found a free place, and what came meanwhile.
    expect(memory.requests).toMatchObject({ DeleteObject: 2, DeleteObjects: 5 });
  });

  it("this host sees nothing of what is on its way out, and what it puts there stays", async () => {
    await using made = await worldWith(["d/a", "d/b", "d/c"]);
    const { user, store, world, memory } = made;
    await user.unlink("d/a");
    const release = store.hold("delete");
    await user.unlink("d/b");
    await user.unlink("d/c");
    expect(await faultOf(user.stat("d/b"))).toBe("not_found");
    expect(await user.readdir("d")).toEqual([]);
    world.clock.advance(METADATA_TTL_MS * 2);
    const listing = user.readdir("d");
    const writing = user.writeFile("d/c", "anew");
    expect([await isDone(listing), await isDone(writing)]).toEqual([false, false]);
    release();
    expect(await listing).not.toContain("d/b");
    await writing;
    expect([memory.keys, memory.text("d/c")]).toEqual([["d/", "d/c"], "anew"]);
  });

  it("rmdir and the unmount wait for what is on its way out", async () => {
    await using made = await worldWith(["d/a", "d/b", "e/a", "e/b"]);
    const { user, store, world, memory } = made;
    await user.unlink("d/a");
    let release = store.hold("delete");
    await user.unlink("d/b");
    const removing = user.rmdir("d");
    expect(await isDone(removing)).toBe(false);
    release();
    await removing;
    await user.unlink("e/a");
    release = store.hold("delete");
    await user.unlink("e/b");
    const unmount = world.close();
    expect(await isDone(unmount)).toBe(false);
    release();
    await unmount;
    expect(memory.keys).toEqual(["e/"]);
  });

  it.each([
    ["one by one", {}, 2],
    ["in batches", BATCHED, 1],
  ])("one that is refused %s is there again: rmdir and fsync say so, and the next one waits", async (_how, given, times) => {
    await using made = await worldWith(["d/a", "d/b", "d/c", "d/d"], given);
    const { user, store } = made;
    await user.unlink("d/a");
    store.fail("delete", { fault: "denied", times, when: (key) => key === "d/b" });
    store.fail("deleteMany", { fault: "denied", when: (key) => key === "d/b" });
    await user.unlink("d/b");
    await user.unlink("d/c");
    expect(await faultOf(user.rmdir("d"))).toBe("not_empty");
    expect((await user.readdir("d")).toSorted()).toEqual(["b", "d"]);
    expect(await user.text("d/b")).toBe("of d/b");
    expect(await faultOf(made.world.fs.syncAll())).toBe("done");
    expect(await faultOf(fsyncdir(made, "d"))).toBe("denied");
    expect(await faultOf(fsyncdir(made, "d"))).toBe("done");
    expect(await faultOf(user.unlink("d/b"))).toBe("denied");
    await user.unlink("d/b");
    const told = made.world.log.lines.filter(({ message }) => message === "a file that was removed is still in the bucket");
    expect(told.map(({ fields }) => fields["key"])).toEqual(["d/b"]);
  });

  it("of one that failed and was done later nobody is told any more", async () => {
    await using made = await worldWith(["d/a", "d/b"]);
    const { user, store } = made;
    await user.unlink("d/a");
    store.fail("delete", { fault: "denied" });
    await user.unlink("d/b");
    expect(await user.readdir("d")).toEqual(["b"]);
    await user.unlink("d/b");
    expect(await faultOf(fsyncdir(made, "d"))).toBe("done");
  });

  it("a store that refuses DeleteObjects is asked one by one, and not for a batch again", async () => {
    const files = Array.from({ length: 40 }, (_, i) => `d/f${i}`);
    await using made = await worldWith(files, BATCHED);
    const { user, store, memory } = made;
    await user.unlink("d/f0");
    let batches = 0;
    const release = store.hold("deleteMany");
    store.fail("deleteMany", { fault: "denied", times: 100, when: (key) => key === "d/f19" && ++batches > 0 });
    for (const path of files.slice(1, 20)) await user.unlink(path);
    release();
    expect(await faultOf(fsyncdir(made, "d"))).toBe("done");
    for (const path of files.slice(20)) await user.unlink(path);
    expect(await faultOf(fsyncdir(made, "d"))).toBe("done");
    expect([memory.keys, batches]).toEqual([["d/"], 1]);
  });

  it.each(["unavailable", "throttled"] as const)("when the store is %s, no more than what is under way is waited for", async (fault) => {
    const files = Array.from({ length: 60 }, (_, i) => `d/f${i}`);
    await using made = await worldWith(files);
    const { user, store } = made;
    await user.unlink("d/f0");
    const release = store.hold("delete");
    let asked = 0;
    store.fail("delete", { fault, times: 100, when: () => ++asked > 0 });
    for (const path of files.slice(1)) await user.unlink(path);
    release();
    expect(await faultOf(fsyncdir(made, "d"))).toBe(fault);
    expect(asked).toBe(16);
    expect(await user.readdir("d")).toHaveLength(59);
  });

  it("what another client uploads anew, the same file with the same time, is not what was removed", async () => {
    await using made = await worldWith(["d/a"], BATCHED);
    const { user, store, memory, world } = made;
    memory.seed("d/b", "same", { metadata: { mtime: "1700000000" } });
    world.clock.advance(METADATA_TTL_MS);
    await user.unlink("d/a");
    const release = store.hold("deleteMany");
    store.fail("deleteMany", { fault: "unavailable" });
    await user.unlink("d/b");
    world.clock.advance(5000);
    memory.seed("d/b", "same", { metadata: { mtime: "1700000000" } });
    release();
    expect(await faultOf(fsyncdir(made, "d"))).toBe("done");
    expect([memory.keys, await user.readdir("d")]).toEqual([["d/", "d/b"], ["b"]]);
  });

  it("a full disk keeps nobody from removing", async () => {
    await using made = await worldWith(["d/a", "d/b"]);
    const { user, memory, world } = made;
    await user.unlink("d/a");
    Object.assign(world.context.state, {
      putRemoval: () => {
        throw new DriverError("no_space", "the disk is full");
      },
    });
    await user.unlink("d/b");
    expect(memory.keys).toEqual(["d/"]);
  });

  it.each([false, true])(
    "a batch without an answer (carried out: %s) is done, and what others put there meanwhile stays",
    async (after) => {
      const files = Array.from({ length: 20 }, (_, i) => `d/f${i}`);
      await using made = await worldWith(files, BATCHED);
      const { user, store, memory, world } = made;
      await user.unlink("d/f0");
      const release = store.hold("deleteMany");
      store.fail("deleteMany", { fault: "timed_out", after, when: (key) => key === "d/f19" });
      for (const path of files.slice(1)) await user.unlink(path);
      const looks = store.hold("head");
      release();
      for (let i = 0; i < 20; i++) await turn();
      world.clock.advance(5000);
      memory.seed("d/f19", "theirs");
      looks();
      expect(await faultOf(fsyncdir(made, "d"))).toBe("done");
      expect(await user.readdir("d")).toEqual(["f19"]);
      expect(memory.text("d/f19")).toBe("theirs");
    },
  );

  it("what waited too long for its request is looked at first, where the store obeys no condition", async () => {
    const files = Array.from({ length: 9 }, (_, i) => `d/f${i}`);
    await using made = await worldWith(files, BATCHED);
    const { user, store, memory, world } = made;
    await user.unlink("d/f0");
    const release = store.hold("deleteMany");
    for (const path of files.slice(1)) await user.unlink(path);
    world.clock.advance(3000);
    memory.seed("d/f8", "theirs");
    release();
    expect(await faultOf(fsyncdir(made, "d"))).toBe("done");
    expect(memory.keys).toEqual(["d/", "d/f8"]);
  });

  it("one whose object was replaced elsewhere leaves it, and is no failure", async () => {
    await using made = await worldWith(["d/a", "d/b"]);
    const { user, store, memory } = made;
    await user.unlink("d/a");
    const release = store.hold("delete");
    await user.unlink("d/b");
    memory.seed("d/b", "theirs");
    release();
    expect(await faultOf(fsyncdir(made, "d"))).toBe("done");
    expect(await user.text("d/b")).toBe("theirs");
  });

  it("a file that is open can be read to its last close", async () => {
    await using made = await worldWith(["d/a", "d/b"]);
    const { user } = made;
    await user.unlink("d/a");
    const file = await user.open("d/b");
    await user.unlink("d/b");
    expect((await file.readAll()).toString()).toBe("of d/b");
    await file.close();
  });

  for (const takeover of [true, false]) {
    const how = takeover ? "that takes over" : "at the next mount";
    it(`an engine ${how} does what its predecessor promised, and touches nothing else`, async () => {
      await using made = await worldWith(["d/a", "d/b", "d/c", "d/e"], { journal: true });
      const { user, store, world, memory } = made;
      await user.unlink("d/a");
      store.hold("delete");
      for (const name of ["b", "c", "e"]) await user.unlink(`d/${name}`);
      memory.seed("d/c", "theirs");
      // The same bytes, later.
      world.clock.advance(10_000);
      memory.seed("d/e", "of d/e", { metadata: { mtime: "1" } });
      await using next = await world.successor(takeover, { store: memory });
      expect((await next.user.readdir("d")).toSorted()).toEqual(["c", "e"]);
      expect(memory.keys).toEqual(["d/", "d/c", "d/e"]);
      await next.context.removals.finish("");
      await using third = await next.successor(takeover);
      expect(third.context.state.recovered.removals.size).toBe(0);
    });
  }

  it("a successor whose store does not answer leaves it to the next one, and a mount for reading too", async () => {
    await using made = await worldWith(["d/a", "d/b"], { journal: true });
    const { user, store, world, memory } = made;
    await user.unlink("d/a");
    store.hold("delete");
    await user.unlink("d/b");
    const silent = new FailingObjectStore(memory);
    silent.fail("head", { fault: "unavailable" });
    await using second = await world.successor(true, { store: silent });
    await second.context.removals.finish("");
    expect(memory.keys).toContain("d/b");
    await using third = await second.successor(false, { store: memory, options: { readOnly: true } });
    expect(await third.user.readdir("d")).toEqual(["b"]);
    await using fourth = await third.successor(false, { options: { readOnly: false } });
    expect(await fourth.user.readdir("d")).toEqual([]);
    expect(memory.keys).toEqual(["d/"]);
  });
});

/** Deletes take as many turns of the event loop as the next of `delays` says. */
class SlowDeletes extends FailingObjectStore {
  readonly #delays: readonly number[];
  #next = 0;

  constructor(inner: MemoryObjectStore, delays: readonly number[]) {
    super(inner);
    this.#delays = delays;
  }

  async #pause(): Promise<void> {
    for (let left = this.#delays[this.#next++ % this.#delays.length] ?? 0; left > 0; left--) await turn();
  }

  override async delete(...args: Parameters<FailingObjectStore["delete"]>): Promise<void> {
    await this.#pause();
    await super.delete(...args);
    await this.#pause();
  }

  override async deleteMany(...args: Parameters<FailingObjectStore["deleteMany"]>): ReturnType<FailingObjectStore["deleteMany"]> {
    await this.#pause();
    const failures = await super.deleteMany(...args);
    await this.#pause();
    return failures;
  }
}

const CALLS = ["write", "unlink", "unlink", "unlink", "rename", "mkdir", "rmdir", "readdir", "link"] as const;

function perform(user: KernelUser, call: (typeof CALLS)[number], from: string, to: string, content: string): Promise<unknown> {
  switch (call) {
    case "write":
      return user.writeFile(from, content);
    case "rename":
    case "link":
      return user[call](from, to);
    default:
      return user[call](from);
  }
}

it("nothing that a process here does shows whether removals are waited for", { timeout: 600_000 }, async () => {
  const path = fc.constantFrom("a", "b", "d", "d/x", "d/y", "d/z", "d/e", "d/e/x", "d/e/y");
  const step = fc.record({ call: fc.constantFrom(...CALLS), from: path, to: path, passes: fc.boolean() });
  const delays = fc.array(fc.nat({ max: 12 }), { minLength: 1, maxLength: 7 });
  const scenario = [fc.array(step, { minLength: 1, maxLength: 30 }), delays, fc.boolean()] as const;
  const check = fc.asyncProperty(...scenario, async (steps, turns, deleteIfMatch) => {
    const [memory, plain] = [new MemoryObjectStore(), new MemoryObjectStore()];
    const given = { conditions: { deleteIfMatch } };
    await using soon = await VfsWorld.open({ ...given, store: new SlowDeletes(memory, turns) });
    await using waited = await VfsWorld.open({ ...given, store: plain, options: { metadataTtlMs: 0 } });
    for (const { user } of [soon, waited]) {
      for (const directory of ["d", "d/e"]) await user.mkdir(directory);
      for (const file of ["a", "b", "d/x", "d/y", "d/z", "d/e/x"]) await user.writeFile(file, file);
    }
    for (const [index, { call, from, to, passes }] of steps.entries()) {
      const told = `${index}: ${call} ${from} ${to}`;
      const results = [soon, waited].map(({ user }) => faultOf(() => perform(user, call, from, to, `${index}`)));
      expect(await results[0], told).toBe(await results[1]);
      if (passes) for (const { clock } of [soon, waited]) clock.advance(METADATA_TTL_MS * 2);
    }
    await soon.fs.syncAll();
    const held = (store: MemoryObjectStore) => store.keys.map((key) => [key, store.text(key)]);
    expect(held(memory)).toEqual(held(plain));
  });
  await fc.assert(check, { numRuns: Number(process.env["REMOVAL_RUNS"] ?? 100) });
});
