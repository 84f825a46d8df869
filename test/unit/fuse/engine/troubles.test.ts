import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Cause } from "#core/causes.ts";
import { DriverError, type Fault } from "#core/errors.ts";
import { silentLogger } from "#core/log.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import { EngineTroubles, type FreeSpace } from "#fuse/engine/troubles.ts";

const PLENTY: FreeSpace = { bytes: 1 << 30, files: 1 << 20 };

function world(works = true) {
  const time = { ms: 0 };
  const reports: TroubleReport[] = [];
  const state = { free: PLENTY, asked: 0, store: (): void => undefined };
  const troubles = new EngineTroubles({
    ...{ log: silentLogger, report: (report) => void reports.push(report), stateDir: "/state", clock: { now: () => time.ms } },
    freeSpace: async () => state.free,
    askStore: async () => {
      state.asked++;
      state.store();
    },
  });
  if (works) {
    troubles.start();
    troubles.stop();
  }
  return { time, state, troubles, told: () => reports.splice(0).map((report) => `${report.type} ${report.cause}`), reports };
}

const error = (fault: Fault, cause: Cause, context = {}) => new DriverError(fault, "it failed", { context: { cause, ...context } });

describe("EngineTroubles", () => {
  it("keeps what it finds to itself until the mount works, and forgets what was over by then", () => {
    const { troubles, time, told } = world(false);
    troubles.failed(error("unauthenticated", "clock_skew", { skewMs: 1_200_000 }), "ListObjectsV2");
    troubles.failed(error("bad_argument", "wrong_region"), "ListObjectsV2");
    time.ms = 60_000;
    troubles.succeeded("ListObjectsV2");
    expect(told()).toEqual([]);
    troubles.start();
    troubles.stop();
    expect(told()).toEqual(["trouble clock_skew"]);
  });

  it("asks a store that was in trouble until it answers, and lets a healthy one alone", async () => {
    const { time, state, troubles, told } = world();
    await troubles.look();
    expect(state.asked).toBe(0);
    troubles.failed(error("denied", "access_denied"), "ListObjectsV2");
    state.store = () => troubles.failed(error("denied", "access_denied"), "ListObjectsV2");
    time.ms = 60_000;
    await troubles.look();
    expect([state.asked, told()]).toEqual([1, ["trouble access_denied"]]);
    state.store = () => troubles.succeeded("ListObjectsV2");
    time.ms = 120_000;
    await troubles.look();
    await troubles.look();
    expect([state.asked, told()]).toEqual([2, ["recovered access_denied"]]);
  });

  it("reports a disk that is nearly full, by bytes or by files, and that it has room again", async () => {
    const { state, troubles, told, reports } = world();
    state.free = { bytes: 3 << 20, files: 1000 };
    await troubles.look();
    expect(reports).toEqual([{ type: "trouble", cause: "disk_full", message: 'the disk of "/state" has 3 MiB left' }]);
    state.free = PLENTY;
    await troubles.look();
    expect(told()).toEqual(["trouble disk_full", "recovered disk_full"]);
    state.free = { bytes: 1 << 30, files: 0 };
    await troubles.look();
    expect(told()).toEqual(["trouble disk_full"]);
  });

  it("believes a refused write before it looks", () => {
    const { troubles, told } = world();
    troubles.onDisk(Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" }));
    troubles.onDisk(new Error("something else"));
    expect(told()).toEqual(["trouble disk_full"]);
  });

  it("says how many files wait for their upload, and why", () => {
    const { troubles, told, reports } = world();
    troubles.onUploads(2, new DriverError("denied", "PutObject s3://b/k: AccessDenied"));
    expect(reports[0]).toMatchObject({ message: "2 closed files are not in the bucket yet: PutObject s3://b/k: AccessDenied" });
    troubles.onUploads(0, undefined);
    troubles.onUploads(0, undefined);
    expect(told()).toEqual(["trouble uploads_failing", "recovered uploads_failing"]);
  });

  it("reports a wrong clock although requests go on with the store's time, until the clock is right", () => {
    const { time, troubles, told } = world();
    troubles.failed(error("unauthenticated", "clock_skew", { skewMs: 1_200_000 }), "HeadObject");
    time.ms = 60_000;
    troubles.succeeded("HeadObject");
    expect(told()).toEqual(["trouble clock_skew"]);
    troubles.failed(error("unauthenticated", "clock_skew", { skewMs: 300 }), "HeadObject");
    expect(told()).toEqual(["recovered clock_skew"]);
  });

  it("takes keys that may only read for no trouble while it probes, and for trouble when something is written", async () => {
    const { troubles, told } = world();
    const denied = error("denied", "access_denied");
    await troubles.probing(async () => troubles.failed(denied, "PutObject"));
    expect(told()).toEqual([]);
    troubles.failed(denied, "PutObject");
    expect(told()).toEqual(["trouble access_denied"]);
  });

  it("finds the space of a real disk, and survives one that is gone", async () => {
    const dir = await mkdtemp(join(tmpdir(), "bucketmount-troubles-"));
    const reports: TroubleReport[] = [];
    const common = { log: silentLogger, report: (report: TroubleReport) => void reports.push(report), askStore: async () => undefined };
    await new EngineTroubles({ ...common, stateDir: dir }).look();
    await rm(dir, { recursive: true });
    await new EngineTroubles({ ...common, stateDir: dir }).look();
    expect(reports).toEqual([]);
  });
});
