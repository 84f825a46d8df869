/** On a pair of sockets that keep messages apart, as /dev/fuse does. What the device alone does (a mount that goes) is in test/kernel/channel.test.ts. */
import { closeSync, writeSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BufferPool, type ReadBuffer } from "../../../../src/fuse/channel/buffers.ts";
import { DeviceReader } from "../../../../src/fuse/channel/device-reader.ts";
import { systemCall } from "../../../../src/fuse/channel/libc.ts";

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;

let device: number;
let kernel: number;

beforeEach(() => {
  const pair = new Int32Array(2);
  expect(systemCall("int socketpair(int domain, int type, int protocol, void *pair)")(AF_UNIX, SOCK_SEQPACKET, 0, pair)).toBe(0);
  [device = -1, kernel = -1] = pair;
});
afterEach(() => {
  closeSync(device);
  if (kernel >= 0) closeSync(kernel);
});

const textOf = ({ bytes }: ReadBuffer, length: number) => Buffer.from(bytes.subarray(0, length)).toString();

test("each request is handed over once and in order, also those that come later", async () => {
  const reader = new DeviceReader(device, new BufferPool(64, 4));
  const seen: string[] = [];
  const running = reader.run((buffer, length) => {
    seen.push(textOf(buffer, length));
    return false;
  });
  for (let i = 0; i < 10; i++) writeSync(kernel, `request ${i}`);
  await vi.waitFor(() => expect(seen).toHaveLength(10), 30_000);
  writeSync(kernel, "later");
  await vi.waitFor(() => expect(seen).toHaveLength(11), 30_000);
  expect(seen).toEqual([...Array.from({ length: 10 }, (_, i) => `request ${i}`), "later"]);
  reader.stop();
  await running;
});

test("a kept buffer is left alone by the next requests", async () => {
  const reader = new DeviceReader(device, new BufferPool(64, 4));
  const kept: { buffer: ReadBuffer; length: number }[] = [];
  const running = reader.run((buffer, length) => kept.push({ buffer, length }) > 0);
  for (const text of ["first", "second", "third"]) writeSync(kernel, text);
  await vi.waitFor(() => expect(kept).toHaveLength(3), 30_000);
  expect(kept.map(({ buffer, length }) => textOf(buffer, length))).toEqual(["first", "second", "third"]);
  reader.stop();
  await running;
});

test("a flood of requests leaves the rest of the loop its turns", async () => {
  const reader = new DeviceReader(device, new BufferPool(64, 4));
  let requests = 0;
  const atTurns: number[] = [];
  for (let i = 0; i < 40; i++) writeSync(kernel, "x");
  const running = reader.run(() => {
    requests++;
    void Promise.resolve().then(() => atTurns.push(requests));
    return false;
  });
  await vi.waitFor(() => expect(atTurns).toHaveLength(40), 30_000);
  expect(new Set(atTurns).size).toBeGreaterThanOrEqual(10);
  reader.stop();
  await running;
});

test("after `stop` nothing is taken, in the same turn neither", async () => {
  const reader = new DeviceReader(device, new BufferPool(64, 4));
  const seen: string[] = [];
  const running = reader.run((buffer, length) => {
    seen.push(textOf(buffer, length));
    reader.stop();
    return false;
  });
  writeSync(kernel, "one");
  writeSync(kernel, "two");
  await running;
  for (let i = 0; i < 5; i++) await turn();
  expect(seen).toEqual(["one"]);
});

test("a device that fails rejects with what it said", async () => {
  const reader = new DeviceReader(device, new BufferPool(64, 4));
  const running = reader.run(() => false);
  closeSync(kernel);
  kernel = -1;
  await expect(running).rejects.toMatchObject({ fault: "internal", message: "reading /dev/fuse: end of file" });
});
