/** The `ObjectStore` contract on the memory fake and on every S3 server that is here. */
import { describe, expect, it } from "vitest";
import { createBucketAdmin, createObjectStore, probeObjectStore, probeStore } from "#s3/index.ts";
import type { StoreAbilities } from "#s3/probe.ts";
import { MemoryObjectStore } from "../support/memory-object-store.ts";
import { type Tags, taggingWith } from "../support/object-tagging.ts";
import { availableStores, missingStores, type S3Server, type ServerKind, startServer } from "../support/s3-servers.ts";
import { createSdkClient } from "../support/sdk-client.ts";
import { listAll } from "../support/store-assertions.ts";
import type { StoreTraits } from "../support/store-under-test.ts";
import { objectStoreContract } from "./object-store.ts";

const ALL: StoreAbilities = {
  ...{ putIfNoneMatch: true, putIfMatch: true, deleteIfMatch: true, completeIfNoneMatch: true },
  ...{ copySourceIfMatch: true, copyIfNoneMatch: true, copyPartIfMatch: true, listMetadata: true },
};
const NONE = Object.fromEntries(Object.keys(ALL).map((ability) => [ability, false])) as unknown as StoreAbilities;

const EXACT = { refusedKeys: [], countsPrefixes: true, unicodeMetadata: true, copiesMarkers: true, abort: true, tags: true } as const;

const TRAITS: Readonly<Record<ServerKind | "memory", StoreTraits>> = {
  memory: { ...EXACT, abilities: { ...ALL, listMetadata: false } },
  s3rver: {
    abilities: NONE,
    refusedKeys: [
      // It joins and normalises paths of files.
      ...["odd/a//b", "odd/./a", "odd/a/../b"],
      // It decodes the source of a copy twice.
      ...["odd/a+b", "odd/a#b?c=d", "odd/100%", "odd/%41"],
      // It checks the signature of a query with these against another encoding.
      ...["odd/'quo\"te'", "odd/!*()@;:$,=~"],
      // It escapes the names in a LIST twice.
      ...["odd/a&b<c>d"],
    ],
    countsPrefixes: false,
    // It checks the signature of Latin-1 text.
    unicodeMetadata: false,
    copiesMarkers: true,
    abort: false,
    tags: false,
  },
  versitygw: {
    ...EXACT,
    abilities: { ...ALL, copyIfNoneMatch: false, listMetadata: false },
    // It answers 500 or DirectoryObjectContainsData.
    copiesMarkers: false,
    // Keys are paths of a POSIX file system.
    refusedKeys: ["odd/a//b", "odd/./a", "odd/a/../b"],
  },
  minio: {
    ...EXACT,
    abilities: { ...ALL, deleteIfMatch: false, copyIfNoneMatch: false },
    // Refused with XMinioInvalidObjectName.
    refusedKeys: ["odd/a//b", "odd/./a", "odd/a/../b", "odd/back\\slash"],
  },
  moto: {
    ...EXACT,
    abilities: { ...ALL, copySourceIfMatch: false, copyIfNoneMatch: false, copyPartIfMatch: false, listMetadata: false },
    // It answers 500 when an upload is completed that was ended.
    abort: false,
  },
};

objectStoreContract("memory", async () => ({ ...newMemory(), stop: async () => undefined }), TRAITS.memory);

for (const kind of availableStores()) {
  objectStoreContract(kind, () => startStore(kind), TRAITS[kind]);
}

const missing = missingStores();
if (missing.length > 0) console.log(`object store contract: not run on ${missing.join(", ")}, which are not on PATH`);

describe("probeStore", () => {
  it("finds the memory store able and leaves no key behind", async () => {
    const store = new MemoryObjectStore();
    store.seed("p/kept", "x");
    expect(await probeStore(store, "p/")).toEqual(TRAITS.memory.abilities);
    expect(store.keys).toEqual(["p/kept"]);
    expect(store.openUploads).toBe(0);
  });

  it.each(availableStores())("finds what %s can do and leaves no key behind", async (kind) => {
    const { store, stop } = await startStore(kind);
    try {
      const metadata = { mode: "33188", ...(TRAITS[kind].unicodeMetadata ? { n: "ü" } : {}) };
      await store.put("p/kept", Buffer.from("x"), { metadata, headers: { contentType: "text/x" } });
      const abilities = await probeObjectStore(store, "p/");
      expect(abilities).toEqual(TRAITS[kind].abilities);
      const [kept, ...others] = await listAll(store, "");
      expect(others).toEqual([]);
      const details = { metadata, contentType: "text/x" };
      expect(kept?.details).toEqual(abilities.listMetadata ? details : undefined);
    } finally {
      await stop();
    }
  });
});

function newMemory() {
  const store = new MemoryObjectStore();
  const tagging = { set: async (key: string, tags: Tags) => store.setTags(key, tags), of: async (key: string) => store.tags(key) ?? {} };
  return { store, another: () => new MemoryObjectStore(), tagging };
}

async function startStore(kind: ServerKind) {
  const server = await startServer(kind);
  const bucket = "contract";
  const admin = createBucketAdmin({ endpoint: server.endpoint, region: server.region, credentials: server });
  await admin.createBucket(bucket).catch(async (error: unknown) => {
    await server.stop();
    throw error;
  });
  await admin.close();
  const store = openStore(server, bucket);
  const client = createSdkClient(server);
  const stop = async () => {
    await store.close();
    client.destroy();
    await server.stop();
  };
  return { store, another: () => openStore(server, bucket), tagging: taggingWith(client, bucket), stop };
}

function openStore({ endpoint, region, accessKeyId, secretAccessKey }: S3Server, bucket: string) {
  return createObjectStore({ bucket, prefix: "", endpoint, region, credentials: { kind: "static", accessKeyId, secretAccessKey } });
}
