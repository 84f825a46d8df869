import { describe, expect, test } from "vitest";
import { identify, isAlive, type ProcessIdentity, parseStartTicks } from "#node/process-identity.ts";

/** Fields 3 to 22 of proc_pid_stat(5). */
const stat = (state: string) => `7 (a ) (b) ${state} ${Array.from({ length: 18 }, (_, i) => i + 4).join(" ")} 4711 23 24`;

describe("parseStartTicks", () => {
  test("`parseStartTicks` reads field 22 when the command's name holds blanks and parentheses", () => {
    expect(parseStartTicks(stat("S"))).toBe(4711);
  });

  test.each(["Z", "X"])("`parseStartTicks` says that there is no process when its state is %s", (state) => {
    expect(parseStartTicks(stat(state))).toBeNaN();
  });
});

test("`isAlive` knows this process, and no other one that gets its id", async () => {
  const self = (await identify(process.pid)) as ProcessIdentity;
  expect(await isAlive(self)).toBe(true);
  expect(await isAlive({ ...self, startTicks: self.startTicks + 1 })).toBe(false);
});

test("`identify` has no answer when there is no such process", async () => {
  // Above the largest id that Linux gives.
  expect(await identify(2 ** 22 + 1)).toBeUndefined();
});
