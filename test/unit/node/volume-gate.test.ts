import { expect, test } from "vitest";
import { isFault } from "#core/errors.ts";
import { VolumeGate } from "#node/volume-gate.ts";

const refused = async (work: Promise<unknown>) => isFault(await work.catch((error: unknown) => error), "conflict");

test("`VolumeGate` lets targets of a volume go side by side, but no target twice and nobody beside who is alone", async () => {
  const gate = new VolumeGate();
  const { promise, resolve } = Promise.withResolvers<void>();
  const first = gate.atTarget("v", "/a", () => promise);
  const second = gate.atTarget("v", "/b", () => promise);
  expect(await refused(gate.atTarget("v", "/a", async () => undefined))).toBe(true);
  expect(await refused(gate.alone("v", async () => undefined))).toBe(true);
  expect(await gate.alone("other", async () => 1)).toBe(1);
  resolve();
  await Promise.all([first, second]);
  const alone = gate.alone("v", async () => {
    expect(await refused(gate.atTarget("v", "/a", async () => undefined))).toBe(true);
    expect(await refused(gate.alone("v", async () => undefined))).toBe(true);
    return 2;
  });
  expect(await alone).toBe(2);
});

test("`VolumeGate` is open again when an operation failed", async () => {
  const gate = new VolumeGate();
  const fail = () => Promise.reject(new Error("no"));
  await expect(gate.alone("v", fail)).rejects.toThrow("no");
  await expect(gate.atTarget("v", "/a", fail)).rejects.toThrow("no");
  expect(await gate.alone("v", async () => 3)).toBe(3);
});
