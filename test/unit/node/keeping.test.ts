import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentLogger } from "#core/log.ts";
import { createKeeping, type Keeping } from "#node/keeping.ts";
import type { StagedVolumes, Supervised } from "#node/staged-volumes.ts";
import { VolumeGate } from "#node/volume-gate.ts";
import { VolumeRecords } from "#node/volume-records.ts";
import { MemoryKeeper } from "../../support/memory-keeper.ts";

let dir: string;
let fd: number;
let keeper: MemoryKeeper;
let keeping: Keeping;
let all: Supervised[];

const supervised = (volumeId: string): Supervised =>
  ({ mount: { volumeId, config: { store: {} } }, supervisor: { device: "0:57", deviceFd: fd } }) as unknown as Supervised;
const kept = () => [...keeper.deposits.keys()].sort();

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "keeping-"));
  fd = openSync("/dev/null", "r");
  keeper = new MemoryKeeper();
  all = [];
  const staged = { all: () => all, supervised: () => undefined } as unknown as StagedVolumes;
  keeping = createKeeping({
    ...{ keeper, staged: () => staged, records: new VolumeRecords(dir), gate: new VolumeGate(), log: silentLogger },
    defaults: { credentials: { kind: "chain" } },
  });
});
afterEach(() => {
  keeping.close();
  keeper.kill();
  closeSync(fd);
  rmSync(dir, { recursive: true });
});

test("what is supervised and what waits to be taken over is deposited with every new keeper; what has ended is not", async () => {
  // Of a younger plugin, so it waits.
  await keeper.deposit({ volumeId: "waiting", device: "0:58", fd, blob: Buffer.from('{"format":99}') });
  all = [supervised("mine"), supervised("ended")];
  all[1] = { ...supervised("ended"), supervisor: { device: "0:59", deviceFd: undefined } } as unknown as Supervised;
  await keeping.link.start();
  expect(kept()).toEqual(["mine", "waiting"]);
  keeper.kill();
  keeper.revive();
  await expect.poll(kept).toEqual(["mine", "waiting"]);
});

test("`custody` deposits a new mount, and withdraws one that is gone", async () => {
  await keeping.link.start();
  await keeping.custody.keep(supervised("v"));
  expect(kept()).toEqual(["v"]);
  await keeping.custody.letGo({ volumeId: "v", device: "0:57" });
  expect(kept()).toEqual([]);
});
