/** fsGroup and who may do what in a volume: pods that do not run as root, on real mounts. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { createBucketAdmin, createObjectStore, type S3ObjectStore } from "#s3/index.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { failure, NodeVolume, sh, shAs } from "../support/node-volume.ts";
import { type NodeWorld, startNodeWorld } from "../support/node-world.ts";
import { findBinary, type S3Server, startServer } from "../support/s3-servers.ts";

const GROUP = 2000;
/** As a CI runner's pod: runAsUser 1000, fsGroup 2000. */
const RUNNER = { uid: 1000, group: GROUP };
const BUCKET = "groups";

/** Each test mounts several times, and the machine may be busy. */
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

let s3: S3Server;
let store: S3ObjectStore;
let prefixes = 0;
let world: NodeWorld;
let volume: NodeVolume;

const noSetpriv = findBinary("setpriv") === undefined;
if (noSetpriv) console.warn("SKIPPED test/kernel/node-groups: needs setpriv of util-linux");

describe.skipIf(skipMounts("test/kernel/node-groups") || noSetpriv)("a volume for a group", () => {
  beforeAll(async () => {
    s3 = await startServer("s3rver");
    const { endpoint, region, accessKeyId, secretAccessKey } = s3;
    const credentials = { accessKeyId, secretAccessKey };
    const admin = createBucketAdmin({ endpoint, region, pathStyle: true, credentials });
    await admin.createBucket(BUCKET, {});
    await admin.close();
    store = createObjectStore({ bucket: BUCKET, prefix: "", endpoint, region, credentials: { kind: "static", ...credentials } });
  });
  afterAll(async () => {
    await store?.close();
    await s3?.stop();
  });
  beforeEach(async () => {
    world = await startNodeWorld({ s3 });
    prefixes += 1;
    const prefix = `volume-${prefixes}/`;
    await store.put(`${prefix}theirs/plain`, Buffer.from("plain"));
    await store.put(`${prefix}theirs/private`, Buffer.from("private"), { metadata: { uid: "0", gid: "0", mode: String(0o100600) } });
    volume = await NodeVolume.of(world, "v", { bucket: BUCKET, prefix });
  });
  afterEach(async ({ task }) => {
    volume.close();
    if (task.result?.state === "fail") console.log((await world.log()).slice(-4000));
    await world.stop();
  });

  test("a pod with fsGroup creates, reads, writes, renames and removes, also what others made", async () => {
    await volume.stage({ group: GROUP });
    const dir = await volume.publish("one", { group: GROUP });
    expect(await shAs(RUNNER, dir, "cat theirs/plain theirs/private; stat -c %u:%g:%a . theirs theirs/plain theirs/private")).toBe(
      "plainprivate0:2000:2775\n0:2000:2775\n0:2000:664\n0:2000:660\n",
    );
    await shAs(RUNNER, dir, "umask 077; mkdir -p made/deep; printf made > made/deep/file; mv made/deep/file theirs/renamed");
    await shAs(RUNNER, dir, "printf more >> theirs/plain; printf new > theirs/private; mv theirs/plain made/plain; rm theirs/renamed");
    expect(await shAs({ uid: 1001, group: GROUP }, dir, "cat made/plain theirs/private; rm made/plain; touch made/deep/second")).toBe(
      "plainmorenew",
    );
    expect(await sh('stat -c %u:%g:%a "$1/made" "$1/made/deep/second"', dir)).toBe("1000:2000:2770\n1001:2000:664\n");
    await expect(shAs({ uid: 1002 }, dir, "cat theirs/private")).rejects.toThrow(/Permission denied/);
    await shAs(RUNNER, dir, "rm -r made; printf x > own; chmod 600 own");
    await expect(shAs({ uid: 1001, group: GROUP }, dir, "cat own")).rejects.toThrow(/Permission denied/);
    await volume.end("one");
    expect((await store.head(`volume-${prefixes}/own`)).metadata).toMatchObject({ uid: "1000", gid: "2000", mode: String(0o100600) });
  });

  test("a pod without fsGroup has nothing against a group, and one with it gets it whoever came first", async () => {
    await volume.stage();
    const [first, second] = [await volume.publish("one"), await volume.publish("two", { group: GROUP })];
    expect(await sh('stat -c %g:%a "$1/theirs" "$2/theirs"', first, second)).toBe("2000:2775\n2000:2775\n");
    await shAs(RUNNER, second, "touch theirs/new; rm theirs/new");
    await volume.publish("one");
    expect(await volume.publish("two", { group: GROUP })).toBe(second);
    await volume.end("one", "two");
  });

  test("pods with two groups cannot have one volume on one node; when the first is gone the second can", async () => {
    await volume.stage({ group: GROUP });
    await volume.publish("one", { group: GROUP });
    const { code, details } = await failure(volume.publish("two", { group: 3000 }));
    expect(code).toBe("FAILED_PRECONDITION");
    expect(details).toMatch(/group 2000.*group 3000.*mountOptions/);
    expect((await world.mounts()).map(({ mountPoint }) => mountPoint)).not.toContain(volume.target("two"));
    await volume.unpublish("one");
    const dir = await volume.publish("two", { group: 3000 });
    expect(await sh('stat -c %g "$1/theirs/plain"', dir)).toBe("3000\n");
    await world.restart();
    expect(await failure(volume.publish("three", { group: GROUP }))).toMatchObject({ code: "FAILED_PRECONDITION" });
    await volume.end("two");
  });

  test("an owning group among the mount flags holds for pods of every fsGroup", async () => {
    const mountFlags = ["gid=4000,file_mode=0666,dir_mode=0777"];
    await volume.stage({ mountFlags, group: GROUP });
    const dir = await volume.publish("one", { mountFlags, group: GROUP });
    await volume.publish("two", { mountFlags, group: 3000 });
    expect(await sh('stat -c %g:%a "$1/theirs" "$1/theirs/plain"', dir)).toBe("4000:777\n4000:666\n");
    await volume.end("one", "two");
  });

  test("a killed engine's successor shows the volume to the same group", async () => {
    await volume.stage();
    const dir = await volume.publish("one", { group: GROUP });
    const [engine] = await world.engines();
    process.kill(engine ?? 0, "SIGKILL");
    expect(await sh('stat -c %g:%a "$1/theirs/private"', dir)).toBe("2000:660\n");
    await volume.end("one");
  });

  test("a label needs a kernel with SELinux, and says so; two labels are refused", async () => {
    const labelled = { mountFlags: ['context="system_u:object_r:container_file_t:s0:c1,c2"'] };
    const hasSelinux = (await sh("cat /sys/fs/selinux/enforce 2>/dev/null || true")) !== "";
    if (hasSelinux) await volume.stage(labelled);
    else {
      const { code, details } = await failure(volume.stage(labelled));
      expect(code).toBe("INVALID_ARGUMENT");
      expect(details).toMatch(/context="system_u:object_r:container_file_t:s0:c1,c2".*SELinux/);
      await volume.stage();
      expect(await failure(volume.stage(labelled))).toMatchObject({
        code: "ALREADY_EXISTS",
        details: expect.stringMatching(/SELinux label/),
      });
      expect(await failure(volume.publish("one", labelled))).toMatchObject({ code: "FAILED_PRECONDITION" });
    }
    const other = { mountFlags: ["context=system_u:object_r:container_file_t:s0:c3,c4", ...labelled.mountFlags] };
    expect(await failure(volume.publish("one", other))).toMatchObject({
      code: "INVALID_ARGUMENT",
      details: expect.stringMatching(/c3,c4.*c1,c2/),
    });
  });
});
