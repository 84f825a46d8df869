/** The controller's process killed in the middle of CreateVolume and DeleteVolume, at many moments: no leak, no double, nobody else's harm. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import { createBucketAdmin, createObjectStore, type S3ObjectStore } from "#s3/index.ts";
import { connect, READY_MS } from "../../scripts/demo/csi-client.ts";
import { startProgram } from "../../scripts/demo/program.ts";
import { availableServers, type S3Server, startServer } from "../support/s3-servers.ts";

const CAPABILITY = { mount: { fsType: "", mountFlags: [] }, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } };
const kind = availableServers().includes("versitygw") ? "versitygw" : "s3rver";
/** Enough that a deletion takes a while. */
const FILES = 1_500;

/** Each volume of the test: what CreateVolume is asked for. */
const VOLUMES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "a bucket": kind === "versitygw" ? { versioning: "true", tags: "team=ci" } : {},
  "a prefix": { bucket: "shared" },
};

describe.each(Object.entries(VOLUMES))(`a controller that is killed while it works on %s (${kind})`, (name, parameters) => {
  let dir: string;
  let s3: S3Server;
  let admin: BucketAdmin;
  let data: S3ObjectStore;
  const own = parameters.bucket === undefined;
  const bucket = own ? "pvc-1" : "shared";
  const prefix = own ? "" : "pvc-1/";

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "killed-"));
    s3 = await startServer(kind);
    const { endpoint, region, accessKeyId, secretAccessKey } = s3;
    admin = createBucketAdmin({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
    data = createObjectStore({ bucket, prefix: "", endpoint, region, credentials: { kind: "static", accessKeyId, secretAccessKey } });
    await admin.createBucket("shared");
    await admin.writeObject("shared", "pvc-10/file", new Uint8Array(1));
  });
  afterAll(async () => {
    await data?.close();
    await admin?.close();
    await s3?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  /** One life of the controller: the call, and SIGKILL after so long. Answers the reply, or undefined when it died before. */
  async function live(method: string, request: object, killAfterMs: number): Promise<unknown> {
    const socket = join(dir, "controller.sock");
    const env = { ...process.env, AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey, AWS_REGION: s3.region };
    const args = ["controller", "--endpoint", `unix://${socket}`, "--s3-endpoint", s3.endpoint];
    const program = startProgram({ name: "controller", dir, env, args });
    const client = connect("csi.v1.Controller", socket);
    try {
      await client.ready(READY_MS);
      // Else the first call loads the S3 client, and the kills would all hit that.
      await client.call("validateVolumeCapabilities", { volumeId: "v1:missing", volumeCapabilities: [CAPABILITY] }).catch(() => undefined);
      const call = client.call(method, request).catch(() => undefined);
      const killed = sleep(killAfterMs).then(() => process.kill(program.pid, "SIGKILL"));
      return await Promise.race([call, killed.then(() => program.exited).then(() => undefined)]);
    } finally {
      client.close();
      if (program.pid > 0) await program.stop();
    }
  }

  /** Lives, each killed later than the one before, until a call gets through. Answers its reply and how many were killed. */
  async function untilDone(method: string, request: object, firstMs: number): Promise<{ reply: unknown; kills: number }> {
    for (let kills = 0, ms = firstMs; ; kills++, ms = ms * 1.5 + 1) {
      const reply = await live(method, request, ms);
      if (reply !== undefined) return { reply, kills };
    }
  }

  test(`makes and deletes ${name} exactly once`, { timeout: 600_000 }, async () => {
    const request = { name: "pvc-1", volumeCapabilities: [CAPABILITY], parameters };
    const made = await untilDone("createVolume", request, 1);
    expect(made.reply).toMatchObject({ volume: { volumeId: own ? "v1:pvc-1" : "v1:shared/pvc-1/", volumeContext: { bucket } } });
    const marks = await admin.listKeys(bucket, { prefix: ".bucketmount/" });
    expect(marks.items).toEqual([own ? ".bucketmount/volume.json" : ".bucketmount/volumes/pvc-1/volume.json"]);
    if (own && kind === "versitygw") expect(await admin.getVersioning(bucket)).toBe("Enabled");

    let next = 0;
    const writer = async () => {
      for (let n = next++; n < FILES; n = next++) await data.put(`${prefix}d${n % 9}/f${n}`, new Uint8Array([1]));
    };
    await Promise.all(Array.from({ length: 16 }, writer));
    const { volumeId } = (made.reply as { volume: { volumeId: string } }).volume;
    const gone = await untilDone("deleteVolume", { volumeId }, 10);
    console.log(`${name} on ${kind}: made after ${made.kills} kills, deleted after ${gone.kills}`);
    expect(made.kills).toBeGreaterThan(0);
    expect(gone.kills).toBeGreaterThan(0);
    if (own) await expect(admin.headBucket(bucket)).rejects.toMatchObject({ fault: "no_bucket" });
    expect((await admin.listKeys("shared")).items).toEqual(["pvc-10/file"]);
  });
});
