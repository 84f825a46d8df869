/** Keys of volumes: wrong ones, repaired ones, rotated ones, per volume and per publication; with a store that has several users. */
import { writeFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { pollUntil } from "#node/deadline.ts";
import { readOwner } from "#node/state-folder.ts";
import { VolumeRecords } from "#node/volume-records.ts";
import { createBucketAdmin } from "#s3/index.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { abortConnection, failure, NodeVolume, sh } from "../support/node-volume.ts";
import { type NodeWorld, startNodeWorld } from "../support/node-world.ts";
import { type Account, createAccount, removeAccount } from "../support/s3-accounts.ts";
import { findBinary, type S3Server, startServer } from "../support/s3-servers.ts";

const BUCKET = "keys";
const WRONG = { accessKeyId: "first", secretAccessKey: "not-the-secret" };

/** Each test mounts several times, and the machine may be busy. */
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

let s3: S3Server;
let world: NodeWorld;
let volume: NodeVolume;
let first: Account;
let second: Account;

const noServer = findBinary("versitygw") === undefined;
if (noServer) console.warn("SKIPPED test/kernel/node-credentials: needs versitygw, for more users than one");

/** Writes a file and reads it again after the attributes' time in memory. */
function use(dir: string): Promise<string> {
  return sh('printf x > "$1/file"; rm "$1/file"; sleep 1.1; ls "$1"', dir);
}

/** All who hold the mount die: its engine, and what would start another. */
async function killMount(): Promise<void> {
  const [row] = (await world.mounts()).filter(({ mountPoint }) => mountPoint === volume.staging);
  await abortConnection(row?.device ?? "");
  const folder = new VolumeRecords(world.stateDir).folder(volume.volumeId);
  expect(await pollUntil(60_000, 20, async () => (await readOwner(folder)) === undefined)).toBe(true);
  expect(await world.engines()).toEqual([]);
}

describe.skipIf(skipMounts("test/kernel/node-credentials") || noServer)("keys of a volume", () => {
  beforeAll(async () => {
    s3 = await startServer("versitygw");
    const { endpoint, region, accessKeyId, secretAccessKey } = s3;
    const admin = createBucketAdmin({ endpoint, region, pathStyle: true, credentials: { accessKeyId, secretAccessKey } });
    await admin.createBucket(BUCKET, {});
    await admin.close();
  });
  afterAll(() => s3?.stop());
  beforeEach(async () => {
    [first, second] = [await createAccount(s3, "first"), await createAccount(s3, "second")];
    world = await startNodeWorld({ s3 });
    volume = await NodeVolume.of(world, "v", { bucket: BUCKET });
  });
  afterEach(async ({ task }) => {
    volume.close();
    if (task.result?.state === "fail") console.log((await world.log()).slice(-4000));
    await world.stop();
    for (const account of [first, second]) await removeAccount(s3, account).catch(() => undefined);
  });

  test("NodeStageVolume names cause and fix when the secret is wrong, and the repaired secret works at the next attempt", async () => {
    const { code, details } = await failure(volume.stage({ secrets: WRONG }));
    expect(code).toBe("UNAUTHENTICATED");
    expect(details).toMatch(/secret access key.*the volume's secret.*Correct secretAccessKey in the Secret/);
    expect(details).not.toContain("not-the-secret");
    expect(await failure(volume.publish("one"))).toMatchObject({ code: "FAILED_PRECONDITION" });
    await volume.stage({ secrets: { ...first } });
    await use(await volume.publish("one"));
    await volume.end("one");
  });

  test("NodeStageVolume says so when the key is right and may not use the bucket", async () => {
    const guest = await createAccount(s3, "guest", "user");
    const { code, details } = await failure(volume.stage({ secrets: { ...guest } }));
    expect(code).toBe("PERMISSION_DENIED");
    expect(details).toMatch(/AccessDenied.*Allow this key/);
    await removeAccount(s3, guest);
  });

  test("a rotated secret reaches the engine when NodePublishVolume is repeated, and nobody mounts again", async () => {
    await volume.stage({ secrets: { ...first } });
    const dir = await volume.publish("one", { secrets: { ...first } });
    const other = await volume.publish("two", { secrets: { ...first } });
    const engines = await world.engines();
    await volume.publish("one", { secrets: { ...second } });
    await removeAccount(s3, first);
    await use(dir);
    await volume.publish("two", { secrets: { ...second } });
    await use(other);
    expect(await world.engines()).toEqual(engines);
    // The successor of a crashed engine has the new keys too.
    process.kill(engines[0] ?? 0, "SIGKILL");
    await use(dir);
    await volume.end("one", "two");
  });

  test("keys that the store refuses do not replace those that work", async () => {
    await volume.stage({ secrets: { ...first } });
    const dir = await volume.publish("one", { secrets: { ...first } });
    expect(await failure(volume.publish("one", { secrets: WRONG }))).toMatchObject({ code: "UNAUTHENTICATED" });
    await use(dir);
    expect(await failure(volume.publish("two", { secrets: WRONG }))).toMatchObject({ code: "UNAUTHENTICATED" });
    expect((await world.mounts()).map(({ mountPoint }) => mountPoint)).not.toContain(volume.target("two"));
    await volume.end("one");
  });

  test("NodeStageVolume with other keys gives them to the engine, unless publications brought theirs", async () => {
    await volume.stage({ secrets: { ...first } });
    await volume.stage({ secrets: { ...second } });
    await removeAccount(s3, first);
    const dir = await volume.publish("one");
    await use(dir);
    first = await createAccount(s3, "first");
    await volume.publish("one", { secrets: { ...first } });
    await volume.stage({ secrets: { ...second } });
    await removeAccount(s3, second);
    await use(dir);
    await volume.end("one");
  });

  test("two secrets that take turns are refused, and the newer keys stay", async () => {
    await volume.stage({ secrets: { ...first } });
    await volume.publish("one", { secrets: { ...first } });
    const dir = await volume.publish("two", { secrets: { ...second } });
    const { code, details } = await failure(volume.publish("one", { secrets: { ...first } }));
    expect(code).toBe("FAILED_PRECONDITION");
    expect(details).toContain(volume.target("two"));
    await removeAccount(s3, first);
    await use(dir);
    await volume.unpublish("two");
    first = await createAccount(s3, "first");
    await volume.publish("one", { secrets: { ...first } });
    await removeAccount(s3, second);
    await use(volume.target("one"));
    await volume.end("one");
  });

  test("a proxy and authorities in the secret are the volume's own; wrong ones are refused by name", async () => {
    const asked: (string | undefined)[] = [];
    const proxy = createServer((incoming, answer) => {
      asked.push(incoming.headers["proxy-authorization"]);
      const { "proxy-authorization": _own, ...headers } = incoming.headers;
      const onward = request(incoming.url ?? "", { method: incoming.method, headers }, (got) => {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        got.pipe(answer);
      });
      onward.on("error", () => answer.destroy());
      incoming.pipe(onward);
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const httpProxy = `http://user:proxy-password@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const own = await failure(volume.stage({ secrets: { ...first, httpProxy: "127.0.0.1:9" } }));
    expect(own).toMatchObject({ code: "INVALID_ARGUMENT", details: expect.stringContaining("httpProxy") });
    expect(await failure(volume.stage({ secrets: { ...first, caBundle: "none" } }))).toMatchObject({
      code: "INVALID_ARGUMENT",
      details: expect.stringContaining("caBundle"),
    });
    await volume.stage({ secrets: { ...first, httpProxy, caBundle: rootCertificates[0] ?? "" } });
    const dir = await volume.publish("one", { secrets: { ...second } });
    const before = asked.length;
    await use(dir);
    expect(asked.length).toBeGreaterThan(before);
    expect(new Set(asked)).toEqual(new Set([`Basic ${btoa("user:proxy-password")}`]));
    await expect(sh('grep -rl proxy-password "$1"', world.dir)).rejects.toMatchObject({ code: 1 });
    await volume.end("one");
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
  });

  test("keys never come to the disk, however they came", async () => {
    await volume.stage({ secrets: { ...first } });
    await volume.publish("one", { secrets: { ...second, httpProxy: "" } });
    await expect(sh('grep -rlE "secret-of-(first|second)" "$1"', world.dir)).rejects.toMatchObject({ code: 1 });
    await volume.end("one");
  });

  test("NodePublishVolume mounts again after all holders died if it has keys: the driver's, its own, or those in memory", async () => {
    await volume.stage({ secrets: { ...first } });
    await volume.publish("one");
    await killMount();
    await volume.publish("one");
    await use(volume.target("one"));

    // The plugin too: its memory is gone.
    await killMount();
    await world.restart();
    const { code, details } = await failure(volume.publish("one"));
    expect(code).toBe("FAILED_PRECONDITION");
    expect(details).toMatch(/nodePublishSecretRef/);
    await volume.publish("one", { secrets: { ...second } });
    await use(volume.target("one"));
    await volume.end("one");
  });

  describe("without keys of the driver's own", () => {
    beforeEach(async () => {
      volume.close();
      await world.stop();
      // A chain that finds nothing: no environment, no file, no instance role.
      const empty = join("/proc/self", "no-such-file");
      const env = { ...process.env, AWS_EC2_METADATA_DISABLED: "true", AWS_SHARED_CREDENTIALS_FILE: empty, AWS_CONFIG_FILE: empty };
      world = await startNodeWorld({ s3, credentials: { kind: "chain" }, env });
      volume = await NodeVolume.of(world, "v", { bucket: BUCKET });
    });

    test("a secret that comes with NodePublishVolume alone is enough", async () => {
      await volume.stage();
      const { code, details } = await failure(volume.publish("one"));
      expect(code).toBe("FAILED_PRECONDITION");
      expect(details).toMatch(/nodePublishSecretRef/);
      expect(await failure(volume.publish("one", { secrets: WRONG }))).toMatchObject({ code: "UNAUTHENTICATED" });
      await use(await volume.publish("one", { secrets: { ...first } }));
      await volume.stage();
      await volume.end("one");
      await volume.stage();
      await volume.unstage();
      expect(await failure(volume.publish("one", { secrets: { ...first } }))).toMatchObject({ code: "FAILED_PRECONDITION" });
    });

    test("keys in a file of AWS's form are read again when the store refuses the old ones", async () => {
      volume.close();
      await world.stop();
      const file = join(await sh("mktemp -d /tmp/bucketmount-keys-XXXXXX | tr -d '\\n'"), "credentials");
      const write = ({ accessKeyId, secretAccessKey }: Account) =>
        writeFile(file, `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`, { mode: 0o600 });
      await write(first);
      const env = { ...process.env, AWS_EC2_METADATA_DISABLED: "true", AWS_SHARED_CREDENTIALS_FILE: file };
      world = await startNodeWorld({ s3, credentials: { kind: "chain" }, env });
      volume = await NodeVolume.of(world, "v", { bucket: BUCKET });
      await volume.stage();
      const dir = await volume.publish("one");
      await use(dir);
      await write(second);
      await removeAccount(s3, first);
      await use(dir);
      await volume.end("one");
      await sh('rm "$1"; rmdir "$(dirname "$1")"', file);
    });
  });
});
