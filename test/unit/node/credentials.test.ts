import { rootCertificates } from "node:tls";
import { expect, test } from "vitest";
import { resolveStore } from "#controller/store.ts";
import { accessOf, accessWith, broughtBy, isSameAccess, parseSecrets } from "#node/credentials.ts";

const SPELLINGS = [
  ["accessKeyId", "secretAccessKey", "sessionToken"],
  ["accessKeyID", "secretAccessKey", "sessionToken"],
  ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
  ["access_key_id", "secret_access_key", "session_token"],
  ["access-key-id", "secret-access-key", "session-token"],
  ["key_id", "access_key", "sessionToken"],
] as const;

test.each(SPELLINGS)("`parseSecrets` reads %s, %s and %s as the controller does", (id, key, token) => {
  const secrets = { [id]: "AK", [key]: "SK\n", [token]: "T" };
  const { credentials } = parseSecrets(secrets);
  expect(credentials).toEqual({ kind: "static", accessKeyId: "AK", secretAccessKey: "SK", sessionToken: "T" });
  const { credentials: controllers } = resolveStore({}, secrets, { region: "r" });
  expect({ kind: "static", ...controllers }).toEqual(credentials);
});

test("`parseSecrets` finds where the keys are good, and nothing in an empty secret", () => {
  expect(parseSecrets({ AWS_ENDPOINT_URL: "https://s3.example/", AWS_REGION: "eu-1" })).toEqual({
    endpoint: "https://s3.example",
    region: "eu-1",
  });
  expect(parseSecrets({})).toEqual({});
  expect(parseSecrets({ accessKeyId: "", secretAccessKey: "" })).toEqual({});
});

test("`parseSecrets` names what is missing or wrong, and never a value", () => {
  expect(() => parseSecrets({ accessKeyId: "AKIAX" })).toThrow(/^secrets: secretAccessKey is missing beside accessKeyId$/);
  expect(() => parseSecrets({ secretAccessKey: "hush" })).toThrow(/^secrets: accessKeyId is missing beside secretAccessKey$/);
  expect(() => parseSecrets({ httpProxy: "proxy:hush" })).toThrow(/^secrets: httpProxy must be a URL(?!.*hush)/);
  expect(() => parseSecrets({ caBundle: "hush" })).toThrow(/^secrets: caBundle holds no PEM certificate(?!.*hush)/);
  expect(() => parseSecrets({ endpoint: "https://user:hush@host" })).toThrow(/^secrets: endpoint must be a URL(?!.*hush)/);
});

const PEM = rootCertificates[0] ?? "";
const STATIC = { kind: "static", accessKeyId: "AK", secretAccessKey: "SK" } as const;

test("`parseSecrets` finds a CA bundle and a proxy, under the names that other secrets have too", () => {
  expect(parseSecrets({ caBundle: PEM, httpProxy: "http://u:p@proxy:3128\n" })).toEqual({
    caBundle: PEM.trim(),
    proxy: "http://u:p@proxy:3128",
  });
  expect(parseSecrets({ "ca.crt": PEM, HTTPS_PROXY: "https://proxy" })).toEqual({ caBundle: PEM.trim(), proxy: "https://proxy" });
});

test("`accessWith` trusts a secret's authorities beside the driver's, and takes the rest from the secret first", () => {
  const driver = { credentials: { kind: "chain" }, caBundle: "one", proxy: "http://driver" } as const;
  expect(accessWith({}, driver)).toEqual(driver);
  expect(accessWith({ credentials: STATIC, caBundle: "two", proxy: "http://own" }, driver)).toEqual({
    credentials: STATIC,
    caBundle: "one\ntwo",
    proxy: "http://own",
  });
  expect(accessWith({}, { credentials: STATIC })).toEqual({ credentials: STATIC });
});

test("`broughtBy` finds what a publication's secret brings, and nothing without keys", () => {
  expect(broughtBy({ caBundle: "two", proxy: "http://own" }, {})).toBeUndefined();
  expect(broughtBy({ credentials: STATIC }, { caBundle: "one" })).toEqual({ credentials: STATIC });
  expect(broughtBy({ credentials: STATIC, caBundle: "two", proxy: "http://own" }, { caBundle: "one" })).toEqual({
    credentials: STATIC,
    caBundle: "one\ntwo",
    proxy: "http://own",
  });
});

test("`isSameAccess` compares keys, CA bundle and proxy, and nothing else of a store", () => {
  const store = { bucket: "b", prefix: "", region: "r", credentials: STATIC };
  expect(accessOf(store)).toEqual({ credentials: STATIC });
  expect(isSameAccess(store, { credentials: { ...STATIC } })).toBe(true);
  expect(isSameAccess(store, { credentials: { ...STATIC, sessionToken: "t" } })).toBe(false);
  expect(isSameAccess(store, { credentials: STATIC, caBundle: PEM })).toBe(false);
  expect(isSameAccess(store, { credentials: STATIC, proxy: "http://p" })).toBe(false);
});
