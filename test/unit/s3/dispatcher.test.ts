import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { createObjectStore, renewAccess, type S3ObjectStore } from "#s3/index.ts";
import type { StoreAccess, StoreConfig } from "#s3/store-config.ts";
import { answer, startScriptedS3 } from "../../support/scripted-s3.ts";
import { fails } from "../../support/store-assertions.ts";

const stores: S3ObjectStore[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

function configOf(endpoint: string, access: Partial<StoreAccess> = {}): StoreConfig {
  const credentials = { kind: "static", accessKeyId: "A", secretAccessKey: "s" } as const;
  return { bucket: "b", prefix: "", endpoint, region: "us-east-1", credentials, ...access };
}

function open(endpoint: string, caBundle?: string, access: Partial<StoreAccess> = {}): S3ObjectStore {
  const config = configOf(endpoint, { ...access, ...(caBundle === undefined ? {} : { caBundle }) });
  const store = createObjectStore(config, { retry: { attempts: 2, baseMs: 1, capMs: 1 } });
  stores.push(store);
  return store;
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

const certificate = makeCertificate();
if (certificate === undefined) console.log("private CA: not tested, openssl is not on PATH");

describe.skipIf(certificate === undefined)("createDispatcher with a private CA", () => {
  const server = createHttpsServer({ key: certificate?.key, cert: certificate?.cert }, (_, response) => answer(response));
  let endpoint: string;
  beforeAll(async () => {
    endpoint = `https://127.0.0.1:${await listen(server)}`;
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  it("trusts the bundle, on top of the usual roots", async () => {
    await open(endpoint, certificate?.cert).head("key");
  });

  it("names the endpoint and the bundle when the server is not trusted", async () => {
    const error = await fails(open(endpoint).head("key"), "bad_argument");
    expect(error.message).toContain(`no trusted TLS connection to the S3 endpoint ${endpoint}`);
    expect(error.message).toContain("CA bundle");
  });

  it("trusts a bundle that is given while the store is in use, and only when it is good", async () => {
    const store = open(endpoint);
    const other = makeCertificate()?.cert ?? "";
    await fails(renewAccess(store, configOf(endpoint, { caBundle: other })), "bad_argument");
    await fails(store.head("key"), "bad_argument");
    await renewAccess(store, configOf(endpoint, { caBundle: certificate?.cert ?? "" }));
    await store.head("key");
  });

  it("refuses a bundle that is no PEM", () => {
    expect(() => open(endpoint, "not PEM")).toThrow("the CA bundle holds no PEM certificate");
    const broken = "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n";
    expect(() => open(endpoint, `${certificate?.cert}${broken}`)).toThrow("the CA bundle holds a certificate that cannot be read");
  });

  it("names an endpoint that has no TLS", async () => {
    const plain = createHttpServer((_, response) => answer(response));
    const port = await listen(plain);
    const error = await fails(open(`https://127.0.0.1:${port}`).head("key"), "bad_argument");
    expect(error.message).toContain(`https://127.0.0.1:${port}`);
    await new Promise((resolve) => plain.close(resolve));
  });
});

describe("createDispatcher with a proxy in the environment", () => {
  it("goes through it, except to what NO_PROXY names", async () => {
    const s3 = await startScriptedS3((_, response) => answer(response));
    const asked: string[] = [];
    const proxy = createHttpServer((request, response) => {
      asked.push(request.url ?? "");
      answer(response);
    });
    vi.stubEnv("http_proxy", `http://127.0.0.1:${await listen(proxy)}`);
    await open(s3.endpoint).head("a/../through it");
    vi.stubEnv("no_proxy", "127.0.0.1");
    await open(s3.endpoint).head("direct");
    expect(asked).toEqual([`${s3.endpoint}/b/a/../through%20it`]);
    expect(s3.seen.map(({ path }) => path)).toEqual(["/b/direct"]);
    await Promise.all(stores.splice(0).map((store) => store.close()));
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
    await s3.stop();
  });
});

describe("createConnections with a proxy of the store's own", () => {
  it("goes through it with its password, whatever the environment says, from the moment it is given", async () => {
    const s3 = await startScriptedS3((_, response) => answer(response));
    const asked: [string, string | undefined][] = [];
    const proxy = createHttpServer((request, response) => {
      asked.push([request.url ?? "", request.headers["proxy-authorization"]]);
      answer(response);
    });
    const url = `http://user:pass@127.0.0.1:${await listen(proxy)}`;
    vi.stubEnv("no_proxy", "*");
    const store = open(s3.endpoint);
    await store.head("direct");
    await renewAccess(store, configOf(s3.endpoint, { proxy: url }));
    await store.head("proxied");
    expect(asked.map(([path]) => path.replace(s3.endpoint, ""))).toEqual([expect.stringMatching(/^\/b\?.*max-keys=1/), "/b/proxied"]);
    expect(new Set(asked.map(([, authorization]) => authorization))).toEqual(new Set([`Basic ${btoa("user:pass")}`]));
    await renewAccess(store, configOf(s3.endpoint));
    await store.head("direct again");
    expect(s3.seen.map(({ path }) => path.replace(/\?.*/, ""))).toEqual(["/b/direct", "/b", "/b/direct%20again"]);
    await Promise.all(stores.splice(0).map((one) => one.close()));
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
    await s3.stop();
  });

  it("names the proxy that cannot be reached, and not its password", async () => {
    const error = await fails(open("http://s3.example", undefined, { proxy: "http://user:hush@127.0.0.1:9" }).head("key"), "unavailable");
    expect(error.message).toMatch(/s3\.example through the proxy 127\.0\.0\.1:9(?!.*hush)/);
  });

  it("refuses what is no URL, without repeating it", () => {
    expect(() => open("http://127.0.0.1:9", undefined, { proxy: "user:hush@proxy:3128" })).toThrow(/^the proxy must be a URL(?!.*hush)/);
  });
});

function makeCertificate(): { readonly key: string; readonly cert: string } | undefined {
  const dir = mkdtempSync(join(tmpdir(), "bucketmount-tls-"));
  const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const about = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  try {
    execFileSync("openssl", ["req", ...kind, ...about, "-keyout", key, "-out", cert], { stdio: "ignore" });
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } catch {
    return undefined;
  } finally {
    rmSync(dir, { recursive: true });
  }
}
