import { rootCertificates } from "node:tls";
import { expect, test } from "vitest";
import { resolveStore, sameStore } from "#controller/store.ts";

const DEFAULTS = { endpoint: "http://default", region: "us-east-1", credentials: { accessKeyId: "D", secretAccessKey: "d" } };

test("`resolveStore` takes the parameters before the secrets before the defaults", () => {
  const secrets = { endpoint: "http://secret", region: "secret-1" };
  expect(resolveStore({ endpoint: "http://parameter" }, secrets, DEFAULTS)).toMatchObject({
    endpoint: "http://parameter",
    region: "secret-1",
    credentials: DEFAULTS.credentials,
  });
  expect(resolveStore({}, {}, DEFAULTS)).toMatchObject(DEFAULTS);
});

test("`resolveStore` knows the usual spellings of credentials", () => {
  const credentials = { accessKeyId: "AK", secretAccessKey: "SK" };
  expect(resolveStore({}, { accessKeyId: "AK", secretAccessKey: "SK\n", sessionToken: "T" }, DEFAULTS).credentials).toEqual({
    ...credentials,
    sessionToken: "T",
  });
  expect(resolveStore({}, { AWS_ACCESS_KEY_ID: "AK", AWS_SECRET_ACCESS_KEY: "SK" }, DEFAULTS).credentials).toEqual(credentials);
  expect(resolveStore({}, { accessKeyID: "AK", secretAccessKey: "SK", endpoint: "http://y" }, DEFAULTS)).toMatchObject({
    credentials,
    endpoint: "http://y",
  });
});

test("`resolveStore` refuses half a key pair and names the other half, not the value", () => {
  expect(() => resolveStore({}, { accessKeyId: "AKIAX" }, DEFAULTS)).toThrow(/^secrets: secretAccessKey is missing beside accessKeyId$/);
  expect(() => resolveStore({}, { secretAccessKey: "SK" }, DEFAULTS)).toThrow(/^secrets: accessKeyId is missing/);
});

test("`sameStore` is true only for the defaults themselves", () => {
  expect(sameStore(resolveStore({}, { unrelated: "x" }, DEFAULTS), DEFAULTS)).toBe(true);
  expect(sameStore(resolveStore({ region: "eu-1" }, {}, DEFAULTS), DEFAULTS)).toBe(false);
  expect(sameStore(resolveStore({}, { accessKeyId: "D", secretAccessKey: "e" }, DEFAULTS), DEFAULTS)).toBe(false);
});

test("`resolveStore` takes the way to the store from the secret, and trusts its authorities beside the driver's", () => {
  const [driver, own] = [rootCertificates[0] ?? "", rootCertificates[1] ?? ""];
  const defaults = { ...DEFAULTS, caBundle: driver, proxy: "http://driver:1" };
  expect(resolveStore({}, {}, defaults)).toMatchObject({ caBundle: driver, proxy: "http://driver:1" });
  const found = resolveStore({}, { caBundle: own, httpProxy: "http://secret:2" }, defaults);
  expect(found).toMatchObject({ caBundle: `${driver}\n${own}`, proxy: "http://secret:2" });
  expect(sameStore(found, defaults)).toBe(false);
  expect(resolveStore({}, { caBundle: own }, DEFAULTS).caBundle).toBe(own);
});
