import { setImmediate as settle } from "node:timers/promises";
import { expect, test } from "vitest";
import { DriverError } from "#core/errors.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import { createStoreHealth } from "#csi/store-health.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

const refused = () =>
  Promise.reject(new DriverError("unavailable", "cannot reach http://s3", { context: { cause: "connection_refused" } }));

function createWorld(ping: () => Promise<void>) {
  const time = { ms: 0 };
  const state = { ping, asked: 0 };
  const log = recordingLogger();
  const changes: TroubleReport[] = [];
  const health = createStoreHealth({
    ping: () => {
      state.asked++;
      return state.ping();
    },
    clock: { now: () => time.ms },
    log,
    onChange: (change) => changes.push(change),
  });
  return { time, state, log, changes, health };
}

test("`createStoreHealth` says what keeps the store away and what to do, and never rejects", async () => {
  const { health } = createWorld(refused);
  expect(await health()).toEqual({
    up: false,
    detail: "cannot reach http://s3. Start the store, or correct the endpoint's host and port.",
  });
});

test("`createStoreHealth` keeps good news longer than bad", async () => {
  const { time, state, health } = createWorld(async () => undefined);
  await health();
  time.ms = 9_999;
  await health();
  expect(state.asked).toBe(1);
  state.ping = refused;
  time.ms = 10_000;
  expect((await health()).up).toBe(false);
  time.ms = 11_999;
  await health();
  expect(state.asked).toBe(2);
  time.ms = 12_000;
  await health();
  expect(state.asked).toBe(3);
});

test("`createStoreHealth` asks once for all who ask at the same time", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { state, health } = createWorld(() => promise);
  const answers = [health(), health(), health()];
  await settle();
  expect(state.asked).toBe(1);
  resolve();
  expect(await Promise.all(answers)).toEqual([{ up: true }, { up: true }, { up: true }]);
});

test("`createStoreHealth` tells each change once, and that it is over under the same cause", async () => {
  const { time, state, log, changes, health } = createWorld(async () => undefined);
  const after = async (ping: () => Promise<void>) => {
    state.ping = ping;
    time.ms += 20_000;
    await health();
  };
  await health();
  await after(refused);
  await after(refused);
  await after(async () => undefined);
  await after(async () => undefined);
  expect(changes.map(({ type, cause }) => [type, cause])).toEqual([
    ["trouble", "connection_refused"],
    ["recovered", "connection_refused"],
  ]);
  expect(log.lines.map(({ level }) => level)).toEqual(["info", "warn", "info"]);
});
