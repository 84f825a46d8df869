import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createLogger, textLogger } from "#cli/logger.ts";
import { REDACTED } from "#core/log.ts";

test("`createLogger` writes JSON lines with level, time and fields, and no secrets, when the descriptor is a file", () => {
  const dir = mkdtempSync(join(tmpdir(), "logger-"));
  const fd = openSync(join(dir, "log"), "a");
  const log = createLogger({ level: "info", fd });
  log.child({ volume: "v", secretAccessKey: "s" }).warn({ error: new Error("no"), sessionToken: "t" }, "it failed");
  log.debug({}, "not at this level");
  const lines = readFileSync(join(dir, "log"), "utf8").trimEnd().split("\n");
  closeSync(fd);
  rmSync(dir, { recursive: true });
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    {
      ...{ level: "warn", time: expect.stringMatching(/^\d{4}-.*Z$/), pid: process.pid, msg: "it failed" },
      ...{ volume: "v", secretAccessKey: REDACTED, sessionToken: REDACTED, error: expect.objectContaining({ message: "no" }) },
    },
  ]);
});

test("`textLogger` writes a short line for a person, with the sentence of an error and no secrets", () => {
  const lines: string[] = [];
  const log = textLogger("info", (line) => lines.push(line)).child({ volume: "v" });
  log.error({ error: new Error("no"), count: 3, password: "p" }, "it failed");
  log.info({}, "done");
  log.debug({}, "not at this level");
  expect(lines).toEqual([`bucketmount: it failed (volume=v error=no count=3 password=${REDACTED})\n`, "bucketmount: done (volume=v)\n"]);
});
