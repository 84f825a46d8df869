/** What every `Keeper` promises: what was deposited comes back, bytes and open file, however often, until it is withdrawn. */
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isFault } from "#core/errors.ts";
import type { Deposit, Keeper } from "#keeper/client.ts";

export interface KeeperHarness {
  readonly keeper: Keeper;
  /** Asks the keeper to end, as SIGTERM does. */
  stop(): void;
  /** True once it has ended. */
  hasEnded(): boolean;
  /** Ends it at once, and everything of the harness. */
  dispose(): Promise<void>;
}

const DEVICE = "0:57";

export function keeperContract(name: string, start: () => Promise<KeeperHarness>): void {
  describe(`Keeper contract: ${name}`, () => {
    let harness: KeeperHarness;
    let keeper: Keeper;
    let dir: string;
    const open: number[] = [];

    /** An open file with this text in it. */
    function fileWith(text: string): number {
      writeFileSync(join(dir, text), text);
      const fd = openSync(join(dir, text), "r");
      open.push(fd);
      return fd;
    }

    async function deposit(volumeId: string, text: string, more: Partial<Deposit> = {}): Promise<void> {
      await keeper.deposit({ volumeId, device: DEVICE, fd: fileWith(text), blob: Buffer.from(`about ${text}`), ...more });
    }

    /** The blob, and what the descriptor reads from the file's beginning. */
    async function fetched(volumeId: string): Promise<{ about: string; text: string; fd: number } | undefined> {
      const found = await keeper.fetch(volumeId);
      if (found === undefined) return undefined;
      open.push(found.fd);
      const bytes = Buffer.alloc(100);
      const text = bytes.subarray(0, readSync(found.fd, bytes, 0, 100, 0)).toString();
      return { about: Buffer.from(found.blob).toString(), text, fd: found.fd };
    }

    beforeEach(async () => {
      dir = mkdtempSync(join(tmpdir(), "keeper-contract-"));
      harness = await start();
      keeper = harness.keeper;
    });
    afterEach(async () => {
      await harness.dispose();
      for (const fd of open.splice(0)) closeSync(fd);
      rmSync(dir, { recursive: true });
    });

    test("`fetch` gives back the open file and the blob, after the depositor has closed its own, as often as it is asked", async () => {
      await deposit("v", "one");
      closeSync(open.splice(0)[0] as number);
      const first = await fetched("v");
      const second = await fetched("v");
      expect(first).toMatchObject({ about: "about one", text: "one" });
      expect(second).toMatchObject({ about: "about one", text: "one" });
      expect(first?.fd).not.toBe(second?.fd);
    });

    test("`list` names what is kept, and `fetch` of anything else is undefined", async () => {
      expect(await keeper.list()).toEqual([]);
      await deposit("a", "one");
      await deposit("b", "two", { device: "0:58" });
      expect((await keeper.list()).toSorted((x, y) => (x.volumeId < y.volumeId ? -1 : 1))).toEqual([
        { volumeId: "a", device: DEVICE },
        { volumeId: "b", device: "0:58" },
      ]);
      expect(await fetched("c")).toBeUndefined();
    });

    test("`deposit` replaces what is kept for the volume", async () => {
      await deposit("v", "one");
      await deposit("v", "two", { device: "0:58" });
      expect(await keeper.list()).toEqual([{ volumeId: "v", device: "0:58" }]);
      expect(await fetched("v")).toMatchObject({ about: "about two", text: "two" });
    });

    test("`withdraw` lets go what is of the device it names, and nothing else", async () => {
      await deposit("v", "one");
      await keeper.withdraw({ volumeId: "v", device: "0:58" });
      expect(await keeper.list()).toHaveLength(1);
      await keeper.withdraw({ volumeId: "v", device: DEVICE });
      await keeper.withdraw({ volumeId: "v", device: DEVICE });
      expect(await keeper.list()).toEqual([]);
    });

    test("`deposit` takes a blob of a mebibyte whole, and an empty one", async () => {
      const blob = Buffer.alloc(1 << 20, "0123456789");
      await deposit("v", "one", { blob });
      const found = (await keeper.fetch("v")) as Deposit;
      open.push(found.fd);
      expect(blob.compare(found.blob)).toBe(0);
      await deposit("v", "two", { blob: Buffer.alloc(0) });
      expect(await fetched("v")).toMatchObject({ about: "" });
    });

    test("`deposit` refuses a larger blob, and keeps what was there", async () => {
      await deposit("v", "one");
      const error = await deposit("v", "two", { blob: Buffer.alloc((1 << 20) + 1) }).catch((thrown: unknown) => thrown);
      expect(isFault(error, "too_big")).toBe(true);
      expect(await fetched("v")).toMatchObject({ text: "one" });
    });

    test("`deposit` leaves the depositor's descriptor open", async () => {
      await deposit("v", "one");
      expect(fstatSync(open[0] as number).isFile()).toBe(true);
    });

    test("many calls at a time get each its own answer", async () => {
      const ids = Array.from({ length: 40 }, (_, i) => `v${i}`);
      await Promise.all(ids.map((id) => deposit(id, id)));
      const all = await Promise.all(ids.map((id) => fetched(id)));
      expect(all.map((one) => one?.text)).toEqual(ids);
      await Promise.all(ids.map((volumeId) => keeper.withdraw({ volumeId, device: DEVICE })));
      expect(await keeper.list()).toEqual([]);
    });

    test("a keeper that is asked to end does so at once when it holds nothing", async () => {
      harness.stop();
      await expect.poll(() => harness.hasEnded()).toBe(true);
      const error = await keeper.list().catch((thrown: unknown) => thrown);
      expect(isFault(error, "unavailable")).toBe(true);
    });

    test("a keeper that is asked to end does so at once when somebody is attached, who hears of it", async () => {
      await deposit("v", "one");
      const { lost } = await keeper.attach();
      harness.stop();
      await lost;
      await expect.poll(() => harness.hasEnded()).toBe(true);
    });

    test("a keeper that holds the last copies goes on until somebody has attached", async () => {
      await deposit("v", "one");
      const gone = await keeper.attach();
      await gone.leave();
      harness.stop();
      expect(await fetched("v")).toMatchObject({ text: "one" });
      expect(harness.hasEnded()).toBe(false);
      const { lost } = await keeper.attach();
      await lost;
      await expect.poll(() => harness.hasEnded()).toBe(true);
      await expect(gone.leave()).rejects.toThrow();
    });

    test("a keeper that holds the last copies ends when it is asked twice", async () => {
      await deposit("v", "one");
      harness.stop();
      expect(await keeper.list()).toHaveLength(1);
      harness.stop();
      await expect.poll(() => harness.hasEnded()).toBe(true);
    });
  });
}
