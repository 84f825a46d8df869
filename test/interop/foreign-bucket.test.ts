// A bucket that another S3 client filled: plain objects, no directory objects, no metadata of ours.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CreateBucketCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { isMounted, type MountedBucket, mountOurs } from "../support/mounted-bucket.ts";
import { availableServers, missingServers, type S3Server, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";

const BUCKET = "filled-by-others";
const skip = skipMounts("mounting a foreign bucket");
if (missingServers().length > 0) console.warn(`SKIPPED a foreign bucket on: ${missingServers().join(", ")} (not installed)`);

/** More than one page of a listing, some depth, some size, some odd names. */
function contents(): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let i = 0; i < 1100; i += 1) files.set(`many/${i}`, Buffer.from(`file ${i}\n`));
  for (const name of ["a b", "ä", "per%cent", "plus+", "x/y/z/deep"]) files.set(`odd/${name}`, createHash("sha512").update(name).digest());
  files.set("big.bin", Buffer.alloc(12_345_678, createHash("sha512").update("big").digest()));
  files.set("empty", Buffer.alloc(0));
  return files;
}

describe.skipIf(skip).each(availableServers())("a bucket that another client filled, on %s", (kind) => {
  let server: S3Server;
  let source: string;
  let mounted: MountedBucket | undefined;

  beforeAll(async () => {
    server = await startServer(kind);
    source = mkdtempSync(join(tmpdir(), "foreign-"));
    const client = createSdkClient(server);
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    for (const [Key, Body] of contents()) {
      mkdirSync(dirname(join(source, Key)), { recursive: true });
      writeFileSync(join(source, Key), Body);
      await client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body }));
    }
    client.destroy();
    mounted = await mountOurs(server, BUCKET, ["--read-only"]);
  });
  afterAll(async () => {
    await mounted?.unmount();
    await server.stop();
    rmSync(source, { recursive: true, force: true });
  });

  it("`find` sees the same names", () => {
    const find = (dir: string) => execFileSync("find", [".", "-printf", "%P %y\n"], { cwd: dir, encoding: "utf8" }).split("\n").toSorted();
    expect(find(mounted?.path ?? "")).toEqual(find(source));
  });

  it("`diff -r` finds no difference", () => {
    expect(execFileSync("diff", ["-r", source, mounted?.path ?? ""], { encoding: "utf8" })).toBe("");
  });

  it("`umount` leaves no mount and no process", async () => {
    const path = mounted?.path ?? "";
    await mounted?.unmount();
    mounted = undefined;
    expect(await isMounted(path)).toBe(false);
  });
});
