import { describe, expect, it } from "vitest";
import { DriverError, FAULTS, type Fault } from "#core/errors.ts";
import { errorOfRefusal, errorOfTransport, parseErrorDocument, type Refusal, S3_FAULTS } from "#s3/errors.ts";

const refusal = (more: Partial<Refusal>): Refusal => ({
  ...{ operation: "GetObject", status: 400, code: "", message: "", bucket: "b", endpoint: "http://s3.test", region: "us-east-1", key: "k" },
  ...more,
});
const faultOf = (more: Partial<Refusal>): Fault => errorOfRefusal(refusal(more)).fault;

describe("errorOfRefusal", () => {
  it("knows every code of the table, whatever the status", () => {
    for (const [code, fault] of Object.entries(S3_FAULTS)) {
      expect(FAULTS[fault]).toBeDefined();
      expect([code, faultOf({ operation: "CreateBucket", code, status: 400 })]).toEqual([code, fault]);
    }
  });

  it.each([
    [400, "bad_argument"],
    [401, "unauthenticated"],
    [403, "denied"],
    [404, "not_found"],
    [405, "not_implemented"],
    [408, "timed_out"],
    [409, "conflict"],
    [412, "stale"],
    [413, "too_big"],
    [416, "bad_argument"],
    [429, "throttled"],
    [500, "unavailable"],
    [501, "not_implemented"],
    [502, "unavailable"],
    [503, "unavailable"],
    [507, "no_space"],
    [599, "unavailable"],
    [302, "internal"],
  ] as const)("maps HTTP %i without a body to %s", (status, fault) => {
    expect(faultOf({ status })).toBe(fault);
  });

  it("says of a directory's marker that may not go yet what rmdir(2) says", () => {
    expect(faultOf({ operation: "DeleteObject", status: 400, code: "ErrDirectoryNotEmpty", key: "d/" })).toBe("not_empty");
  });

  it("tells the two conditions apart", () => {
    const refused = { status: 412, code: "PreconditionFailed" };
    expect(faultOf({ ...refused, creating: true })).toBe("exists");
    expect(faultOf({ ...refused, replacing: true })).toBe("stale");
    expect(faultOf({ ...refused, creating: true, replacing: true, condition: "If-None-Match" })).toBe("exists");
    expect(faultOf({ ...refused, creating: true, replacing: true, condition: "If-Match" })).toBe("stale");
    expect(faultOf({ operation: "PutObject", status: 404, code: "NoSuchKey", replacing: true })).toBe("stale");
    expect(faultOf({ operation: "CopyObject", status: 404, code: "NoSuchKey", replacing: true })).toBe("not_found");
  });

  it("knows that a server took another PUT for CreateBucket", () => {
    expect(faultOf({ operation: "PutBucketVersioning", status: 409, code: "BucketAlreadyExists" })).toBe("not_implemented");
  });

  it("knows that HEAD 404 of a bucket means the bucket", () => {
    expect(faultOf({ operation: "HeadBucket", status: 404, code: "NotFound" })).toBe("no_bucket");
  });

  it.each([
    [{ code: "NoSuchBucket", status: 404 }, /the bucket "b" does not exist at http:\/\/s3\.test/],
    [{ code: "InvalidAccessKeyId", status: 403 }, /the access key id is not known by http:\/\/s3\.test/],
    [{ code: "SignatureDoesNotMatch", status: 403 }, /the secret access key does not belong/],
    [{ code: "ExpiredToken", status: 400 }, /the session token has expired/],
    [
      { code: "AuthorizationHeaderMalformed", status: 400, rightRegion: "eu-west-1" },
      /"b" is in region "eu-west-1", not "us-east-1": set the region/,
    ],
    [{ code: "PermanentRedirect", status: 301 }, /"b" is not in region "us-east-1": set the region/],
    [{ status: 301, rightRegion: "eu-west-1" }, /"b" is in region "eu-west-1"/],
    [{ status: 400, rightRegion: "eu-west-1" }, /"b" is in region "eu-west-1"/],
    [{ code: "IllegalLocationConstraintException", status: 400 }, /set the region/],
    [{ code: "AccessDenied", status: 403, message: "no" }, /^GetObject s3:\/\/b\/k: AccessDenied: no$/],
  ] as const)("says what is wrong: %j", (more, message) => {
    expect(errorOfRefusal(refusal(more)).message).toMatch(message);
  });
});

describe("errorOfTransport", () => {
  const thrown = (code: string, name = "Error") => Object.assign(new Error("told"), { code, name });
  it.each([
    ["ECONNREFUSED", "unavailable", /cannot reach the S3 endpoint http:\/\/s3\.test: the connection is refused/],
    ["ENOTFOUND", "unavailable", /host name is not known/],
    ["UND_ERR_CONNECT_TIMEOUT", "unavailable", /cannot reach the S3 endpoint http:\/\/s3\.test/],
    ["ECONNRESET", "unavailable", /broke/],
    ["UND_ERR_SOCKET", "unavailable", /broke/],
    ["SELF_SIGNED_CERT_IN_CHAIN", "bad_argument", /CA bundle/],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "bad_argument", /trusted TLS/],
    ["HPE_INVALID_CONSTANT", "bad_argument", /does not answer in HTTP/],
    ["UND_ERR_DESTROYED", "interrupted", /closed/],
    ["UND_ERR_INVALID_ARG", "internal", /told/],
    ["ERR_MODULE_NOT_FOUND", "internal", /told/],
  ] as const)("maps %s to %s", (code, fault, message) => {
    const error = errorOfTransport(thrown(code), "http://s3.test", { operation: "HeadObject" });
    expect(error.fault).toBe(fault);
    expect(error.message).toMatch(message);
  });

  it("keeps a DriverError and an abort", () => {
    const error = new DriverError("stale", "x");
    expect(errorOfTransport(error, "e", {})).toBe(error);
    expect(errorOfTransport(thrown("", "AbortError"), "e", {}).fault).toBe("interrupted");
  });
});

