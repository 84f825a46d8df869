import { expect, test } from "vitest";
import { createReadiness } from "#controller/readiness.ts";
import { DriverError } from "#core/errors.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

function setUp() {
  const world = { now: 0, down: false, pings: 0 };
  const log = recordingLogger();
  const ping = async () => {
    world.pings += 1;
    if (world.down) throw new DriverError("unavailable", "connection refused");
  };
  return { world, log, ready: createReadiness({ ping, clock: { now: () => world.now }, log }) };
}

test("`createReadiness` asks once for many probes and keeps a good answer longer than a bad one", async () => {
  const { world, ready } = setUp();
  expect(await Promise.all([ready(), ready(), ready()])).toEqual([true, true, true]);
  world.now = 9_999;
  await ready();
  expect(world.pings).toBe(1);
  world.now = 10_000;
  world.down = true;
  expect(await ready()).toBe(false);
  world.down = false;
  world.now += 1_999;
  expect(await ready()).toBe(false);
  world.now += 1;
  expect(await ready()).toBe(true);
});

test("`createReadiness` logs changes, not each probe", async () => {
  const { world, log, ready } = setUp();
  for (const down of [false, false, true, true, false]) {
    world.down = down;
    await ready();
    world.now += 20_000;
  }
  expect(log.lines.map(({ level }) => level)).toEqual(["info", "warn", "info"]);
});
