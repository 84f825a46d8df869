import { mkdtempSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createPowerLossGuard } from "#fuse/cache/power-loss.ts";

const MINUTE = 60_000;
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "power-loss-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** The guard of a boot that began at `bootMs`, closed at once: it has no timer left. */
function guardOf(bootId: string, bootMs: number) {
  const guard = createPowerLossGuard(dir, bootId, bootMs);
  guard.close();
  return guard;
}

describe("createPowerLossGuard", () => {
  const lastSign = Date.now() - 100 * MINUTE;
  const boot = lastSign + 50 * MINUTE;

  beforeEach(() => {
    guardOf("first boot", 0).settle();
    utimesSync(join(dir, "alive"), lastSign / 1000, lastSign / 1000);
  });

  test("`isDoubtful` trusts everything in a new folder", () => {
    rmSync(join(dir, "alive"));
    expect(guardOf("boot", boot).isDoubtful(boot - 1)).toBe(false);
  });

  test("`isDoubtful` trusts everything when the same boot goes on, as after a killed process", () => {
    expect(guardOf("first boot", boot).isDoubtful(lastSign)).toBe(false);
  });

  test("`isDoubtful` doubts what changed shortly before another boot's end, not what is older or newer", () => {
    const guard = guardOf("second boot", boot);
    expect(guard.isDoubtful(lastSign - MINUTE)).toBe(true);
    expect(guard.isDoubtful(lastSign + MINUTE)).toBe(true);
    expect(guard.isDoubtful(lastSign - 10 * MINUTE)).toBe(false);
    expect(guard.isDoubtful(boot + MINUTE)).toBe(false);
  });

  test("`isDoubtful` goes on doubting after a restart until `settle`", () => {
    guardOf("second boot", boot);
    const second = guardOf("second boot", boot);
    expect(second.isDoubtful(lastSign)).toBe(true);
    second.settle();
    expect(guardOf("second boot", boot).isDoubtful(lastSign)).toBe(false);
  });
});
