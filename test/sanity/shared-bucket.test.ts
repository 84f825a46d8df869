/** Volumes that are prefixes in a shared bucket, and settings of buckets, on every S3 server that is here: what no fake can promise. */
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MARK_KEY } from "#controller/mark.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import { createBucketAdmin, createObjectStore, probeObjectStore, type S3ObjectStore } from "#s3/index.ts";
import { connectGrpc, type GrpcClient } from "../support/grpc.ts";
import { createAccount } from "../support/s3-accounts.ts";
import { availableStores, missingStores, type ServerKind } from "../support/s3-servers.ts";
import { type ControllerWorld, startControllerWorld } from "./controller-world.ts";

if (missingStores().length > 0) console.log(`shared buckets: not run on ${missingStores().join(", ")}: not installed`);

const MOUNTABLE = { mount: {}, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } };
/** More than a page of any listing. */
const MANY = 1_050;
const BUCKET = "shared";
/** Names that begin as a volume's do, and are somebody else's. */
const NEIGHBOURS = ["pvc-10/file", "pvc-1.d/file", "pvc", "a/pvc-1/file"];

/** Settings that a server has: with what it lacks, CreateVolume is refused by the parameter's name. */
const HAS: Readonly<Record<ServerKind, readonly string[]>> = {
  s3rver: ["storageClass"],
  versitygw: ["versioning", "tags", "bucketPolicy"],
  minio: ["versioning", "tags", "bucketPolicy", "storageClass", "lifecycle"],
  moto: ["versioning", "tags", "storageClass", "encryption", "publicAccessBlock"],
};

