import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { DriverError } from "#core/errors.ts";
import { UploadQueue, type UploadQueueOptions } from "#fuse/vfs/upload-queue.ts";

const LONG_MS = 30_000;
const AT_ONCE = { quietMs: 0, latestMs: 0, retryMs: 10 };

/** A queue whose sends are told, and end when the test lets them. */
function queueOf(more: Partial<UploadQueueOptions<string>> = {}) {
  const sent: string[] = [];
  const failing: (readonly [number, string | undefined])[] = [];
  const queue = new UploadQueue<string>({
    send: async (item) => void sent.push(item),
    bytesOf: (item) => item.length,
    onFailing: (waiting, failure) => void failing.push([waiting, failure?.fault]),
    delays: AT_ONCE,
    ...more,
  });
  return { queue, sent, failing };
}

describe("UploadQueue", () => {
  it("sends what was added, once for adds that follow each other, and is empty then", async () => {
    const { queue, sent } = queueOf({ delays: { quietMs: 100, latestMs: 10_000, retryMs: 10 } });
    queue.add("a");
    queue.add("b");
    queue.add("a");
    expect([sent, queue.size]).toEqual([[], 2]);
    await vi.waitUntil(() => queue.size === 0, LONG_MS);
    expect(sent.toSorted()).toEqual(["a", "b"]);
  });

  it("an item that is added again and again is sent all the same, by `latestMs`", async () => {
    const { queue, sent } = queueOf({ delays: { quietMs: 60_000, latestMs: 200, retryMs: 10 } });
    const deadline = Date.now() + LONG_MS;
    while (sent.length === 0 && Date.now() < deadline) {
      queue.add("a");
      await sleep(10);
    }
    expect(sent).toEqual(["a"]);
  });

  it("an item that was removed in time is not sent", async () => {
    const { queue, sent } = queueOf();
    queue.add("a");
    queue.add("b");
    queue.remove("a");
    await vi.waitUntil(() => queue.size === 0, LONG_MS);
    expect(sent).toEqual(["b"]);
  });

  it("an item that is added while it is sent is sent once more", async () => {
    const gates: (() => void)[] = [];
    const { queue } = queueOf({ send: () => new Promise((done) => gates.push(done)) });
    queue.add("a");
    await vi.waitUntil(() => gates.length === 1, LONG_MS);
    queue.add("a");
    gates[0]?.();
    await vi.waitUntil(() => gates.length === 2, LONG_MS);
    gates[1]?.();
    await vi.waitUntil(() => queue.size === 0, LONG_MS);
  });

  it("a failed item is sent again until it works, and both is told", async () => {
    let tries = 0;
    const { queue, failing } = queueOf({
      send: async () => {
        if (++tries < 4) throw new DriverError("unavailable", "no");
      },
    });
    queue.add("a");
    await vi.waitUntil(() => queue.size === 0, LONG_MS);
    expect(failing).toEqual([
      [1, "unavailable"],
      [1, "unavailable"],
      [1, "unavailable"],
      [0, undefined],
    ]);
  });

  it("`add` does not cut the pause after a failure short", async () => {
    let tries = 0;
    const { queue } = queueOf({
      delays: { quietMs: 0, latestMs: 0, retryMs: 60_000 },
      send: async () => {
        tries += 1;
        throw new DriverError("unavailable", "no");
      },
    });
    queue.add("a");
    await vi.waitUntil(() => tries === 1, LONG_MS);
    for (let i = 0; i < 20; i++) {
      queue.add("a");
      await sleep(10);
    }
    expect(tries).toBe(1);
    queue.stop();
  });

  it("no more than 32 are under way at one time, and one that waits for ever holds up no other", async () => {
    let running = 0;
    let most = 0;
    const { queue } = queueOf({
      send: async (item) => {
        running += 1;
        most = Math.max(most, running);
        await (item === "0" ? new Promise(() => undefined) : sleep(1));
        running -= 1;
      },
    });
    for (let i = 0; i < 200; i++) queue.add(`${i}`);
    await vi.waitUntil(() => queue.size === 1, LONG_MS);
    expect(most).toBe(32);
  });

  it("`room` waits while too many bytes are unsent, sends without delay meanwhile, and is over when they are few enough", async () => {
    const gates = new Map<string, () => void>();
    const { queue } = queueOf({
      limitBytes: 5,
      delays: { quietMs: 60_000, latestMs: 60_000, retryMs: 10 },
      send: (item) => new Promise((done) => void gates.set(item, done)),
    });
    queue.add("1234");
    await queue.room();
    queue.add("56");
    let there = false;
    const room = queue.room().then(() => {
      there = true;
    });
    await vi.waitUntil(() => gates.size === 2, LONG_MS);
    expect(there).toBe(false);
    gates.get("1234")?.();
    await room;
    queue.stop();
  });

  it("`room` does not wait for a store that fails", async () => {
    const { queue } = queueOf({
      limitBytes: 1,
      delays: { quietMs: 0, latestMs: 0, retryMs: 60_000 },
      send: () => Promise.reject(new DriverError("unavailable", "no")),
    });
    queue.add("1234");
    await queue.room();
    expect(queue.size).toBe(1);
    queue.stop();
  });

  it("nothing is sent after `stop`", async () => {
    const { queue, sent } = queueOf();
    queue.add("a");
    queue.stop();
    await sleep(100);
    expect(sent).toEqual([]);
  });
});
