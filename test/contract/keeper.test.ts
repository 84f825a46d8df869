import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "#core/log.ts";
import { createKeeperClient } from "#keeper/client.ts";
import { serveKeeper } from "#keeper/server.ts";
import { MemoryKeeper } from "../support/memory-keeper.ts";
import { keeperContract } from "./keeper.ts";

keeperContract("memory", async () => {
  const keeper = new MemoryKeeper();
  return { keeper, stop: () => keeper.stop(), hasEnded: () => keeper.ended, dispose: async () => keeper.kill() };
});

keeperContract("socket", async () => {
  const dir = mkdtempSync(join(tmpdir(), "keeper-"));
  const socketPath = join(dir, "keeper.sock");
  const server = await serveKeeper({ socketPath, log: silentLogger });
  let ended = false;
  void server.ended.then(() => {
    ended = true;
  });
  return {
    keeper: createKeeperClient({ socketPath }),
    stop: () => server.stop(),
    hasEnded: () => ended,
    dispose: async () => {
      server.stop();
      server.stop();
      await server.ended;
      rmSync(dir, { recursive: true });
    },
  };
});
