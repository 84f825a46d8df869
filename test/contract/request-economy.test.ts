/**
 * What an operation costs in S3 requests, for both durabilities: a change that makes any of them dearer must be made on purpose.
 * The directory is known before each step, as it is to a process that works in it; what the step leaves unsent is sent at its end.
 */
import { describe, expect, it } from "vitest";
import { type KernelUser, O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY } from "../support/kernel-user.ts";
import { VfsWorld } from "../support/vfs-world.ts";

type Requests = Readonly<Record<string, number>>;

interface Step {
  readonly title: string;
  readonly prepare?: (user: KernelUser) => Promise<unknown>;
  readonly work: (user: KernelUser) => Promise<unknown>;
  readonly remote: Requests;
  readonly local: Requests;
}

const PUT: Requests = { PutObject: 1 };
const FREE: Requests = {};

async function saveOver(user: KernelUser): Promise<void> {
  const file = await user.open("f.tmp", O_WRONLY | O_CREAT | O_EXCL);
  await file.write(0, "new");
  await file.close();
  await user.rename("f.tmp", "f");
}

const STEPS: readonly Step[] = [
  { title: "a new file of one byte", work: (user) => user.writeFile("f", "x"), remote: PUT, local: PUT },
  {
    title: "an overwritten file",
    prepare: (user) => user.writeFile("f", "x"),
    work: (user) => user.writeFile("f", "y"),
    remote: PUT,
    local: PUT,
  },
  {
    title: "a temporary file, written, closed and renamed",
    work: saveOver,
    remote: { PutObject: 1, CopyObject: 1, DeleteObject: 1 },
    local: PUT,
  },
  {
    title: "a temporary file, written, closed and renamed over an object",
    prepare: (user) => user.writeFile("f", "old"),
    work: saveOver,
    remote: { PutObject: 1, CopyObject: 1, DeleteObject: 1 },
    local: PUT,
  },
  {
    title: "the same three times",
    work: async (user) => {
      for (let i = 0; i < 3; i++) await saveOver(user);
    },
    remote: { PutObject: 3, CopyObject: 3, DeleteObject: 3 },
    local: PUT,
  },
  {
    title: "a temporary file, written, closed and removed",
    work: async (user) => {
      await user.writeFile("tmp", "x");
      await user.unlink("tmp");
    },
    remote: { PutObject: 1, DeleteObject: 1 },
    local: FREE,
  },
  {
    title: "a file that is removed and made again",
    prepare: (user) => user.writeFile("f", "x"),
    work: async (user) => {
      await user.unlink("f");
      await user.writeFile("f", "y");
    },
    remote: { DeleteObject: 1, PutObject: 1 },
    local: { DeleteObject: 1, PutObject: 1 },
  },
  {
    title: "ten appends, each with a close",
    work: async (user) => {
      for (let i = 0; i < 10; i++) {
        const file = await user.open("log", O_WRONLY | O_CREAT);
        await file.append("line\n");
        await file.close();
      }
    },
    remote: { PutObject: 10 },
    local: PUT,
  },
  {
    title: "a file that is opened for writing and not written",
    prepare: (user) => user.writeFile("f", "x"),
    work: async (user) => (await user.open("f", O_RDWR)).close(),
    remote: FREE,
    local: FREE,
  },
  {
    title: "a copy that keeps mode, owner and times, set after the close",
    work: async (user) => {
      await user.writeFile("f", "x");
      await user.setattr("f", { mode: 0o600 });
      await user.setattr("f", { uid: 7, gid: 7 });
      await user.setattr("f", { mtime: { sec: 1, nsec: 0 }, atime: { sec: 1, nsec: 0 } });
    },
    remote: { PutObject: 1, CopyObject: 3 },
    local: PUT,
  },
  {
    title: "mode, owner, times and an extended attribute of an object",
    prepare: (user) => user.writeFile("f", "x"),
    work: async (user) => {
      await user.setattr("f", { mode: 0o600 });
      await user.setattr("f", { uid: 7, gid: 7 });
      await user.setattr("f", { mtime: { sec: 1, nsec: 0 } });
      await user.setxattr("f", "user.a", "b");
    },
    remote: { CopyObject: 4 },
    local: { CopyObject: 1 },
  },
  {
    title: "a file cut to nothing by path, and written",
    prepare: (user) => user.writeFile("f", "xxx"),
    work: async (user) => {
      await user.setattr("f", { size: 0 });
      await user.writeFile("f", "y", O_WRONLY);
    },
    remote: { PutObject: 2 },
    local: PUT,
  },
  {
    title: "a new directory with two files, renamed",
    work: async (user) => {
      await user.mkdir("d");
      await user.writeFile("d/a", "a");
      await user.writeFile("d/b", "b");
      await user.rename("d", "e");
    },
    // A marker is put anew, after a HEAD, since not every store copies it.
    remote: { PutObject: 4, ListObjectsV2: 1, HeadObject: 1, CopyObject: 2, DeleteObjects: 1 },
    local: { PutObject: 4, ListObjectsV2: 1, HeadObject: 1, DeleteObjects: 1 },
  },
  {
    title: "an fsync after each of two writes, and the close",
    work: async (user) => {
      const file = await user.open("f", O_WRONLY | O_CREAT | O_TRUNC);
      for (let i = 0; i < 2; i++) {
        await file.write(i, "x");
        await file.fsync();
      }
      await file.close();
    },
    remote: { PutObject: 2 },
    local: { PutObject: 2 },
  },
  {
    title: "a missing name, a stat and a read of what was just written",
    prepare: (user) => user.writeFile("f", "x"),
    work: async (user) => {
      expect(await user.exists("g")).toBe(false);
      expect((await user.stat("f")).size).toBe(1);
      expect(await user.text("f")).toBe("x");
    },
    remote: FREE,
    local: FREE,
  },
];

for (const durability of ["remote", "local"] as const) {
  for (const passthrough of [false, true]) {
    describe(`Requests with durability=${durability}${passthrough ? ", passthrough" : ""}`, () => {
      for (const step of STEPS) {
        const cost = Object.entries(step[durability]).map(([operation, count]) => `${count} ${operation}`);
        it(`${step.title}: ${cost.join(", ") || "none"}`, async () => {
          // Nothing is sent before it is asked for: the counts do not hang on the machine's speed.
          const uploadDelays = { quietMs: 600_000, latestMs: 600_000, retryMs: 600_000 };
          await using world = await VfsWorld.open({ passthrough, options: { durability, uploadDelays } });
          await step.prepare?.(world.user);
          await world.fs.syncAll();
          await world.user.readdir("");
          world.memory.resetRequests();
          await step.work(world.user);
          await world.fs.syncAll();
          expect(world.memory.requests).toEqual(step[durability]);
          expect(world.conflicts()).toEqual({});
          expect(world.spooled()).toEqual([]);
          await using other = await world.other();
          expect((await other.user.readdir("")).toSorted()).toEqual((await world.user.readdir("")).toSorted());
        });
      }
    });
  }
}
