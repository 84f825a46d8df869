import { describe, expect, it } from "vitest";
import { caBundleOf, keyPairOf, proxyOf, secretValue } from "#csi/secrets.ts";

describe("keyPairOf", () => {
  it("`keyPairOf` reads the names of AWS and of other drivers", () => {
    expect(keyPairOf({ AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "key\n", AWS_SESSION_TOKEN: "token" })).toEqual({
      accessKeyId: "id",
      secretAccessKey: "key",
      sessionToken: "token",
    });
    expect(keyPairOf({ accessKeyID: "id", secretAccessKey: "key" })).toEqual({ accessKeyId: "id", secretAccessKey: "key" });
  });

  it("`keyPairOf` answers undefined when a secret has no keys, and refuses half a pair by the name of the other half", () => {
    expect(keyPairOf({ endpoint: "http://s3.example" })).toBeUndefined();
    expect(() => keyPairOf({ accessKeyId: "id" })).toThrow(/secretAccessKey is missing/);
    expect(() => keyPairOf({ secretAccessKey: "hidden" })).toThrow(/^(?!.*hidden).*accessKeyId is missing/);
  });
});

describe("secretValue", () => {
  it("`secretValue` passes by empty values", () => {
    expect(secretValue({ region: "", AWS_REGION: "eu-central-1" }, "region")).toBe("eu-central-1");
  });
});

describe("caBundleOf", () => {
  it("`caBundleOf` refuses a bundle with a broken certificate in it", () => {
    const broken = "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n";
    expect(() => caBundleOf({ caBundle: broken })).toThrow("secrets: caBundle holds a certificate that cannot be read");
    expect(caBundleOf({ caBundle: "" })).toBeUndefined();
  });
});

describe("proxyOf", () => {
  it("`proxyOf` takes http and https URLs only", () => {
    expect(proxyOf({ http_proxy: "http://proxy:3128" })).toBe("http://proxy:3128");
    expect(proxyOf({})).toBeUndefined();
    expect(() => proxyOf({ httpProxy: "socks5://proxy" })).toThrow(/httpProxy must be a URL/);
  });
});
