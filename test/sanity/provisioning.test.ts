/** CreateVolume and DeleteVolume on every S3 server that is here: what no fake can promise. */
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MARK_KEY } from "#controller/mark.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import { createBucketAdmin, createObjectStore, type S3ObjectStore } from "#s3/index.ts";
import { connectGrpc, type GrpcClient } from "../support/grpc.ts";
import { availableStores, missingStores } from "../support/s3-servers.ts";
import { type ControllerWorld, startControllerWorld } from "./controller-world.ts";

if (missingStores().length > 0) console.log(`provisioning: not run on ${missingStores().join(", ")}: not installed`);

const MOUNTABLE = { mount: {}, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } };
/** More than a page of any listing. */
const MANY = 1_050;

async function inParallel(count: number, task: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: 24 }, async () => {
      for (let n = next++; n < count; n = next++) await task(n);
    }),
  );
}

for (const kind of availableStores()) {
  describe(`on ${kind}`, () => {
    const versioned = kind !== "s3rver";
    let world: ControllerWorld;
    let admin: BucketAdmin;
    let controller: GrpcClient;

    beforeAll(async () => {
      world = await startControllerWorld(kind);
      admin = createBucketAdmin(world.store);
      controller = connectGrpc(world.socketPath, "csi.v1.Controller");
    });

    afterAll(async () => {
      controller?.close();
      await admin?.close();
      await world?.stop();
    });

    const create = (name: string, rest: object = {}) =>
      controller.call("CreateVolume", { name, volumeCapabilities: [MOUNTABLE], ...rest }, { deadlineMs: 60_000 });
    const remove = (volumeId: string, deadlineMs = 300_000) => controller.call("DeleteVolume", { volumeId }, { deadlineMs });
    const isThere = (bucket: string) =>
      admin.headBucket(bucket).then(
        () => true,
        (error) => {
          expect(error).toMatchObject({ fault: "no_bucket" });
          return false;
        },
      );
    const objects = (bucket: string): S3ObjectStore =>
      createObjectStore({
        bucket,
        prefix: "",
        endpoint: world.s3.endpoint,
        region: world.s3.region,
        credentials: { kind: "static", accessKeyId: world.s3.accessKeyId, secretAccessKey: world.s3.secretAccessKey },
      });

    test("`DeleteVolume` deletes more than a page of objects, versions, markers and unfinished uploads, and the bucket", {
      timeout: 300_000,
    }, async () => {
      const parameters: Record<string, string> = versioned ? { versioning: "true", tags: "team=ci" } : {};
      const { volume } = await create("Many Objects", { parameters, capacityRange: { requiredBytes: 2 ** 30 } });
      const { bucket } = volume.volumeContext;
      expect(await create("Many Objects", { parameters, capacityRange: { requiredBytes: 2 ** 30 } })).toEqual({ volume });
      if (versioned) {
        expect(await admin.getVersioning(bucket)).toBe("Enabled");
        expect(await admin.getTags(bucket)).toMatchObject({ team: "ci", "bucketmount-volume": volume.volumeId });
      }
      const store = objects(bucket);
      // s3rver escapes "&" twice in its listings, so nobody can name such a key after them.
      const key = (n: number) => `dir ${n % 7}/é+file%20${versioned ? "&" : ""}${n}.txt`;
      await inParallel(MANY, (n) => store.put(key(n), new Uint8Array([n & 255])));
      if (versioned) {
        await inParallel(60, (n) => store.put(key(n), new Uint8Array([1, 2])));
        await inParallel(60, (n) => store.delete(key(n + 30)));
      }
      for (let n = 0; n < 5; n++) {
        const upload = await store.beginUpload(`parts/${n}`);
        await store.uploadPart(upload, 1, new Uint8Array(1000));
      }
      await store.close();
      if (versioned) {
        const { items, next } = await admin.listVersions(bucket);
        expect(items.length).toBe(1000);
        expect(next).toBeDefined();
      }
      await remove(volume.volumeId);
      expect(await isThere(bucket)).toBe(false);
      await expect(remove(volume.volumeId)).resolves.toEqual({});
    });

    test("`DeleteVolume` that runs out of time is gone on with by the next calls", { timeout: 300_000 }, async () => {
      const { volume } = await create("interrupted");
      const { bucket } = volume.volumeContext;
      const store = objects(bucket);
      await inParallel(300, (n) => store.put(`f${n}`, new Uint8Array(1)));
      await store.close();
      let refusals = 0;
      // Each call has more time than the last, so that it ends on any machine.
      for (let deadlineMs = 20; ; deadlineMs *= 2) {
        try {
          await remove(volume.volumeId, deadlineMs);
          break;
        } catch (error) {
          expect([status.DEADLINE_EXCEEDED, status.ABORTED]).toContain((error as { code: number }).code);
          refusals += 1;
        }
      }
      expect(refusals).toBeGreaterThan(0);
      expect(await isThere(bucket)).toBe(false);
    });

    test("`DeleteVolume` refuses a bucket that is not ours and deletes nothing", async () => {
      await admin.createBucket("somebodys");
      await admin.writeObject("somebodys", "data", new Uint8Array(3));
      await expect(remove("v1:somebodys")).rejects.toMatchObject({
        code: status.FAILED_PRECONDITION,
        details: expect.stringContaining("bucket somebodys"),
      });
      await expect(create("somebodys")).rejects.toMatchObject({ code: status.ALREADY_EXISTS });
      expect((await admin.listKeys("somebodys")).items).toEqual(["data"]);
    });

    test("`DeleteVolume` finishes what died between the mark and the bucket", async () => {
      const { volume } = await create("half-deleted");
      await admin.deleteVersions("half-deleted", [{ key: MARK_KEY }]);
      await remove(volume.volumeId);
      expect(await isThere("half-deleted")).toBe(false);
    });

    test("`CreateVolume` adopts what died between the bucket and the mark", async () => {
      await admin.createBucket("half-made");
      const { volume } = await create("half-made");
      expect((await admin.listKeys("half-made")).items).toEqual([MARK_KEY]);
      await remove(volume.volumeId);
    });

    test("`CreateVolume` called twice at once makes one volume", async () => {
      const second = connectGrpc(world.socketPath, "csi.v1.Controller");
      const results = await Promise.allSettled([
        create("twins"),
        second.call("CreateVolume", { name: "twins", volumeCapabilities: [MOUNTABLE] }),
      ]);
      second.close();
      for (const result of results) if (result.status === "rejected") expect(result.reason).toMatchObject({ code: status.ABORTED });
      const { volume } = await create("twins");
      await remove(volume.volumeId);
    });

    test("`CreateVolume` refuses versioning on a store without it and leaves no bucket", async () => {
      if (versioned) {
        const { volume } = await create("with-versions", { parameters: { versioning: "true" } });
        await remove(volume.volumeId);
        return;
      }
      await expect(create("no-versions", { parameters: { versioning: "true" } })).rejects.toMatchObject({
        code: status.INVALID_ARGUMENT,
        details: expect.stringContaining("versioning"),
      });
      expect(await isThere("no-versions")).toBe(false);
    });

    const checked = kind === "moto" ? test.skip : test;
    const note = kind === "moto" ? " (not here: moto checks no keys)" : "";
    checked(`\`CreateVolume\` with wrong keys or a wrong endpoint fails as such and leaves nothing${note}`, async () => {
      const secrets = { accessKeyId: "WRONGKEY", secretAccessKey: "wrongsecret" };
      const refused = create("wrong-keys", { secrets });
      await expect(refused).rejects.toMatchObject({
        code: expect.toSatisfy((code: number) => [status.UNAUTHENTICATED, status.PERMISSION_DENIED].includes(code)),
      });
      await expect(refused).rejects.not.toMatchObject({ details: expect.stringContaining("wrongsecret") });
      expect(await isThere("wrong-keys")).toBe(false);
      const nowhere = create("nowhere", { secrets: { endpoint: "http://127.0.0.1:1" } });
      await expect(nowhere).rejects.toMatchObject({ code: status.UNAVAILABLE });
    });
  });
}
