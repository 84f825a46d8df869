import { describe, expect, it } from "vitest";
import { addressOf, copySource, encodeKey } from "#s3/address.ts";

describe("addressOf", () => {
  it.each([
    [{ bucket: "b", region: "eu-west-1" }, "https://b.s3.eu-west-1.amazonaws.com", "/k"],
    [{ bucket: "b", region: "cn-north-1" }, "https://b.s3.cn-north-1.amazonaws.com.cn", "/k"],
    [{ bucket: "a.b", region: "us-east-1" }, "https://s3.us-east-1.amazonaws.com", "/a.b/k"],
    [{ bucket: "b", region: "us-east-1", pathStyle: true }, "https://s3.us-east-1.amazonaws.com", "/b/k"],
    [{ bucket: "b", region: "r", endpoint: "http://127.0.0.1:9000" }, "http://127.0.0.1:9000", "/b/k"],
    [{ bucket: "b", region: "r", endpoint: "https://s3.test/" }, "https://s3.test", "/b/k"],
    [{ bucket: "b", region: "r", endpoint: "https://s3.test/base/" }, "https://s3.test", "/base/b/k"],
    [{ bucket: "b", region: "r", endpoint: "https://s3.test:8443", pathStyle: false }, "https://b.s3.test:8443", "/k"],
  ])("of %j is %s%s", (config, origin, path) => {
    const address = addressOf(config);
    expect([address.origin, address.pathOf("k")]).toEqual([origin, path]);
    expect(address.host).toBe(new URL(origin).host);
  });

  it("gives the bucket itself a path without a trailing slash", () => {
    expect(addressOf({ bucket: "b", region: "r", endpoint: "http://h" }).pathOf()).toBe("/b");
    expect(addressOf({ bucket: "b", region: "us-east-1" }).pathOf()).toBe("/");
  });

  it.each(["", "not a url", "ftp://x", "s3.test", "http://x/?a=b"])("refuses the endpoint %j", (endpoint) => {
    expect(() => addressOf({ bucket: "b", region: "r", endpoint })).toThrow(/is not a URL/);
  });

  it("refuses an endpoint with a password without showing it", () => {
    for (const endpoint of ["http://user:hidden@h", "httpx://user:hidden@h"]) {
      const make = () => addressOf({ bucket: "b", region: "r", endpoint });
      expect(make).toThrow();
      expect(make).not.toThrow(/hidden/);
    }
  });

  it.each(["", "a/b", "a b", "a\n"])("refuses the bucket name %j", (bucket) => {
    expect(() => addressOf({ bucket, region: "r" })).toThrow(/is not a bucket name/);
  });
});

describe("encodeKey", () => {
  it("encodes once and normalises nothing", () => {
    expect(encodeKey("a/../b//./c")).toBe("a/../b//./c");
    expect(encodeKey("a b+c/é%/'()*!~")).toBe("a%20b%2Bc/%C3%A9%25/%27%28%29%2A%21~");
    expect(encodeKey("%2F")).toBe("%252F");
    expect(() => encodeKey("\ud800")).toThrow(/Unicode/);
  });
});

describe("copySource", () => {
  it("names bucket and encoded key", () => {
    const address = addressOf({ bucket: "b", region: "us-east-1" });
    expect(copySource(address, "a b")).toEqual({ "x-amz-copy-source": "/b/a%20b" });
  });
});
