/**
 * One bucket, ours and another file system: what of a file each sees of what the other wrote. The run makes the table of docs/INTEROP.md;
 * a table that is not what the run saw fails, and is written anew where that is not a CI.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HeadObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { between, table } from "../../scripts/generated-docs.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { type MountedBucket, mountOurs, mountRclone, mountS3fs, rcloneEnvironment } from "../support/mounted-bucket.ts";
import { makeBucket, missingCommand, runProgram } from "../support/posix-mount.ts";
import { availableServers, type S3Server, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";
import { FORMS, readAsGeesefs, writeForm } from "./interop-forms.ts";
import { ATTRIBUTES, makeSample, type Observed, observe } from "./interop-sample.ts";

const DOC = join(import.meta.dirname, "../../docs/INTEROP.md");
const LIMIT_MS = 600_000;
const missing = availableServers().includes("versitygw") ? missingCommand(["python3"]) : "versitygw";
if (missing !== undefined) console.warn(`SKIPPED the interoperability table: no ${missing} on this machine`);

type Mount = () => Promise<MountedBucket>;

/** From peer and direction to the cells of its row. */
const rows = new Map<string, readonly string[]>();
const WE_READ = "we read what it writes";
const IT_READS = "it reads what we write";

function row(peer: string, direction: string, observed: Observed, kept: (attribute: (typeof ATTRIBUTES)[number]) => boolean): void {
  const cells = ATTRIBUTES.map((attribute) =>
    kept(attribute) ? (observed[attribute] === "yes" ? "yes" : `**${observed[attribute]}**`) : "—",
  );
  rows.set(`${peer}, ${direction}`, cells);
  console.log(`${peer}, ${direction}: ${cells.join(", ")}`);
}

async function within<Result>(mount: Mount, work: (path: string) => Result | Promise<Result>): Promise<Result> {
  const mounted = await mount();
  try {
    return await work(mounted.path);
  } finally {
    await mounted.unmount();
  }
}

describe.skipIf(missing !== undefined || skipMounts("the interoperability table"))("one bucket and two file systems", () => {
  let server: S3Server;
  let client: S3Client;
  let scratch: string;
  beforeAll(async () => {
    server = await startServer("versitygw");
    client = createSdkClient(server);
    scratch = mkdtempSync(join(tmpdir(), "interop-"));
    makeSample(scratch);
    await makeBucket(server, "ours");
    await within(
      () => mountOurs(server, "ours"),
      (path) => makeSample(path),
    );
  });
  afterAll(async () => {
    client.destroy();
    await server.stop();
    rmSync(scratch, { recursive: true, force: true });
  });

  const observeOurs = (bucket: string) => within(() => mountOurs(server, bucket, ["--read-only"]), observe);

  /** What `peer` wrote, and keeps as its own next mount shows it; then what it sees of ours. */
  function eachWay(peer: string, command: string, mount: (bucket: string) => Promise<MountedBucket>): void {
    const absent = missingCommand([command]);
    if (absent !== undefined) console.warn(`SKIPPED interoperability with ${peer}: ${absent} is not installed`);
    it.skipIf(absent !== undefined)(`${peer}: what it wrote and keeps, we show; what it shows of ours`, { timeout: LIMIT_MS }, async () => {
      await makeBucket(server, command);
      await within(() => mount(command), makeSample);
      const kept = await within(() => mount(command), observe);
      const shown = await observeOurs(command);
      row(peer, WE_READ, shown, (attribute) => kept[attribute] === "yes");
      row(peer, IT_READS, await within(() => mount("ours"), observe), () => true);
    });
  }

  it("ours: all of it through a mount that is anew", { timeout: LIMIT_MS }, async () => {
    const shown = await observeOurs("ours");
    expect(shown).toEqual(Object.fromEntries(ATTRIBUTES.map((attribute) => [attribute, "yes"])));
  });

  eachWay("s3fs", "s3fs", (bucket) => mountS3fs(server, bucket, ["use_xattr"]));
  eachWay("rclone mount", "rclone", (bucket) => mountRclone(server, bucket));

  const noRclone = missingCommand(["rclone"]);
  it.skipIf(noRclone !== undefined)(
    "rclone copy -M: what it copies up we show, what we wrote it copies down",
    { timeout: LIMIT_MS },
    async () => {
      const copy = (from: string, to: string) =>
        runProgram(["rclone", "copy", "-M", "--links", "--create-empty-src-dirs", from, to], {
          cwd: scratch,
          env: rcloneEnvironment(server),
        });
      await makeBucket(server, "rclone-copy");
      await copy(scratch, ":s3:rclone-copy");
      const [up, down] = [mkdtempSync(join(tmpdir(), "interop-")), mkdtempSync(join(tmpdir(), "interop-"))];
      try {
        await copy(":s3:rclone-copy", up);
        const kept = observe(up);
        row("rclone copy -M", WE_READ, await observeOurs("rclone-copy"), (attribute) => kept[attribute] === "yes");
        await copy(":s3:ours", down);
        row("rclone copy -M", IT_READS, observe(down), () => true);
      } finally {
        for (const folder of [up, down]) rmSync(folder, { recursive: true, force: true });
      }
    },
  );

  for (const form of FORMS) {
    it(`${form.peer}: what it writes by its documentation, we show`, { timeout: LIMIT_MS }, async () => {
      const bucket = `form-${FORMS.indexOf(form)}`;
      await makeBucket(server, bucket);
      await writeForm(client, bucket, form);
      row(form.peer, WE_READ, await observeOurs(bucket), (attribute) => form.keeps.includes(attribute));
    });
  }

  it("geesefs: what it reads by its source, ours have", async () => {
    const head = async (Key: string) => (await client.send(new HeadObjectCommand({ Bucket: "ours", Key }))).Metadata ?? {};
    row("geesefs", IT_READS, await readAsGeesefs(head), () => true);
  });

  it("the table of docs/INTEROP.md is what this run saw", () => {
    const text = readFileSync(DOC, "utf8");
    const lines = [...rows].map(([name, cells]) => [name, ...cells]);
    const fresh = between(text, "interop", table(["peer, direction", ...ATTRIBUTES], lines));
    // Where a peer is missing there is no whole table to compare.
    if (missingCommand(["s3fs", "rclone"]) !== undefined) return console.warn("SKIPPED docs/INTEROP.md: a peer is missing");
    if (process.env["CI"] === undefined && fresh !== text) writeFileSync(DOC, fresh);
    expect(text, "docs/INTEROP.md was stale; outside of CI this run has written it").toBe(fresh);
  });
});
