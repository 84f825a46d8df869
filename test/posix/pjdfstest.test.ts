// The crate pjdfstest on a mount: every case passes, or is in the list of known failures, which may only shrink.
import { chmodSync } from "node:fs";
import { dirname } from "node:path";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { mountOurs } from "../support/mounted-bucket.ts";
import { availableServers, missingServers, type ServerKind, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";
import { parseResults, pjdfstestProgram, type Results, runPjdfstest } from "./pjdfstest.ts";
import { KNOWN_FAILURES, NOT_ASKED } from "./pjdfstest-known-failures.ts";

const program = pjdfstestProgram();
if (program === undefined) console.warn("SKIPPED pjdfstest: not installed (cargo install pjdfstest --version 0.2.2 --locked)");
if (missingServers().length > 0) console.warn(`pjdfstest: not on ${missingServers().join(", ")}, which are not installed`);

/** Half an hour: a slow machine takes minutes. */
const LIMIT_MS = 30 * 60_000;

async function onMount(kind: ServerKind): Promise<Results> {
  const server = await startServer(kind);
  try {
    const client = createSdkClient(server);
    await client.send(new CreateBucketCommand({ Bucket: "pjdfstest" }));
    client.destroy();
    const mounted = await mountOurs(server, "pjdfstest");
    try {
      chmodSync(dirname(mounted.path), 0o755); // the suite's other users must come this far
      return await runPjdfstest(program ?? "", mounted.path);
    } finally {
      await mounted.unmount();
    }
  } finally {
    await server.stop();
  }
}

const namesOf = (results: Results, verdict: string) =>
  [...results].filter(([, result]) => result.verdict === verdict).map(([name]) => name);

describe.skipIf(program === undefined || skipMounts("pjdfstest"))("pjdfstest", () => {
  it.each(availableServers())(
    "every case passes on a mount of %s, or is known and has a reason",
    async (kind) => {
      const results = await onMount(kind);
      const failed = namesOf(results, "failed");
      const passed = namesOf(results, "ok");
      console.log(`pjdfstest on ${kind}: ${passed.length} passed, ${failed.length} failed as known, of ${results.size}`);
      const unknown = failed.filter((name) => KNOWN_FAILURES[name] === undefined).map((name) => `${name}: ${results.get(name)?.why}`);
      expect(unknown, "cases that fail and are not in the list").toEqual([]);
      expect(
        Object.keys(KNOWN_FAILURES).filter((name) => passed.includes(name)),
        "cases that pass: take them off the list",
      ).toEqual([]);
      expect(
        Object.keys(KNOWN_FAILURES).filter((name) => !results.has(name)),
        "cases in the list that pjdfstest does not have",
      ).toEqual([]);
      expect(namesOf(results, "skipped").filter((name) => NOT_ASKED[name] === undefined)).toEqual([]);
    },
    LIMIT_MS,
  );
});

describe("parseResults", () => {
  it("`parseResults` reads verdicts and the reasons after them", () => {
    const output = [
      "unlink::remove_type::char                                                    ok",
      "rename::exdev_target                                                     skipped",
      "\tNo secondary file-system has been configured.",
      "link::enametoolong_component                                              FAILED",
      "\tassertion `left == right` failed",
      "  left: Err(ENOENT)",
      "",
      "Summary: 1 failed, 1 skipped, 1 passed, 0 expected failures, 3 total",
    ].join("\n");
    expect([...parseResults(output)]).toEqual([
      ["unlink::remove_type::char", { verdict: "ok", why: "" }],
      ["rename::exdev_target", { verdict: "skipped", why: "No secondary file-system has been configured." }],
      ["link::enametoolong_component", { verdict: "failed", why: "assertion `left == right` failed left: Err(ENOENT)" }],
    ]);
  });
});
