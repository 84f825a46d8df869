import { describe, expect, test } from "vitest";
import { archiveFiles, archivePrefix } from "#controller/archive.ts";
import { encodeMark, markKeyOf, type VolumeMark } from "#controller/mark.ts";
import { createSweep } from "#controller/sweep.ts";
import { Crash, crashingBucketAdmin, overridingBucketAdmin } from "../../support/crashing-bucket-admin.ts";
import { MemoryBucketAdmin, type MemoryBucketAdminOptions } from "../../support/memory-bucket-admin.ts";

const MARK: VolumeMark = {
  ...{ format: 1, driver: "d", volumeId: "v", volumeName: "n", capacityBytes: 0, parameters: { onDelete: "archive" }, claim: {} },
  createdAt: "2026-01-02T03:04:05.678Z",
};
const VOLUME = { place: { bucket: "b", prefix: "ci/m2/" }, driver: "d", volumeId: "v" };
const RELEASED = { at: "2026-06-01T00:00:00.000Z", onDelete: "archive" } as const;
const TARGET = "archived/ci/m2-20260102T030405678Z/";

const KINDS: Readonly<Record<string, MemoryBucketAdminOptions & { versioned?: boolean }>> = {
  "versions kept": { versioned: true },
  "no versioning on": {},
  "no versions": { versions: "missing", tags: false, conditionalWrites: false },
};

async function volume({ versioned = false, ...options }: (typeof KINDS)[string]): Promise<MemoryBucketAdmin> {
  const admin = new MemoryBucketAdmin(options);
  admin.addBucket("b", ["ci/m22/keep", "ci/m2"]);
  if (versioned) await admin.setVersioning("b", "Enabled");
  await admin.writeObject("b", markKeyOf(VOLUME.place), encodeMark(MARK));
  await admin.fill("b", 3, "ci/m2/");
  if (options.versions === "missing") for (const bucket of admin.buckets.values()) bucket.uploads = [];
  await admin.writeObject("b", "ci/m2/", new Uint8Array(0));
  await admin.writeObject("b", "ci/m2/.bucketmount/probe-1", new Uint8Array(1));
  return admin;
}

const archive = (admin: Parameters<typeof createSweep>[0]) => archiveFiles(createSweep(admin, VOLUME, {}), MARK, RELEASED);

/** Current keys with their bytes. */
async function contents(admin: MemoryBucketAdmin): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (let continuation: string | undefined, first = true; first || continuation !== undefined; first = false) {
    const page = await admin.listKeys("b", { continuation });
    for (const key of page.items) found[key] = Buffer.from((await admin.readObject("b", key)).body).toString("hex");
    continuation = page.next;
  }
  return found;
}

function expectArchived(found: Record<string, string>): void {
  const names = Object.keys(found).filter((key) => !key.startsWith(".bucketmount/"));
  expect(names).toEqual([
    ...["", ".bucketmount/volume.json", "kept/file-0", "kept/file-1", "kept/file-2"].map((name) => TARGET + name),
    ...["ci/m2", "ci/m22/keep"],
  ]);
  expect([0, 1, 2].map((n) => found[`${TARGET}kept/file-${n}`])).toEqual(["00", "01", "02"]);
}

describe("archiveFiles", () => {
  for (const [kind, options] of Object.entries(KINDS)) {
    test(`moves the files that are there, and no deleted ones, on a store with ${kind}`, async () => {
      const admin = await volume(options);
      await archive(admin);
      expectArchived(await contents(admin));
      const bucket = admin.buckets.get("b");
      expect(bucket?.versions.filter(({ key }) => key.startsWith("ci/m2/"))).toEqual([]);
      expect(bucket?.uploads).toEqual([]);
    });

    test(`ends with the same after a death at any request on a store with ${kind}`, async () => {
      const whole = crashingBucketAdmin(await volume(options), { at: Infinity, when: "before" });
      await archive(whole.admin);
      for (let at = 0; at < whole.requests(); at++) {
        for (const when of ["before", "after"] as const) {
          const admin = await volume(options);
          await expect(archive(crashingBucketAdmin(admin, { at, when }).admin), `${when} ${at}`).rejects.toThrow(Crash);
          await archive(admin);
          expectArchived(await contents(admin));
        }
      }
    });
  }

  test("goes with two processes at once, and loses nothing", async () => {
    const admin = await volume({ versioned: true });
    await Promise.all([archive(admin), archive(admin)]);
    expectArchived(await contents(admin));
  });

  test("keeps what was written while it ran", async () => {
    const admin = await volume({ versioned: true });
    let copies = 0;
    const busy = overridingBucketAdmin(admin, {
      copyObject: async (...parameters) => {
        await admin.copyObject(...parameters);
        if (++copies === 2) await admin.writeObject("b", "ci/m2/late", new Uint8Array([9]));
      },
    });
    await archive(busy);
    expect((await contents(admin))[`${TARGET}late`]).toBe("09");
  });

  test("keeps what was written after it had moved the rest", async () => {
    const admin = await volume({ versioned: true });
    let lists = 0;
    const busy = overridingBucketAdmin(admin, {
      listUploads: async (...parameters) => {
        if (++lists === 1) await admin.writeObject("b", "ci/m2/late", new Uint8Array([9]));
        return admin.listUploads(...parameters);
      },
    });
    await archive(busy);
    expect((await contents(admin))[`${TARGET}late`]).toBe("09");
  });

  test("deletes no delete marker before what lies under it, whatever the pages are", async () => {
    const admin = await volume({ versioned: true });
    const order: string[] = [];
    const spied = overridingBucketAdmin(admin, {
      deleteVersions: (bucket, targets, options) => {
        for (const { key, versionId } of targets) {
          const found = admin.buckets.get("b")?.versions.find((one) => one.key === key && one.versionId === versionId);
          if (found !== undefined) order.push(found.body === undefined ? "marker" : "version");
        }
        return admin.deleteVersions(bucket, targets, options);
      },
    });
    await archive(spied);
    expect(order.indexOf("marker")).toBe(order.lastIndexOf("version") + 1);
  });

  test("stops when another volume took the place", async () => {
    const admin = await volume({ versioned: true });
    let copies = 0;
    const taken = overridingBucketAdmin(admin, {
      copyObject: async (...parameters) => {
        await admin.copyObject(...parameters);
        if (++copies === 1) await admin.writeObject("b", markKeyOf(VOLUME.place), encodeMark({ ...MARK, volumeId: "later" }));
      },
    });
    await expect(archive(taken)).rejects.toMatchObject({ fault: "precondition" });
    // The files of the page after that are where they were.
    expect(Object.keys(await contents(admin))).toContain("ci/m2/kept/file-2");
  });

  test("stops with the store's reason, and what is not copied stays", async () => {
    const admin = await volume({ versioned: true });
    const failing = overridingBucketAdmin(admin, {
      copyObject: async (bucket, source, target) => {
        if (source.endsWith("file-1")) throw new Error("InvalidObjectState");
        await admin.copyObject(bucket, source, target);
      },
    });
    await expect(archive(failing)).rejects.toThrow("InvalidObjectState");
    expect(Object.keys(await contents(admin))).toContain("ci/m2/kept/file-1");
  });
});

test("`archivePrefix` is another one for a later volume at the same place", () => {
  expect(archivePrefix(VOLUME.place, MARK)).toBe(TARGET);
  expect(archivePrefix(VOLUME.place, { ...MARK, createdAt: "2026-01-02T03:04:05.679Z" })).not.toBe(TARGET);
});