/** moto keeps a policy and takes it for everybody's, so that the controller may not write its mark: refused as well, as a missing right. */
const DENIES: Partial<Record<ServerKind, string>> = { moto: "bucketPolicy" };

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
    let store: S3ObjectStore;

    beforeAll(async () => {
      world = await startControllerWorld(kind);
      const { endpoint, region, accessKeyId, secretAccessKey } = world.s3;
      const keys = { kind: "static", accessKeyId, secretAccessKey } as const;
      admin = createBucketAdmin(world.store);
      controller = connectGrpc(world.socketPath, "csi.v1.Controller");
      store = createObjectStore({ bucket: BUCKET, prefix: "", endpoint, region, credentials: keys });
      await admin.createBucket(BUCKET);
      if (versioned) await admin.setVersioning(BUCKET, "Enabled");
      for (const key of NEIGHBOURS) await store.put(key, Buffer.from(key));
    });

    afterAll(async () => {
      await store?.close();
      controller?.close();
      await admin?.close();
      await world?.stop();
    });

    const create = (name: string, parameters: object = { bucket: BUCKET }) =>
      controller.call("CreateVolume", { name, volumeCapabilities: [MOUNTABLE], parameters }, { deadlineMs: 60_000 });
    const remove = (volumeId: string) => controller.call("DeleteVolume", { volumeId }, { deadlineMs: 300_000 });
    const keysBelow = async (prefix: string) => {
      const keys: string[] = [];
      for (let continuation: string | undefined, first = true; first || continuation !== undefined; first = false) {
        const page = await admin.listKeys(BUCKET, { prefix, continuation });
        keys.push(...page.items);
        continuation = page.next;
      }
      return keys.toSorted();
    };
    const versionsBelow = async (prefix: string) => (versioned ? (await admin.listVersions(BUCKET, { prefix })).items : []);
    const uploadsBelow = async (prefix: string) => (versioned ? (await admin.listUploads(BUCKET, { prefix })).items : []);

    test("`DeleteVolume` empties one prefix, over more than a page, and nothing beside it", { timeout: 300_000 }, async () => {
      const { volume } = await create("pvc-1");
      expect(volume).toMatchObject({ volumeId: "v1:shared/pvc-1/", volumeContext: { bucket: BUCKET, prefix: "pvc-1/" } });
      expect(await create("pvc-1")).toEqual({ volume });
      const ten = await create("pvc-10").catch((error) => error);
      // Somebody's files are there already.
      expect(ten).toMatchObject({ code: status.ALREADY_EXISTS, details: expect.stringContaining("prefix pvc-10/") });
      const before = [await keysBelow("pvc-10/"), await versionsBelow("pvc-10/")];
      const neighbour = await store.beginUpload("pvc-10/part");
      await inParallel(MANY, (n) => store.put(`pvc-1/dir ${n % 7}/é-${n}`, new Uint8Array([n & 255])));
      if (versioned) {
        await inParallel(60, (n) => store.put(`pvc-1/dir ${n % 7}/é-${n}`, new Uint8Array(2)));
        await inParallel(60, (n) => store.delete(`pvc-1/dir ${n % 7}/é-${n}`));
      }
      for (let n = 0; n < 3; n++) await store.uploadPart(await store.beginUpload(`pvc-1/parts/${n}`), 1, new Uint8Array(1000));
      await remove(volume.volumeId);
      expect([await keysBelow("pvc-1/"), await versionsBelow("pvc-1/"), await uploadsBelow("pvc-1/")]).toEqual([[], [], []]);
      expect([await keysBelow("pvc-10/"), await versionsBelow("pvc-10/")]).toEqual(before);
      if (versioned) expect((await uploadsBelow("pvc-10/")).map(({ key }) => key)).toEqual(["pvc-10/part"]);
      for (const key of NEIGHBOURS) expect((await store.head(key)).size).toBe(key.length);
      expect(await keysBelow(".bucketmount/")).toEqual([]);
      await expect(remove(volume.volumeId)).resolves.toEqual({});
      if (versioned) await store.abortUpload(neighbour);
    });

    test("`onDelete: archive` moves the files with their metadata, and the name is free", { timeout: 300_000 }, async () => {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the template.
      const named = { bucket: BUCKET, onDelete: "archive", nameTemplate: "${pvc.namespace}/${pvc.name}" };
      const parameters = { ...named, "csi.storage.k8s.io/pvc/namespace": "ci", "csi.storage.k8s.io/pvc/name": "m2" };
      const { volume } = await create("pvc-archive", parameters);
      expect(volume.volumeContext.prefix).toBe("ci/m2/");
      await expect(create("pvc-other", parameters)).rejects.toMatchObject({ code: status.ALREADY_EXISTS });
      await inParallel(40, (n) =>
        store.put(`ci/m2/d ${n % 3}/${n}`, Buffer.from(`file ${n}`), { metadata: { mode: "33188", n: String(n) } }),
      );
      await store.put("ci/m2/empty/", new Uint8Array(0), { metadata: { mode: "16877" } });
      await store.put("ci/m2/gone", Buffer.from("x"));
      await store.delete("ci/m2/gone");
      await remove(volume.volumeId);
      await remove(volume.volumeId);
      expect([await keysBelow("ci/"), await versionsBelow("ci/")]).toEqual([[], []]);
      const archived = await keysBelow("archived/ci/m2-");
      expect(archived).toHaveLength(42);
      const target = archived[0]?.slice(0, archived[0].indexOf("Z/") + 2);
      expect(archived).toContain(`${target}.bucketmount/volume.json`);
      expect((await store.head(`${target}d 1/7`)).metadata).toEqual({ mode: "33188", n: "7" });
      expect((await store.head(`${target}empty/`)).metadata).toEqual({ mode: "16877" });
      const again = await create("pvc-other", parameters);
      expect(again.volume.volumeId).not.toBe(volume.volumeId);
      // The old one's deletion, repeated, does not hit the new one.
      await store.put("ci/m2/new", Buffer.from("x"));
      await remove(volume.volumeId);
      expect(await keysBelow("ci/m2/")).toEqual(["ci/m2/new"]);
      await remove(again.volume.volumeId);
    });

    test("`onDelete: only-if-empty` and `retain` keep what is there", async () => {
      const { volume } = await create("careful", { bucket: BUCKET, onDelete: "only-if-empty" });
      await store.put("careful/d/file", Buffer.from("x"));
      await expect(remove(volume.volumeId)).rejects.toMatchObject({
        code: status.FAILED_PRECONDITION,
        details: expect.stringContaining('"careful/d/file"'),
      });
      await admin.deleteVersions(BUCKET, versioned ? await versionsBelow("careful/") : [{ key: "careful/d/file" }]);
      await remove(volume.volumeId);
      const kept = await create("kept", { bucket: BUCKET, onDelete: "retain" });
      await store.put("kept/file", Buffer.from("x"));
      for (let n = 0; n < 2; n++) await remove(kept.volume.volumeId);
      expect(await keysBelow("kept/")).toEqual(["kept/file"]);
      await expect(create("kept", { bucket: BUCKET, onDelete: "retain" })).rejects.toMatchObject({ code: status.ALREADY_EXISTS });
    });

    test("buckets of their own have their policies too", async () => {
      for (const [onDelete, there] of [
        ["retain", true],
        ["archive", true],
        ["only-if-empty", false],
      ] as const) {
        const { volume } = await create(`own-${onDelete}`, { onDelete });
        for (let n = 0; n < 2; n++) await remove(volume.volumeId);
        const found = await admin.headBucket(`own-${onDelete}`).then(
          () => true,
          () => false,
        );
        expect(found, onDelete).toBe(there);
      }
      if (versioned) expect(await admin.getTags("own-archive")).toHaveProperty("bucketmount-archived");
    });

    test("`CreateVolume` makes the settings that the server has, refuses the others by name, and leaves no bucket", async () => {
      // versitygw knows its users, and no other may be named.
      const nodePrincipal = kind === "versitygw" ? (await createAccount(world.s3, "settings", "user")).accessKeyId : "123456789012";
      const settings: Readonly<Record<string, Readonly<Record<string, string>>>> = {
        versioning: { versioning: "true" },
        tags: { tags: "team=ci" },
        encryption: { encryption: "SSE-S3" },
        publicAccessBlock: { publicAccessBlock: "true" },
        bucketPolicy: { bucketPolicy: "least-privilege", nodePrincipal },
        storageClass: { storageClass: "REDUCED_REDUNDANCY" },
        lifecycle: { lifecycle: "expire=30d" },
      };
      for (const [name, parameters] of Object.entries(settings)) {
        const bucket = `set-${name.toLowerCase()}`;
        if (HAS[kind].includes(name)) {
          const { volume } = await create(bucket, parameters);
          expect(await create(bucket, parameters), name).toEqual({ volume });
          await remove(volume.volumeId);
        } else {
          const refusal =
            DENIES[kind] === name
              ? { code: status.PERMISSION_DENIED, details: expect.stringContaining("parameter nodePrincipal") }
              : { code: status.INVALID_ARGUMENT, details: expect.stringMatching(`^parameter ${name}: the store `) };
          await expect(create(bucket, parameters), name).rejects.toMatchObject(refusal);
        }
        await expect(admin.headBucket(bucket), name).rejects.toMatchObject({ fault: "no_bucket" });
      }
    });

    const withUsers = kind === "versitygw" ? test : test.skip;
    withUsers(
      `\`bucketPolicy\` lets the nodes' account do a mount's work and no more${kind === "versitygw" ? "" : " (not here: one user only)"}`,
      async () => {
        const { accessKeyId, secretAccessKey } = await createAccount(world.s3, "node", "user");
        await create("least", { bucketPolicy: "least-privilege", nodePrincipal: accessKeyId });
        const keys = { kind: "static", accessKeyId, secretAccessKey } as const;
        const open = (bucket: string) =>
          createObjectStore({ bucket, prefix: "", endpoint: world.s3.endpoint, region: world.s3.region, credentials: keys });
        const [own, other] = [open("least"), open(BUCKET)];
        expect(await probeObjectStore(own, "")).toMatchObject({ putIfNoneMatch: true, completeIfNoneMatch: true, copySourceIfMatch: true });
        await own.put("d/file", Buffer.from("x"));
        await own.copy("d/file", "d/renamed");
        await own.deleteMany(["d/file"]);
        expect((await own.list({ prefix: "d/" })).objects.map(({ key }) => key)).toEqual(["d/renamed"]);
        const refused: readonly (() => Promise<unknown>)[] = [
          () => own.put(MARK_KEY, Buffer.from("{}")),
          () => own.delete(MARK_KEY),
          () => other.list({ prefix: "" }),
          () => other.head("pvc"),
        ];
        for (const attempt of refused) await expect(attempt()).rejects.toMatchObject({ fault: "denied" });
        await Promise.all([own.close(), other.close()]);
        await remove("v1:least");
      },
    );
  });
}
