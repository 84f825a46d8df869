import { describe, expect, it } from "vitest";
import { isNeeded } from "../../../../scripts/image/needed.ts";

describe("isNeeded", () => {
  it.each([
    "undici/index.js",
    "undici/package.json",
    "undici/LICENSE",
    "pino/lib/proto.js",
    "@koromix/koffi-linux-x64/linux_x64/koffi.node",
    "koffi/src/koffi/index.js",
    "@aws-sdk/client-s3/dist-cjs/index.js",
    "@kubernetes/client-node/node_modules/undici/lib/web/fetch/index.js",
    // Its code, not its tests or documents: the folder is not the package's first.
    "yaml/dist/doc/Document.js",
    "some/lib/test/check.js",
  ])("keeps %s", (path) => {
    expect(isNeeded(path)).toBe(true);
  });

  it.each([
    "undici/index.d.ts",
    "zod/index.d.cts",
    "jose/dist/key.js.map",
    "undici/README.md",
    "undici/docs/docs/api/Agent.js",
    "pino/test/basic.test.js",
    "pino/benchmarks/basic.bench.js",
    "@grpc/grpc-js/test/server.js",
    "@kubernetes/client-node/node_modules/undici/docs/index.js",
    "@types/node/package.json",
    "undici-types/package.json",
    "bare-fs/index.js",
    "bare-fs/package.json",
    "@aws-sdk/client-s3/dist-es/index.js",
    "@koromix/koffi-linux-x64/musl_x64/koffi.node",
    "koffi/vendor/node-api-headers/include/node_api.h",
    "argparse/.eslintrc",
  ])("leaves out %s", (path) => {
    expect(isNeeded(path)).toBe(false);
  });
});
