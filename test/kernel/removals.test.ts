/** `rm -r` on a real mount and real servers: what it costs, that nothing is left, and what becomes of it when the engine is killed. */
import { execFile } from "node:child_process";
import { mkdir, readdir, rm, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { CreateBucketCommand, ListObjectsV2Command, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FaultProxy, startFaultProxy } from "../support/fault-proxy.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { bucketmount, type MountedBucket, mountOurs } from "../support/mounted-bucket.ts";
import { availableServers, type S3Server, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";

const run = promisify(execFile);
const BUCKET = "removals";
const LONG_MS = 120_000;
const DIRECTORIES = 3;
const FILES = 40;
/** Of the requests of a store across the country. */
const FAR_MS = 30;

for (const kind of availableServers()) {
  describe.skipIf(skipMounts("removals"))(`rm -r on ${kind}`, () => {
    let server: S3Server;
    let proxy: FaultProxy;
    let client: S3Client;
    let mounted: MountedBucket;
    const at = (name: string) => join(mounted.path, name);

    beforeAll(async () => {
      server = await startServer(kind);
      proxy = await startFaultProxy(server.endpoint);
      client = createSdkClient(server);
      await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
      mounted = await mountOurs({ ...server, endpoint: proxy.endpoint }, BUCKET);
    }, LONG_MS);
    afterAll(async () => {
      await mounted?.unmount();
      await proxy?.goAway();
      client?.destroy();
      await server?.stop();
    }, LONG_MS);

    async function makeTree(): Promise<void> {
      for (let d = 0; d < DIRECTORIES; d++) {
        await mkdir(at(`tree/d${d}`), { recursive: true });
        await Promise.all(Array.from({ length: FILES }, (_, f) => writeFile(at(`tree/d${d}/f${f}`), `${d} ${f}`)));
      }
    }

    async function keys(): Promise<string[]> {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: BUCKET }));
      return Contents.flatMap(({ Key }) => Key ?? []);
    }

    async function status(): Promise<{ readonly pid: number; readonly requests: Readonly<Record<string, number>> }> {
      const { stdout } = await bucketmount(["status", mounted.path, "--json"]);
      return (JSON.parse(stdout) as Awaited<ReturnType<typeof status>>[])[0] ?? { pid: 0, requests: {} };
    }

    it("rm -r of a tree leaves nothing in the bucket when it returns", { timeout: LONG_MS }, async () => {
      await makeTree();
      expect((await keys()).length).toBeGreaterThanOrEqual(DIRECTORIES * FILES);
      proxy.delayMs = FAR_MS;
      await rm(at("tree"), { recursive: true });
      proxy.delayMs = 0;
      expect(await keys()).toEqual([]);
    });

    it("an engine that is killed while it removes is succeeded by one that goes on with it", { timeout: LONG_MS }, async () => {
      await makeTree();
      const { pid } = await status();
      proxy.delayMs = FAR_MS;
      await unlink(at("tree/d0/f0"));
      // These are noted and on their way.
      for (const name of ["f1", "f2", "f3", "f4", "f5", "f6"]) await unlink(at(`tree/d0/${name}`));
      process.kill(pid, "SIGKILL");
      expect(await readdir(at("tree/d0"))).toHaveLength(FILES - 7);
      await run("rm", ["-rf", at("tree")]);
      proxy.delayMs = 0;
      expect(await keys()).toEqual([]);
      expect((await status()).pid).not.toBe(pid);
    });

    it("a removal that the bucket refuses later is told by rmdir", { timeout: LONG_MS }, async () => {
      await makeTree();
      proxy.delayMs = FAR_MS;
      await unlink(at("tree/d1/f0"));
      proxy.refusing = { status: 403, code: "AccessDenied", when: (method) => method === "DELETE" || method === "POST" };
      const told = await run("rm", ["-r", at("tree/d1")]).catch(({ stderr }: { stderr: string }) => stderr);
      proxy.refusing = undefined;
      proxy.delayMs = 0;
      expect(told).toMatch(/d1.*: (?:Directory not empty|Permission denied)/);
      expect((await readdir(at("tree/d1"))).length).toBeGreaterThan(0);
      await rm(at("tree"), { recursive: true });
      expect(await keys()).toEqual([]);
    });
  });
}