describe("parseErrorDocument", () => {
  it("reads code, message, region and condition", () => {
    const xml =
      "<Error><Code>A</Code><Message>x &lt; y</Message><Region>eu-1</Region><Condition>If-Match</Condition><RequestId>7</RequestId></Error>";
    expect(parseErrorDocument(xml)).toEqual({ code: "A", message: "x < y", region: "eu-1", condition: "If-Match", requestId: "7" });
  });

  it.each(["", "not xml", "<html><body>Bad gateway</body></html>", "<Error><Code>"])("takes %j for an answer without a code", (text) => {
    expect(parseErrorDocument(text)).toEqual({ code: "", message: "" });
  });
});

describe("the cause of an error", () => {
  const causeOfRefusal = (more: Partial<Refusal>) => errorOfRefusal(refusal(more)).context.cause;
  const causeOfTransport = (code: string, name = "Error") =>
    errorOfTransport(Object.assign(new Error(code), { code, name }), "https://s3.test", { operation: "GetObject" }).context.cause;

  it.each([
    [{ status: 403, code: "AccessDenied" }, "access_denied"],
    [{ operation: "HeadObject", status: 403 }, "access_denied"],
    [{ status: 403, code: "InvalidAccessKeyId" }, "unknown_access_key"],
    [{ status: 403, code: "SignatureDoesNotMatch" }, "wrong_secret_key"],
    [{ status: 400, code: "ExpiredToken" }, "expired_token"],
    [{ status: 401 }, "refused_credentials"],
    [{ status: 403, code: "RequestTimeTooSkewed" }, "clock_skew"],
    [{ status: 404, code: "NoSuchBucket" }, "no_bucket"],
    [{ status: 400, code: "AuthorizationHeaderMalformed" }, "wrong_region"],
    [{ status: 301, code: "PermanentRedirect" }, "wrong_region"],
    [{ status: 503, code: "SlowDown" }, "throttled"],
    [{ status: 503 }, "store_failing"],
    [{ status: 507 }, "store_full"],
    [{ status: 404, code: "NoSuchKey" }, undefined],
    [{ status: 412, code: "PreconditionFailed", replacing: true }, undefined],
    [{ status: 400, code: "InvalidArgument" }, undefined],
  ] as const)("of the refusal %j is %s", (more, cause) => {
    expect(causeOfRefusal(more)).toBe(cause);
  });

  it("of a refused key is the clock when the store's date is minutes off, and the message says by how much", () => {
    const slow = errorOfRefusal(refusal({ status: 403, code: "SignatureDoesNotMatch", skewMs: 17 * 60_000 }));
    expect(slow.context.cause).toBe("clock_skew");
    expect(slow.message).toContain("this machine's clock is 17 min slow and the request is refused by http://s3.test");
    expect(errorOfRefusal(refusal({ status: 403, code: "AccessDenied", skewMs: -3_600_000 })).message).toContain("60 min fast");
    expect(causeOfRefusal({ status: 403, code: "SignatureDoesNotMatch", skewMs: 2_000 })).toBe("wrong_secret_key");
    expect(causeOfRefusal({ status: 404, code: "NoSuchKey", skewMs: 17 * 60_000 })).toBeUndefined();
  });

  it.each([
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "untrusted_certificate"],
    ["SELF_SIGNED_CERT_IN_CHAIN", "untrusted_certificate"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "untrusted_certificate"],
    ["CERT_HAS_EXPIRED", "invalid_certificate"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "invalid_certificate"],
    ["EPROTO", "no_tls"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "no_tls"],
    ["HPE_INVALID_CONSTANT", "not_http"],
    ["ENOTFOUND", "unknown_host"],
    ["EAI_AGAIN", "dns_failing"],
    ["ECONNREFUSED", "connection_refused"],
    ["EHOSTUNREACH", "unreachable"],
    ["UND_ERR_CONNECT_TIMEOUT", "unreachable"],
    ["UND_ERR_HEADERS_TIMEOUT", "unreachable"],
    ["ECONNRESET", "unreachable"],
    ["UND_ERR_CLOSED", undefined],
  ])("of the transport's %s is %s", (code, cause) => {
    expect(causeOfTransport(code)).toBe(cause);
  });

  it("of a deadline of our own is that there was no answer", () => {
    const error = errorOfTransport(new DOMException("too late", "TimeoutError"), "https://s3.test", { operation: "GetObject" });
    expect([error.fault, error.context.cause]).toEqual(["timed_out", "unreachable"]);
  });

  it("of a chain that finds nothing is that there are no credentials", () => {
    expect(causeOfTransport("", "CredentialsProviderError")).toBe("no_credentials");
  });
});
