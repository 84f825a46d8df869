import { closeSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { silentLogger } from "#core/log.ts";
import type { Deposit } from "#keeper/client.ts";
import { KeeperLink } from "#node/keeper-link.ts";
import { MemoryKeeper } from "../../support/memory-keeper.ts";

let keeper: MemoryKeeper;
let held: Deposit[];
let taken: Deposit[];
let fd: number;
let link: KeeperLink;

const deposit = (volumeId: string, about = "", device = "0:1"): Deposit => ({ volumeId, device, fd, blob: Buffer.from(about) });
const keptBy = () => [...keeper.deposits.values()].map(({ volumeId, blob }) => `${volumeId}=${Buffer.from(blob).toString()}`).sort();

beforeEach(() => {
  keeper = new MemoryKeeper();
  [held, taken] = [[], []];
  fd = openSync("/dev/null", "r");
  const take = (found: Deposit) => {
    taken.push(found);
    held.push(found);
  };
  link = new KeeperLink({ keeper, held: () => held, take, log: silentLogger, lookMs: 10 });
});
afterEach(() => {
  link.close();
  keeper.kill();
  for (const found of taken) closeSync(found.fd);
  closeSync(fd);
});

describe("KeeperLink", () => {
  test("`start` takes over what is kept and not held, before it resolves, and deposits what is held", async () => {
    await keeper.deposit(deposit("theirs", "old"));
    await keeper.deposit(deposit("mine", "old"));
    held.push(deposit("mine", "new"));
    await link.start();
    expect(taken.map(({ volumeId }) => volumeId)).toEqual(["theirs"]);
    expect(keptBy()).toEqual(["mine=new", "theirs=old"]);
    expect(link.attached).toBe(true);
  });

  test("takes over what a plugin that is about to end deposits after its successor has attached", async () => {
    await link.start();
    await keeper.deposit(deposit("late", "old"));
    while (taken.length === 0) await sleep(5);
    expect(taken.map(({ volumeId }) => volumeId)).toEqual(["late"]);
  });

  test("`start` resolves when there is no keeper, and one that comes gets everything", async () => {
    keeper.kill();
    await link.start();
    expect(link.attached).toBe(false);
    held.push(deposit("mine"));
    await link.keep(held[0] as Deposit);
    keeper.revive();
    await expect.poll(() => link.attached).toBe(true);
    expect(keptBy()).toEqual(["mine="]);
  });

  test("a keeper that was replaced gets everything again", async () => {
    held.push(deposit("a"), deposit("b"));
    await link.start();
    for (let time = 1; time <= 3; time++) {
      keeper.kill();
      await expect.poll(() => link.attached).toBe(false);
      keeper.revive();
      await expect.poll(() => link.attached).toBe(true);
      expect(keptBy()).toEqual(["a=", "b="]);
    }
  });

  test("`keep` and `letGo` tell the keeper, and never fail", async () => {
    await link.start();
    await link.keep(deposit("a"));
    await link.keep(deposit("b"));
    await link.letGo({ volumeId: "a", device: "0:1" });
    expect(keptBy()).toEqual(["b="]);
    keeper.ended = true; // gone, and the link does not know it yet
    await link.keep(deposit("c"));
    await link.letGo({ volumeId: "b", device: "0:1" });
  });

  test("`leave` makes the keeper stay when it is asked to end, until somebody else has attached", async () => {
    held.push(deposit("a"));
    await link.start();
    expect(await link.leave(0)).toBe(true);
    keeper.stop();
    expect(keeper.ended).toBe(false);
    await keeper.attach();
    expect(keeper.ended).toBe(true);
  });

  test("`leave` waits for a keeper that is being replaced", async () => {
    held.push(deposit("a"));
    await link.start();
    keeper.kill();
    const left = link.leave(60_000);
    await sleep(100);
    keeper.revive();
    expect(await left).toBe(true);
    expect(keptBy()).toEqual(["a="]);
  });

  test("`leave` says no when no keeper comes in time, and yes at once when there is nothing to keep", async () => {
    keeper.kill();
    await link.start();
    expect(await link.leave(0)).toBe(true);
    held.push(deposit("a"));
    expect(await link.leave(50)).toBe(false);
  });
});
