import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Fault } from "#core/errors.ts";
import { createKubeApi, type KubeApi, type NewEvent } from "#kube/kube-api.ts";
import { FAKE_TOKEN, type FakeKubeApi, startFakeKubeApi } from "../../support/fake-kube-api.ts";

const EVENT: NewEvent = {
  metadata: { name: "pod.1", namespace: "team" },
  involvedObject: { kind: "Pod", namespace: "team", name: "pod" },
  ...{ type: "Warning", reason: "NoBucket", message: "it is gone", count: 1 },
  ...{ firstTimestamp: new Date(0), lastTimestamp: new Date(0) },
};

let dir = "";
let fake: FakeKubeApi | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "bucketmount-kube-"));
});
afterEach(async () => {
  await fake?.stop();
  fake = undefined;
  rmSync(dir, { recursive: true });
});

async function withKubeconfig(): Promise<{ server: FakeKubeApi; api: KubeApi }> {
  fake = await startFakeKubeApi();
  return { server: fake, api: createKubeApi({ env: { KUBECONFIG: fake.writeKubeconfig(dir) }, requestMs: 2_000 }) };
}

describe("createKubeApi with KUBECONFIG", () => {
  it("reads and lists PersistentVolumes, as far as they matter", async () => {
    const { server, api } = await withKubeconfig();
    const claim = { namespace: "team", name: "maven", uid: "u1" };
    server.volumes = [{ name: "pv-1", driver: "s3.test", volumeHandle: "v1:b", claim }, { name: "pv-2" }, { name: "pv-3" }];
    expect(await api.readPersistentVolume("pv-1")).toEqual({ name: "pv-1", driver: "s3.test", volumeHandle: "v1:b", claim });
    const first = await api.listPersistentVolumes(2);
    expect(first.items.map(({ name }) => name)).toEqual(["pv-1", "pv-2"]);
    expect(first.items[1]).toEqual({ name: "pv-2", driver: undefined, volumeHandle: undefined, claim: undefined });
    expect(await api.listPersistentVolumes(2, first.next)).toMatchObject({ items: [{ name: "pv-3" }], next: undefined });
  });

  it("makes Events and changes them", async () => {
    const { server, api } = await withKubeconfig();
    await api.createEvent(EVENT);
    await api.patchEvent("team", "pod.1", { count: 7, lastTimestamp: new Date(60_000) });
    expect(server.events).toMatchObject([
      { reason: "NoBucket", count: 7, firstTimestamp: "1970-01-01T00:00:00.000Z", lastTimestamp: "1970-01-01T00:01:00.000Z" },
    ]);
  });

  it.each([
    [401, "unauthenticated"],
    [403, "denied"],
    [404, "not_found"],
    [409, "exists"],
    [422, "bad_argument"],
    [429, "throttled"],
    [500, "unavailable"],
    [503, "unavailable"],
  ] as const satisfies readonly (readonly [number, Fault])[])(
    "answers HTTP %i as the fault %s, with the server's words",
    async (status, fault) => {
      const { server, api } = await withKubeconfig();
      server.refusing = { status, message: `events is forbidden: it says ${status}` };
      // The library drops what comes with a 401.
      const told = status === 401 ? "HTTP 401" : `events is forbidden: it says ${status}`;
      const message = `the Kubernetes API refused to create events: ${told}`;
      await expect(api.createEvent(EVENT)).rejects.toMatchObject({ fault, message });
    },
  );

  it("gives a server up that does not answer", async () => {
    fake = await startFakeKubeApi();
    fake.refusing = "hang";
    const api = createKubeApi({ env: { KUBECONFIG: fake.writeKubeconfig(dir) }, requestMs: 200 });
    await expect(api.createEvent(EVENT)).rejects.toMatchObject({ fault: "timed_out" });
  });

  it("says that nobody listens, and never what the token is", async () => {
    const { server, api } = await withKubeconfig();
    await server.stop();
    const error = await api.createEvent(EVENT).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ fault: "unavailable", message: expect.stringContaining("ECONNREFUSED") });
    expect(JSON.stringify(error)).not.toContain(FAKE_TOKEN);
    fake = undefined;
  });

  it("tries a file again that was not there at first", async () => {
    fake = await startFakeKubeApi();
    const api = createKubeApi({ env: { KUBECONFIG: join(dir, "kubeconfig") } });
    await expect(api.createEvent(EVENT)).rejects.toMatchObject({ name: "DriverError" });
    fake.writeKubeconfig(dir);
    await api.createEvent(EVENT);
    expect(fake.events).toHaveLength(1);
  });
});

it("`createKubeApi` refuses an environment without a cluster at once, and says what is missing", () => {
  expect(() => createKubeApi({ env: {} })).toThrow("--kube-events needs the Kubernetes API");
});

const certificate = makeCertificate();
if (certificate === undefined) console.log("in-cluster configuration: not tested, openssl is not on PATH");

describe.skipIf(certificate === undefined)("createKubeApi in a cluster", () => {
  const serve = async (ca: string) => {
    const { key = "", cert = "" } = certificate ?? {};
    fake = await startFakeKubeApi({ key, cert });
    writeFileSync(join(dir, "ca.crt"), ca);
    writeFileSync(join(dir, "token"), `${FAKE_TOKEN}\n`);
    const env = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(fake.port) };
    return { server: fake, api: createKubeApi({ env, serviceAccountDir: dir }) };
  };

  it("uses the service account's token and authority, and a token that was renewed", async () => {
    const { server, api } = await serve(certificate?.cert ?? "");
    await api.createEvent(EVENT);
    writeFileSync(join(dir, "token"), "expired");
    await expect(api.createEvent(EVENT)).rejects.toMatchObject({ fault: "unauthenticated" });
    writeFileSync(join(dir, "token"), FAKE_TOKEN);
    await api.patchEvent("team", "pod.1", { count: 2 });
    expect(server.events).toMatchObject([{ count: 2 }]);
  });

  it("talks to no server that the cluster's authority did not sign", async () => {
    const { server, api } = await serve(makeCertificate()?.cert ?? "");
    await expect(api.createEvent(EVENT)).rejects.toMatchObject({ fault: "unavailable", message: expect.stringMatching(/certificate/) });
    expect(server.requests).toEqual([]);
  });
});

/** A self-signed one for 127.0.0.1; undefined without openssl. */
function makeCertificate(): { readonly key: string; readonly cert: string } | undefined {
  const folder = mkdtempSync(join(tmpdir(), "bucketmount-cert-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const about = ["-subj", "/CN=kubernetes", "-addext", "subjectAltName=IP:127.0.0.1"];
  try {
    execFileSync("openssl", ["req", ...kind, ...about, "-keyout", key, "-out", cert], { stdio: "ignore" });
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } catch {
    return undefined;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
