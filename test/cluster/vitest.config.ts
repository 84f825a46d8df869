import { join } from "node:path";
import { defineConfig, mergeConfig } from "vitest/config";
import base from "../../vitest.config.ts";

/** Scenarios share one cluster. Each wait inside them has its own limit: these are for what hangs. */
const LIMIT_MS = 30 * 60_000;

export default mergeConfig(
  base,
  defineConfig({
    root: join(import.meta.dirname, "../.."),
    test: {
      globalSetup: ["test/cluster/global-setup.ts"],
      testTimeout: LIMIT_MS,
      hookTimeout: LIMIT_MS,
      teardownTimeout: LIMIT_MS,
      fileParallelism: false,
    },
  }),
);
