import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runKeeper } from "#cli/keeper.ts";
import type { ProcessContext } from "#cli/process-context.ts";
import { createKeeperClient } from "#keeper/client.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "keeper-command-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

test("`runKeeper` serves until a signal, and ends with 0", async () => {
  const { promise: handler, resolve } = Promise.withResolvers<(signal: NodeJS.Signals) => void>();
  const context = { onStopSignal: resolve } as unknown as ProcessContext;
  const socket = join(dir, "keeper", "s");
  const code = runKeeper({ socket, logLevel: "error" }, context);
  const stop = await handler;
  expect(await createKeeperClient({ socketPath: socket }).list()).toEqual([]);
  stop("SIGTERM");
  expect(await code).toBe(0);
});

test("`runKeeper` fails when it cannot serve, and leaves nothing open", async () => {
  const context = { onStopSignal: () => undefined } as unknown as ProcessContext;
  const flags = { socket: "/dev/null/s", httpEndpoint: "127.0.0.1:0", logLevel: "error" } as const;
  await expect(runKeeper(flags, context)).rejects.toMatchObject({ fault: "precondition" });
});
