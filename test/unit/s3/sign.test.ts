import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addressOf, encodeStrict } from "#s3/address.ts";
import { signedHeaders } from "#s3/sign.ts";

const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text, "utf8").digest();

interface Canonical {
  readonly method: string;
  readonly path: string;
  /** Canonical already. */
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: string;
  readonly region: string;
  readonly secret: string;
}

/** The signature as "Authenticating Requests: Using the Authorization Header" of the S3 API reference defines it. */
function specSignature({ method, path, query, headers, payload, region, secret }: Canonical): string {
  const names = Object.keys(headers).sort();
  const lines = names.map((name) => `${name}:${(headers[name] ?? "").trim()}\n`).join("");
  const canonical = [method, path, query, lines, names.join(";"), payload].join("\n");
  const date = headers["x-amz-date"] ?? "";
  const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", date, scope, createHash("sha256").update(canonical, "utf8").digest("hex")].join("\n");
  const key = hmac(hmac(hmac(hmac(`AWS4${secret}`, date.slice(0, 8)), region), "s3"), "aws4_request");
  return hmac(key, toSign).toString("hex");
}

/** AWS's published example credentials. */
const EXAMPLE = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

describe("signedHeaders", () => {
  it.each([
    ["GET Bucket Lifecycle", "lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"],
    ["GET Bucket (List Objects)", "max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"],
  ])("is compared below with a reference that gives AWS's published signature of %s", (_name, query, signature) => {
    const headers = { host: "examplebucket.s3.amazonaws.com", "x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z" };
    const canonical = { method: "GET", path: "/", query, headers, payload: EMPTY, region: "us-east-1", secret: EXAMPLE.secretAccessKey };
    expect(specSignature(canonical)).toBe(signature);
  });

  it("signs any key, query and metadata as the specification says", () => {
    const { host, pathOf } = addressOf({ bucket: "bucket", endpoint: "http://127.0.0.1:9000", region: "eu-west-1" });
    const word = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
    const odd = fc.constantFrom("a/../b", "a//b", "./a", "a b+c/é%", "%41", "'()*!", "~_-.", "a?b=c&d#e", "/lead", "trail/");
    fc.assert(
      fc.property(fc.oneof(word, odd), fc.oneof(word, odd), fc.string({ unit: "grapheme-ascii" }), (key, prefix, value) => {
        const query = `list-type=2&prefix=${encodeStrict(prefix)}`;
        const path = pathOf(key);
        const meta = value.trim().replace(/ +/g, " ");
        const given = { method: "PUT", path: `${path}?${query}`, host, region: "eu-west-1", nowMs: Date.UTC(2026, 0, 31, 23, 59, 59, 999) };
        const signed = signedHeaders({ ...given, headers: { "x-amz-meta-n": meta, "if-none-match": "*" } }, EXAMPLE);
        const headers = {
          ...{ host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": "20260131T235959Z" },
          ...{ "x-amz-meta-n": meta, "if-none-match": "*" },
        };
        const expected = specSignature({
          ...{ method: "PUT", path, query, headers, payload: "UNSIGNED-PAYLOAD", region: "eu-west-1", secret: EXAMPLE.secretAccessKey },
        });
        expect(signed.Authorization ?? signed.authorization).toContain(`Signature=${expected}`);
      }),
    );
  });

  it("signs Unicode as UTF-8 and sends it as its bytes", () => {
    const given = { method: "GET", path: "/b/k", host: "h", region: "us-east-1", nowMs: Date.UTC(2026, 0, 1) };
    const signed = signedHeaders({ ...given, headers: { "x-amz-meta-n": "größe 日本" } }, EXAMPLE);
    expect(Buffer.from(signed["x-amz-meta-n"] ?? "", "latin1").toString("utf8")).toBe("größe 日本");
    const headers = {
      host: "h",
      "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
      "x-amz-date": "20260101T000000Z",
      "x-amz-meta-n": "größe 日本",
    };
    const canonical = { method: "GET", path: "/b/k", query: "", headers, payload: "UNSIGNED-PAYLOAD", region: "us-east-1" };
    expect(signed.Authorization).toContain(specSignature({ ...canonical, secret: EXAMPLE.secretAccessKey }));
  });

  it("carries and signs a session token", () => {
    const given = { method: "GET", path: "/", host: "h", region: "us-east-1", nowMs: 0, headers: {} };
    const signed = signedHeaders(given, { ...EXAMPLE, sessionToken: "token" });
    const names = Object.fromEntries(Object.entries(signed).map(([name, value]) => [name.toLowerCase(), value]));
    expect(names["x-amz-security-token"]).toBe("token");
    expect(names.authorization).toContain("x-amz-security-token");
  });
});
