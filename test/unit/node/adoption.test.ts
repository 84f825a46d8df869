import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DriverError } from "#core/errors.ts";
import { resolveMountOptions } from "#core/options.ts";
import type { DepositName } from "#keeper/client.ts";
import { type AdoptionFacts, MountAdopter, misfitOf } from "#node/adoption.ts";
import { encodeKeptMount } from "#node/kept-mount.ts";
import type { StagedVolumes, VolumeMount } from "#node/staged-volumes.ts";
import type { LiveConnection } from "#node/supervisor.ts";
import { VolumeGate } from "#node/volume-gate.ts";
import { VolumeRecords } from "#node/volume-records.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

const FACTS: AdoptionFacts = { connection: 57, stagedOn: "/staging", mountedOn: "/staging" };

describe("misfitOf", () => {
  const misfit = (facts: Partial<AdoptionFacts>, keptFor = "v") =>
    misfitOf({ volumeId: "v", device: "0:57" }, keptFor, { ...FACTS, ...facts });

  test("`misfitOf` has nothing to say when everything agrees, on kernels that do not name the connection too", () => {
    expect(misfit({})).toBeUndefined();
    expect(misfit({ connection: undefined })).toBeUndefined();
  });

  test.each([
    ["the descriptor is of another connection", { connection: 58 }, "v", /connection 58/],
    ["the volume has no record", { stagedOn: undefined }, "v", /no record/],
    ["the volume is staged elsewhere", { stagedOn: "/elsewhere" }, "v", /elsewhere/],
    ["it was kept for another volume", {}, "w", /volume w/],
  ])("`misfitOf` says so when %s", (_, facts, keptFor, words) => {
    expect(misfit(facts, keptFor)).toMatch(words);
  });
});

const MOUNT: VolumeMount = {
  volumeId: "v",
  fingerprint: "f",
  keys: "driver",
  config: {
    store: { bucket: "b", prefix: "", region: "r", credentials: { kind: "chain" } },
    options: resolveMountOptions({}, { uid: 0, gid: 0 }),
    mountPoint: "/staging",
    stateDir: "/state",
    cacheSizeBytes: 1000,
    logLevel: "info",
  },
};

describe("MountAdopter", () => {
  let dir: string;
  let records: VolumeRecords;
  let gate: VolumeGate;
  let adopter: MountAdopter;
  let withdrawn: DepositName[];
  /** What `resume` does: throws the first of these, if there is one. */
  let refusals: DriverError[];
  let resumed: (LiveConnection & { mount: VolumeMount })[];
  let serving: PromiseWithResolvers<unknown>;
  let log: ReturnType<typeof recordingLogger>;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "adoption-"));
    records = new VolumeRecords(dir);
    await records.change("v", () => ({ volumeId: "v", fingerprint: "f", stagingPath: "/staging", targets: [], phase: "staged" }));
    [gate, withdrawn, refusals, resumed, log] = [new VolumeGate(), [], [], [], recordingLogger()];
    serving = Promise.withResolvers();
    const staged = {
      supervised: () => undefined,
      resume: async (mount: VolumeMount, connection: LiveConnection) => {
        const refusal = refusals.shift();
        if (refusal !== undefined) throw refusal;
        resumed.push({ ...connection, mount });
        return { supervisor: { health: { enginePid: 1 }, status: () => serving.promise } };
      },
    } as unknown as StagedVolumes;
    const withdraw = async (name: DepositName) => void withdrawn.push({ volumeId: name.volumeId, device: name.device });
    adopter = new MountAdopter({ staged: () => staged, records, gate, credentials: { kind: "chain" }, withdraw, log, retryMs: 5 });
  });
  afterEach(() => {
    adopter.close();
    for (const { deviceFd } of resumed) closeSync(deviceFd);
    rmSync(dir, { recursive: true });
  });

  /** A descriptor that the adopter closes, or `resume` has. */
  function take(more: object = {}): number {
    const fd = openSync("/dev/null", "r");
    adopter.take({ volumeId: "v", device: "0:57", fd, blob: encodeKeptMount(MOUNT), ...more });
    return fd;
  }
  const isOpen = (fd: number) => {
    try {
      return fstatSync(fd).isCharacterDevice();
    } catch {
      return false;
    }
  };
  const gateIsOpen = () =>
    gate
      .alone("v", async () => true)
      .then(
        () => true,
        () => false,
      );

  test("`take` closes the volume's gate at once, and opens it when the successor serves", async () => {
    const fd = take();
    expect(await gateIsOpen()).toBe(false);
    await expect.poll(() => resumed).toHaveLength(1);
    expect(resumed[0]).toMatchObject({ deviceFd: fd, device: "0:57", mount: { config: { stateDir: records.folder("v") } } });
    expect(await gateIsOpen()).toBe(false);
    expect(adopter.waiting()).toEqual([]);
    serving.resolve({});
    await expect.poll(gateIsOpen).toBe(true);
    expect(isOpen(fd)).toBe(true);
  });

  test("a mount that an engine of before serves is held, with the gate open, and taken over when that ends", async () => {
    refusals.push(...Array.from({ length: 3 }, () => new DriverError("in_use", "an engine has it")));
    const fd = take();
    expect(adopter.waiting()).toMatchObject([{ volumeId: "v", fd }]);
    await expect.poll(() => log.lines.length).toBeGreaterThan(0);
    await expect.poll(() => resumed).toHaveLength(1);
    expect(log.lines.filter(({ message }) => message.includes("an engine of before"))).toHaveLength(1);
    expect(withdrawn).toEqual([]);
  });

  test("a mount that fits no volume is given up: nobody must wait for ever for what nobody can serve", async () => {
    const fd = take({ blob: encodeKeptMount({ ...MOUNT, volumeId: "w" }) });
    await expect.poll(() => withdrawn).toEqual([{ volumeId: "v", device: "0:57" }]);
    await expect.poll(() => isOpen(fd)).toBe(false);
    expect([adopter.waiting(), resumed]).toEqual([[], []]);
    await expect.poll(gateIsOpen).toBe(true);
  });

  test("what cannot be read is held and never given up: a younger plugin may know it", async () => {
    const fd = take({ blob: Buffer.from('{"format":99}') });
    await expect.poll(() => log.lines.length).toBe(1);
    expect([isOpen(fd), adopter.waiting().length, withdrawn.length]).toEqual([true, 1, 0]);
    adopter.close();
    await expect.poll(() => isOpen(fd)).toBe(false);
  });

  test("a call that has the volume goes first", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const call = gate.alone("v", () => promise);
    take();
    await new Promise((wait) => setTimeout(wait, 30));
    expect(resumed).toEqual([]);
    resolve();
    await call;
    await expect.poll(() => resumed).toHaveLength(1);
    expect(log.lines.filter(({ level }) => level === "warn" || level === "error")).toHaveLength(1); // only: it shows nowhere in this view
  });

  test("`take` of a volume that waits already keeps the first and closes the second", async () => {
    refusals.push(...Array.from({ length: 1000 }, () => new DriverError("in_use", "an engine has it")));
    const [first, second] = [take(), take()];
    expect([isOpen(first), isOpen(second), adopter.waiting().length]).toEqual([true, false, 1]);
  });
});
