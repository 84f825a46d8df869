import { beforeEach, describe, expect, test } from "vitest";
import type { Deposit } from "#keeper/protocol.ts";
import { Vault } from "#keeper/vault.ts";

const closed: number[] = [];
const ended = new Set<number>();
let vault: Vault;
beforeEach(() => {
  closed.length = 0;
  ended.clear();
  vault = new Vault({ close: (fd) => closed.push(fd), hasEnded: (fd) => ended.has(fd) });
});

const deposit = (volumeId: string, fd: number, device = "0:1"): Deposit => ({ volumeId, device, fd, blob: new Uint8Array() });

describe("Vault", () => {
  test("`put` closes what the volume had before, and only that", () => {
    vault.put(deposit("a", 10));
    vault.put(deposit("b", 11));
    vault.put(deposit("a", 12));
    expect(closed).toEqual([10]);
    expect(vault.get("a")?.fd).toBe(12);
  });

  test("`put` takes no more than it can hold, and closes what it does not take", () => {
    for (let i = 0; i < 4096; i++) vault.put(deposit(`v${i}`, i));
    expect(() => vault.put(deposit("one more", 5000))).toThrow("takes no more");
    expect(closed).toEqual([5000]);
    vault.put(deposit("v7", 5001));
    expect(closed).toEqual([5000, 7]);
  });

  test("`remove` compares the device: a number is used again, a volume mounted again", () => {
    vault.put(deposit("a", 10, "0:2"));
    expect(vault.remove({ volumeId: "a", device: "0:1" })).toBe(false);
    expect(vault.remove({ volumeId: "b", device: "0:2" })).toBe(false);
    expect(closed).toEqual([]);
    expect(vault.remove({ volumeId: "a", device: "0:2" })).toBe(true);
    expect(closed).toEqual([10]);
  });

  test("`sweep` lets go what has ended, and names it", () => {
    vault.put(deposit("a", 10));
    vault.put(deposit("b", 11, "0:2"));
    ended.add(11);
    expect(vault.sweep()).toEqual([{ volumeId: "b", device: "0:2" }]);
    expect([closed, vault.names()]).toEqual([[11], [{ volumeId: "a", device: "0:1" }]]);
    expect(vault.sweep()).toEqual([]);
  });

  test("`clear` closes everything", () => {
    vault.put(deposit("a", 10));
    vault.put(deposit("b", 11));
    vault.clear();
    expect([closed, vault.size]).toEqual([[10, 11], 0]);
  });
});
