import { expect, test } from "vitest";
import type { VolumeStatus } from "#csi/metrics.ts";
import type { MountHealth } from "#node/supervisor.ts";
import { type SampledVolume, sampleVolumes } from "#node/volume-samples.ts";

const STATUS: VolumeStatus = {
  ...{ takeovers: 0, dirtyFiles: 1, dirtyBytes: 2, openHandles: 3, inodes: 4, retries: 5, rssBytes: 6 },
  ...{ cache: { bytes: 0, limitBytes: 0, files: 0, hits: 0, misses: 0 }, requests: {}, errors: {} },
};

function volume(volumeId: string, status: () => Promise<VolumeStatus>, engine: MountHealth["engine"] = "serving") {
  const asked = { count: 0 };
  const supervisor = {
    health: { engine, enginePid: 1, restarts: 2 },
    status: () => {
      asked.count++;
      return status();
    },
  };
  const mount = { volumeId, config: { store: { bucket: `bucket-${volumeId}`, prefix: "p/" } } };
  return { asked, sampled: { mount, supervisor } as unknown as SampledVolume };
}

const options = { troublesOf: () => ["disk_full"], claimOf: () => ({ namespace: "team", name: "maven" }), answerMs: 50 };

test("`sampleVolumes` tells of each volume what its engine and supervisor say", async () => {
  const { sampled } = volume("a", async () => STATUS);
  expect(await sampleVolumes([sampled], options)).toEqual([
    {
      ...{ volumeId: "a", bucket: "bucket-a", prefix: "p/", state: "serving", restarts: 2, status: STATUS },
      ...{ troubles: ["disk_full"], claim: { namespace: "team", name: "maven" } },
    },
  ]);
});

test("`sampleVolumes` waits for no engine that hangs, and tells the others as ever", async () => {
  const hung = volume("hung", () => new Promise(() => undefined));
  const well = volume("well", async () => STATUS);
  const samples = await sampleVolumes([hung.sampled, well.sampled], options);
  expect(samples.map(({ state, status }) => [state, status !== undefined])).toEqual([
    ["silent", false],
    ["serving", true],
  ]);
});

test("`sampleVolumes` does not ask a hung engine again at each scrape, and hears it when it answers after all", async () => {
  const { promise, resolve } = Promise.withResolvers<VolumeStatus>();
  const { asked, sampled } = volume("slow", () => promise);
  for (let i = 0; i < 3; i++) await sampleVolumes([sampled], options);
  expect(asked.count).toBe(1);
  resolve(STATUS);
  expect((await sampleVolumes([sampled], { ...options, answerMs: 30_000 }))[0]?.state).toBe("serving");
});

test("`sampleVolumes` takes an engine that ends during the question for silent, and asks none that is being restarted", async () => {
  const gone = volume("gone", () => Promise.reject(new Error("ended meanwhile")));
  const restarting = volume("new", async () => STATUS, "restarting");
  const samples = await sampleVolumes([gone.sampled, restarting.sampled], options);
  expect(samples.map(({ state }) => state)).toEqual(["silent", "restarting"]);
  expect(restarting.asked.count).toBe(0);
});
