import { describe, expect, test } from "vitest";
import { describeMount, formatBytes } from "#cli/status-text.ts";

const BASE = { mountPoint: "/m", source: "s3://b", stateDir: "/s" };

describe("describeMount", () => {
  test("`describeMount` shows numbers and what the store lacks when the engine answers", () => {
    const text = describeMount({
      ...{ ...BASE, state: "serving", supervisorPid: 7, restarts: 1, pid: 8, startedAt: "then", rssBytes: 2 ** 20 },
      ...{ dirtyFiles: 2, dirtyBytes: 1536, openHandles: 3, inodes: 4, passthrough: true, retries: 5 },
      cache: { bytes: 2 ** 30, limitBytes: 2 ** 31, files: 6, hits: 3, misses: 1 },
      ...{ requests: { GetObject: 9, PutObject: 0 }, errors: {}, store: { putIfMatch: false, copyIfNoneMatch: true } },
    });
    for (const words of [
      "/m  s3://b  serving",
      "2 files, 1.5 KiB",
      "1 GiB of 2 GiB in 6 files, 75 % hits",
      "GetObject 9",
      "none; 5 retries",
    ]) {
      expect(text).toContain(words);
    }
    expect(text).toMatch(/store lacks +putIfMatch$/m);
    expect(text).not.toContain("PutObject");
  });

  test("`describeMount` says why when no engine answers", () => {
    expect(describeMount({ ...BASE, state: "restarting", supervisorPid: 7, problem: "no answer" })).toBe(
      ["/m  s3://b  restarting", "  processes   supervisor 7", "  problem     no answer", "  state       /s"].join("\n"),
    );
  });
});

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1 KiB"],
  [1_500_000, "1.43 MiB"],
  [20 * 2 ** 30, "20 GiB"],
  [2 ** 53, "8192 TiB"],
])("`formatBytes` of %d is %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
