// The crate pjdfstest on a mount: every case passes, or is in the list of known failures, which may only shrink.
import { chmodSync } from "node:fs";
import { dirname } from "node:path";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { beforeAll, describe, expect, it } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { skipLibfuse } from "../support/libfuse-gate.ts";
import { mountOurs } from "../support/mounted-bucket.ts";
import { posixServers } from "../support/posix-mount.ts";
import { availableServers, missingServers, type ServerKind, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";
import { PJDFSTEST } from "./libfuse-known-differences.ts";
import { casesOf, parseResults, pjdfstestProgram, type Results, runPjdfstest, type Verdict } from "./pjdfstest.ts";
import { KNOWN_FAILURES, NOT_ASKED, UNSTEADY } from "./pjdfstest-known-failures.ts";

const program = pjdfstestProgram();
if (program === undefined) console.warn("SKIPPED pjdfstest: not installed (cargo install pjdfstest --version 0.2.2 --locked)");
if (missingServers().length > 0) console.warn(`pjdfstest: not on ${missingServers().join(", ")}, which are not installed`);

/** Half an hour: a slow machine takes minutes. */
const LIMIT_MS = 30 * 60_000;

/** Two servers, and with `-- --full` all that are installed. */
const KINDS = availableServers().filter((kind) => kind === "versitygw" || kind === "s3rver" || process.env["POSIX_FULL"] === "1");

/** Fails unless exactly what is in `known` fails; what is in UNSTEADY may. */
function expectKnown(results: Results, known: Readonly<Record<string, string>>): void {
  const [failed, passed] = [namesOf(results, "failed"), namesOf(results, "ok")];
  const allowed = { ...known, ...UNSTEADY };
  const unknown = failed.filter((name) => allowed[name] === undefined).map((name) => `${name}: ${results.get(name)?.why}`);
  expect(unknown, "cases that fail and are not in the list").toEqual([]);
  expect(
    Object.keys(known).filter((name) => passed.includes(name)),
    "cases that pass: take them off the list",
  ).toEqual([]);
  expect(namesOf(results, "skipped").filter((name) => NOT_ASKED[name] === undefined)).toEqual([]);
}

/** What cannot be asked of a mount of this server, with the reason. */
const UNFIT: Partial<Record<ServerKind, { readonly cases: RegExp; readonly reason: string }>> = {
  s3rver: {
    cases: /::enametoolong_component$/,
    reason: "s3rver keeps a key's last part as a file name with 17 bytes more: 255 do not fit",
  },
};

async function onMount(kind: ServerKind, names: readonly string[], flags: readonly string[] = []): Promise<Results> {
  const server = await startServer(kind);
  try {
    const client = createSdkClient(server);
    await client.send(new CreateBucketCommand({ Bucket: "pjdfstest" }));
    client.destroy();
    const mounted = await mountOurs(server, "pjdfstest", flags);
    try {
      chmodSync(dirname(mounted.path), 0o755); // the suite's other users must come this far
      return await runPjdfstest(program ?? "", mounted.path, names);
    } finally {
      await mounted.unmount();
    }
  } finally {
    await server.stop();
  }
}

const namesOf = (results: Results, verdict: Verdict) => [...results].filter((entry) => entry[1].verdict === verdict).map(([name]) => name);

const countsOf = (results: Results) =>
  `${namesOf(results, "ok").length} passed, ${namesOf(results, "failed").length} failed as known, of ${results.size}`;

describe.skipIf(program === undefined || skipMounts("pjdfstest"))("pjdfstest", () => {
  let cases: Results;
  beforeAll(async () => {
    cases = await casesOf(program ?? "");
  }, LIMIT_MS);

  it("has the cases that are listed, and passes on the disk", () => {
    expect(Object.keys({ ...KNOWN_FAILURES, ...PJDFSTEST, ...UNSTEADY, ...NOT_ASKED }).filter((name) => !cases.has(name))).toEqual([]);
    expect(namesOf(cases, "failed")).toEqual([]);
  });

  it.each(KINDS)(
    "every case passes on a mount of %s, or is known and has a reason",
    async (kind) => {
      const unfit = UNFIT[kind];
      const names = [...cases.keys()].filter((name) => !unfit?.cases.test(name));
      if (unfit !== undefined) console.log(`pjdfstest on ${kind}: without ${cases.size - names.length} cases: ${unfit.reason}`);
      const results = await onMount(kind, names);
      console.log(`pjdfstest on ${kind}: ${countsOf(results)}`);
      expectKnown(results, KNOWN_FAILURES);
    },
    LIMIT_MS,
  );

  const [kind = "s3rver"] = posixServers().slice(-1);
  it.skipIf(skipLibfuse("pjdfstest through libfuse"))(
    "every case passes on a mount with --channel fuse-native, or is known and has a reason",
    async () => {
      const unfit = UNFIT[kind];
      const names = [...cases.keys()].filter((name) => !unfit?.cases.test(name));
      const results = await onMount(kind, names, ["--channel", "fuse-native"]);
      console.log(`pjdfstest with --channel fuse-native: ${countsOf(results)}`);
      expectKnown(results, PJDFSTEST);
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
