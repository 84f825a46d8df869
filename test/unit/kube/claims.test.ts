import { expect, test } from "vitest";
import { DriverError } from "#core/errors.ts";
import { ClaimFinder } from "#kube/claims.ts";
import type { KubeApi, PersistentVolume } from "#kube/kube-api.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

const claim = (name: string) => ({ namespace: "team", name, uid: `uid-${name}` });

function volume(n: number, more: Partial<PersistentVolume> = {}): PersistentVolume {
  return { name: `pv-${n}`, driver: "s3.test", volumeHandle: `v${n}`, claim: claim(`c${n}`), ...more };
}

/** A thousand volumes, most of them other drivers'. */
function world() {
  const time = { ms: 0 };
  const foreign = (n: number): PersistentVolume => volume(n, { driver: "other.test" });
  const volumes = Array.from({ length: 1000 }, (_, n) => (n % 100 === 0 ? volume(n) : foreign(n)));
  const state = { volumes, asked: [] as string[], failing: false };
  const api: Pick<KubeApi, "readPersistentVolume" | "listPersistentVolumes"> = {
    async readPersistentVolume(name) {
      state.asked.push(name);
      const found = state.volumes.find((one) => one.name === name);
      if (found === undefined) throw new DriverError("not_found", name);
      return found;
    },
    async listPersistentVolumes(limit, next = "0") {
      state.asked.push(`list from ${next}`);
      if (state.failing) throw new DriverError("denied", "persistentvolumes is forbidden");
      const end = Number(next) + limit;
      return { items: state.volumes.slice(Number(next), end), next: end < state.volumes.length ? String(end) : undefined };
    },
  };
  const log = recordingLogger();
  const finder = new ClaimFinder({ api: api as KubeApi, driverName: "s3.test", log, clock: { now: () => time.ms } });
  return { time, state, log, finder };
}

test("`find` lists until it knows, and remembers what it saw on the way", async () => {
  const { state, finder } = world();
  expect(finder.known("v300")).toBeUndefined();
  expect(await finder.find("v300")).toEqual(claim("c300"));
  expect(await finder.find("v100")).toEqual(claim("c100"));
  expect(finder.known("v0")).toEqual(claim("c0"));
  expect(state.asked).toEqual(["list from 0", "list from 250"]);
});

test("`find` asks the volume by its name when its answer has grown old", async () => {
  const { time, state, finder } = world();
  await finder.find("v300");
  time.ms += 11 * 60_000;
  state.volumes[300] = volume(300, { claim: claim("another") });
  expect(await finder.find("v300")).toEqual(claim("another"));
  expect(state.asked.slice(2)).toEqual(["pv-300"]);
});

test("`find` lists again when the volume of that name is gone, or has become another", async () => {
  const { time, state, finder } = world();
  await finder.find("v0");
  time.ms += 11 * 60_000;
  state.volumes = [volume(7, { volumeHandle: "v0", claim: claim("moved") })];
  expect(await finder.find("v0")).toEqual(claim("moved"));
});

test("`find` does not believe a handle of another driver", async () => {
  const { finder } = world();
  expect(await finder.find("v7")).toBeUndefined();
});

test("`find` lists once for many who ask at the same time, and not again for a minute where there is nothing", async () => {
  const { time, state, finder } = world();
  const found = await Promise.all(["v0", "v100", "v200", "v900", "v900"].map((handle) => finder.find(handle)));
  expect(found.map((one) => one?.name)).toEqual(["c0", "c100", "c200", "c900", "c900"]);
  const lists = state.asked.length;
  expect(lists).toBeLessThanOrEqual(5);
  expect(await finder.find("nothing")).toBeUndefined();
  expect(await finder.find("nothing")).toBeUndefined();
  expect(state.asked.length).toBe(lists + 4);
  time.ms += 61_000;
  await finder.find("nothing");
  expect(state.asked.length).toBe(lists + 8);
});

test("`find` never rejects: without the right to list it keeps what it knew, says so and pauses", async () => {
  const { time, state, log, finder } = world();
  await finder.find("v0");
  state.failing = true;
  state.volumes = [];
  expect(await finder.find("v500")).toBeUndefined();
  expect(await finder.find("v500")).toBeUndefined();
  expect(log.lines.map(({ level }) => level)).toEqual(["warn"]);
  time.ms += 11 * 60_000;
  expect(await finder.find("v0")).toEqual(claim("c0"));
});

test("`find` knows a volume without a claim", async () => {
  const { state, finder } = world();
  state.volumes = [volume(1, { claim: undefined })];
  expect(await finder.find("v1")).toBeUndefined();
});
