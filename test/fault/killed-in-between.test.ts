/**
 * An engine that dies in the middle of one operation: before its n-th request, or right after the store carried that out. What had been
 * acknowledged before is there afterwards, under the old name or the new one, and nothing of it is taken for a conflict.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { ObjectStore } from "#s3/object-store.ts";
import type { KernelUser } from "../support/kernel-user.ts";
import { O_WRONLY } from "../support/kernel-user.ts";
import { MemoryObjectStore } from "../support/memory-object-store.ts";
import { VfsWorld } from "../support/vfs-world.ts";

/** Requests beyond `left` get no answer; with `carriesOut` the first of them reaches the store all the same. */
interface Fate {
  left: number;
  carriesOut: boolean;
  dead: boolean;
}

function doomed(store: MemoryObjectStore, fate: Fate): ObjectStore {
  return new Proxy<ObjectStore>(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== "function" || property === "close") return value;
      const call = (args: unknown[]) => Reflect.apply(value, target, args) as Promise<unknown>;
      return async (...args: unknown[]) => {
        const isFirstBeyond = fate.left === 0;
        fate.left -= 1;
        if (fate.left >= 0) return call(args);
        if (isFirstBeyond && fate.carriesOut) await call(args);
        fate.dead = true;
        return new Promise(() => undefined);
      };
    },
  });
}

interface Case {
  readonly title: string;
  readonly work: (user: KernelUser) => Promise<unknown>;
  /** Names of which one must have the newest content; "-": none must. */
  readonly newest: readonly string[];
}

const CASES: readonly Case[] = [
  { title: "rename of a changed file", work: (user) => user.rename("d/f", "d/g"), newest: ["d/f", "d/g"] },
  { title: "rename of a changed file over another", work: (user) => user.rename("d/f", "d/over"), newest: ["d/f", "d/over"] },
  { title: "rename of a new file over another", work: (user) => user.rename("d/new", "d/over"), newest: ["d/f"] },
  { title: "rename of the directory", work: (user) => user.rename("d", "e"), newest: ["d/f", "e/f"] },
  { title: "unlink of the changed file", work: (user) => user.unlink("d/f"), newest: ["-", "d/f"] },
  { title: "unlink of another", work: (user) => user.unlink("d/over"), newest: ["d/f"] },
  {
    title: "fsync",
    work: async (user) => {
      const file = await user.open("d/f", O_WRONLY);
      await file.fsync();
      await file.close();
    },
    newest: ["d/f"],
  },
  { title: "chmod", work: (user) => user.setattr("d/f", { mode: 0o600 }), newest: ["d/f"] },
  { title: "the upload of all", work: (user) => user.fs.syncAll(), newest: ["d/f"] },
];

const NEWEST = "the newest content";
const MOST_REQUESTS = 12;

/** The engine lives for so many requests of the operation. Answers whether that was enough to end it. */
async function dies({ work, newest }: Case, left: number, carriesOut: boolean): Promise<boolean> {
  const memory = new MemoryObjectStore();
  const fate: Fate = { left: Number.POSITIVE_INFINITY, carriesOut: false, dead: false };
  const uploadDelays = { quietMs: 600_000, latestMs: 600_000, retryMs: 600_000 };
  const options = { durability: "local", uploadDelays } as const;
  const first = await VfsWorld.open({ store: doomed(memory, fate), journal: true, options });
  await first.user.mkdir("d");
  await first.user.writeFile("d/f", "old content");
  await first.user.writeFile("d/over", "another");
  await first.fs.syncAll();
  await first.user.writeFile("d/f", NEWEST);
  await first.user.writeFile("d/new", "new");
  Object.assign(fate, { left, carriesOut });
  let done = false;
  const working = work(first.user).then(() => {
    done = true;
  });
  while (!done && !fate.dead) await sleep(1);
  if (done) await working;
  // Requests of the next life are not counted.
  await using next = await first.successor(false, { store: memory });
  await next.fs.syncAll();
  const title = `after ${left} requests${carriesOut ? ", the next carried out" : ""}`;
  const texts = new Map(memory.keys.map((key) => [key, memory.text(key)]));
  const there = newest.some((name) => texts.get(name) === NEWEST);
  expect(there || newest.includes("-"), `${title}: ${JSON.stringify([...texts])}`).toBe(true);
  if (!newest.includes("-")) expect([...texts.values()].includes("new"), title).toBe(true);
  expect(next.conflicts(), title).toEqual({});
  expect(next.spooled(), title).toEqual([]);
  return done;
}

describe("An engine that dies in the middle of", () => {
  for (const one of CASES) {
    for (const carriesOut of [false, true]) {
      it(`${one.title}${carriesOut ? ", its last request carried out" : ""}`, async () => {
        let left = 0;
        while (left < MOST_REQUESTS && !(await dies(one, left, carriesOut))) left += 1;
        expect(left).toBeLessThan(MOST_REQUESTS);
      });
    }
  }
});
