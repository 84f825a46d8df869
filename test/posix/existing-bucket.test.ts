// A bucket that others filled is mounted, and made somebody's own by chmod -R and chown -R: what that costs, and what stays on the objects.
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import {
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectTaggingCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { bucketmount, type MountedBucket, mountOurs } from "../support/mounted-bucket.ts";
import { makeBucket, posixServers, runScript } from "../support/posix-mount.ts";
import { type S3Server, type ServerKind, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";

const LIMIT_MS = 600_000;
const DIRECTORIES = ["", "a/", "a/b/", "c/"];
const FILES = process.env["POSIX_FULL"] === "1" ? 2000 : 200;
const KEYS = Array.from({ length: FILES }, (_, n) => `${DIRECTORIES[n % DIRECTORIES.length]}file-${n}`);
/** An object that is copied onto itself gets a new Last-Modified, as on AWS. */
const MOVES: Partial<Record<ServerKind, boolean>> = { s3rver: false, versitygw: false, minio: true };
const TAGS = [{ Key: "project", Value: "blue" }];
const FOREIGN = {
  ContentType: "text/x-theirs",
  CacheControl: "max-age=60",
  ContentDisposition: 'attachment; filename="x"',
  Metadata: { note: "theirs", md5chksum: "abc" },
};

describe.skipIf(skipMounts("chmod -R over an existing bucket")).each(posixServers())("a bucket of %s that others filled", (kind) => {
  let server: S3Server;
  let client: S3Client;
  let tagged = true;
  beforeAll(async () => {
    server = await startServer(kind);
    client = createSdkClient(server);
    for (const bucket of ["remote", "local"]) await fill(bucket);
    if (!tagged) console.warn(`tags of objects: not tested on ${kind}, which has none`);
  }, LIMIT_MS);
  afterAll(async () => {
    client.destroy();
    await server.stop();
  });

  async function fill(Bucket: string): Promise<void> {
    await makeBucket(server, Bucket);
    await Promise.all(KEYS.map((Key) => client.send(new PutObjectCommand({ Bucket, Key, Body: `content of ${Key}`, ...FOREIGN }))));
    for (const Key of KEYS.slice(0, 3)) {
      await client.send(new PutObjectTaggingCommand({ Bucket, Key, Tagging: { TagSet: TAGS } })).catch(() => {
        tagged = false;
      });
    }
  }

  const mount = (bucket: string, options: string) =>
    mountOurs(server, bucket, ["-o", `uid=1001,gid=1002,file_mode=0640,dir_mode=0750,${options}`]);

  async function requests({ path }: MountedBucket): Promise<Record<string, number>> {
    const { stdout } = await bucketmount(["status", path, "--json"]);
    const found = JSON.parse(stdout) as { requests: Record<string, number> } | { requests: Record<string, number> }[];
    return (Array.isArray(found) ? found[0] : found)?.requests ?? {};
  }

  /** Requests by kind while `work` runs and until all of it is in the bucket. */
  async function costs(mounted: MountedBucket, script: string): Promise<Record<string, number>> {
    const before = await requests(mounted);
    const started = performance.now();
    // A directory's fsync waits for the files in it; syncfs(2) does not reach a FUSE file system.
    await runScript(`${script}\nfind . -type d -exec sync {} +`, { cwd: mounted.path });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const after = await requests(mounted);
    const made = Object.fromEntries(Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)]));
    console.log(`${script}: ${seconds} s for ${KEYS.length} objects, ${JSON.stringify(made)}`);
    return made;
  }

  async function expectForeign(Bucket: string): Promise<void> {
    for (const Key of KEYS.slice(0, 6)) {
      const { Metadata, ...found } = await client.send(new HeadObjectCommand({ Bucket, Key }));
      const { Metadata: theirs, ...headers } = FOREIGN;
      expect(found, Key).toMatchObject(headers);
      expect(Metadata, Key).toMatchObject(theirs);
      if (!tagged) continue;
      const { TagSet } = await client.send(new GetObjectTaggingCommand({ Bucket, Key }));
      expect(TagSet, Key).toEqual(KEYS.indexOf(Key) < 3 ? TAGS : []);
    }
  }

  async function modified(Bucket: string): Promise<(number | undefined)[]> {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket }));
    return Contents.filter(({ Key }) => !Key?.endsWith("/")).map(({ LastModified }) => LastModified?.getTime());
  }

  const shown = async ({ path }: MountedBucket, key: string) => {
    const { mode, uid, gid } = await lstat(join(path, key));
    return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
  };

  it("shows what the mount says, until it is changed: one copy of each object, and all that others noted stays", {
    timeout: LIMIT_MS,
  }, async () => {
    const mounted = await mount("remote", "durability=remote");
    try {
      expect([await shown(mounted, "file-0"), await shown(mounted, "a/b"), await shown(mounted, "a/b/file-2")]).toEqual([
        "640 1001:1002",
        "750 1001:1002",
        "640 1001:1002",
      ]);
      const before = await modified("remote");
      const chmod = await costs(mounted, "chmod -R u=rwX,g=rX,o=rX .");
      expect([chmod["CopyObject"], chmod["GetObject"] ?? 0]).toEqual([FILES, 0]);
      // A marker for each directory but the bucket's root, which has no key.
      expect(chmod["PutObject"]).toBe(DIRECTORIES.length - 1);
      expect((await modified("remote")).some((time, i) => time !== before[i])).toBe(MOVES[kind]);
      const chown = await costs(mounted, "chown -R 7:8 .");
      expect([chown["CopyObject"], chown["GetObject"] ?? 0]).toEqual([FILES, 0]);
      // What a change of ours made is known, also after the listing that tells of it.
      expect(chown["HeadObject"] ?? 0).toBeLessThan(FILES / 10);
      expect(await shown(mounted, "a/b/file-2")).toBe("644 7:8");
      await expectForeign("remote");
      await costs(mounted, "mv a renamed");
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: "remote", Prefix: "renamed/" }));
      expect(Contents.length).toBeGreaterThan(FILES / 4);
      if (tagged) {
        const { TagSet } = await client.send(new GetObjectTaggingCommand({ Bucket: "remote", Key: `renamed/${KEYS[1]?.slice(2)}` }));
        expect(TagSet).toEqual(TAGS);
      }
    } finally {
      await mounted.unmount();
    }
  });

  it("new content keeps headers, metadata and tags", { timeout: LIMIT_MS }, async () => {
    const [Key = ""] = KEYS;
    const mounted = await mount("local", "durability=remote");
    try {
      await runScript(`echo more >> ${Key}`, { cwd: mounted.path });
    } finally {
      await mounted.unmount();
    }
    const { Metadata, ...found } = await client.send(new HeadObjectCommand({ Bucket: "local", Key }));
    const { Metadata: theirs, ...headers } = FOREIGN;
    expect(found).toMatchObject(headers);
    expect(Metadata).toMatchObject(theirs);
    if (!tagged) return;
    expect((await client.send(new GetObjectTaggingCommand({ Bucket: "local", Key }))).TagSet).toEqual(TAGS);
  });

  it("with durability=local several changes of one object are one copy, many at a time", { timeout: LIMIT_MS }, async () => {
    // Nothing begins while more changes come, for a second at most: all three of a file are made within that.
    const mounted = await mount("local", "durability=local");
    try {
      const made = await costs(
        mounted,
        'find . -type f -print0 | xargs -0 -n 20 sh -c \'chmod 600 "$@"; chown 7:8 "$@"; touch -h -d @1600000000 "$@"\' sh; chmod 700 a',
      );
      expect([made["CopyObject"], made["GetObject"] ?? 0]).toEqual([FILES, 0]);
      await expectForeign("local");
    } finally {
      await mounted.unmount();
    }
    const again = await mount("local", "durability=local");
    try {
      for (const key of KEYS.slice(0, 8)) {
        expect(await shown(again, key), key).toBe("600 7:8");
        expect((await lstat(join(again.path, key))).mtimeMs, key).toBe(1_600_000_000_000);
      }
      expect(await shown(again, "a")).toMatch(/^700 /);
    } finally {
      await again.unmount();
    }
  });
});
