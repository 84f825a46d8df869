import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { askStatus, askStop, type ControlStatus, serveControl } from "#cli/control.ts";
import { DriverError, isFault } from "#core/errors.ts";

const STATUS: ControlStatus = { health: { engine: "serving", enginePid: 1, restarts: 0 }, problem: "none really" };
const ASK_MS = 30_000;
let dir: string;
let path: string;
let server: Server | undefined;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "control-"));
  path = join(dir, "c.sock");
});
afterEach(async () => {
  server?.close();
  await rm(dir, { recursive: true });
});

async function serve(stop: (force: boolean) => Promise<{ uploaded: boolean }>): Promise<void> {
  server = await serveControl(path, { status: async () => STATUS, stop });
}

describe("serveControl", () => {
  test("`serveControl` answers status and stop, and hands `force` on", async () => {
    const forced: boolean[] = [];
    await serve(async (force) => {
      forced.push(force);
      return { uploaded: !force };
    });
    expect(await askStatus(path, ASK_MS)).toEqual(STATUS);
    expect(await askStop(path, false, ASK_MS)).toEqual({ uploaded: true });
    expect(await askStop(path, true, ASK_MS)).toEqual({ uploaded: false });
    expect(forced).toEqual([false, true]);
  });

  test("`serveControl` hands the fault and the message on when the work fails", async () => {
    await serve(() => Promise.reject(new DriverError("in_use", "a file is open")));
    const error = await askStop(path, false, ASK_MS).catch((thrown: unknown) => thrown);
    expect(isFault(error, "in_use")).toBe(true);
    expect((error as Error).message).toBe("a file is open");
  });

  test("`serveControl` takes the place of a dead socket and lets nobody else in", async () => {
    await writeFile(path, "left over");
    await serve(async () => ({ uploaded: true }));
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await askStatus(path, ASK_MS)).toEqual(STATUS);
  });
});

test("`askStatus` says `unavailable` when nobody listens", async () => {
  expect(isFault(await askStatus(path, ASK_MS).catch((thrown: unknown) => thrown), "unavailable")).toBe(true);
});

test("`askStop` says `timed_out` when no answer comes", async () => {
  await serve(() => new Promise(() => undefined));
  expect(isFault(await askStop(path, false, 50).catch((thrown: unknown) => thrown), "timed_out")).toBe(true);
});
