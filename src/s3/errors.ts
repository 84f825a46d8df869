/** S3 error codes and HTTP statuses as faults, with messages that name what to do. The only file that knows S3's error names. */
import type { Cause } from "#core/causes.ts";
import { DriverError, type ErrorContext, type Fault } from "#core/errors.ts";
import { scanXml } from "./xml.ts";

/** What is known of a refused request. */
export interface Refusal {
  readonly operation: string;
  readonly status: number;
  /** S3's code; "" where there was no body, as after HEAD. */
  readonly code: string;
  readonly message: string;
  readonly bucket: string;
  readonly endpoint: string;
  /** The region that the request was signed for. */
  readonly region: string;
  readonly key?: string | undefined;
  readonly requestId?: string | undefined;
  /** The region that the server named. */
  readonly rightRegion?: string | undefined;
  /** PreconditionFailed: the condition that failed, where the server says it. */
  readonly condition?: string | undefined;
  /** The request said "only if nothing is there". */
  readonly creating?: boolean | undefined;
  /** The request said "only if that version is there". */
  readonly replacing?: boolean | undefined;
  /** The server's clock less this machine's, in milliseconds, where the answer has a date. */
  readonly skewMs?: number | undefined;
}

/** The fields of an S3 error document; all empty for anything else. */
export interface ErrorDocument {
  readonly code: string;
  readonly message: string;
  readonly requestId?: string;
  readonly region?: string;
  readonly condition?: string;
}

/** Codes of AWS, MinIO (`XMinio...`), Ceph, versitygw; each is looked up as it is spelled. */
export const S3_FAULTS: Readonly<Record<string, Fault>> = {
  NoSuchKey: "not_found",
  NotFound: "not_found",
  NoSuchUpload: "not_found",
  NoSuchVersion: "not_found",
  NoSuchTagSet: "not_found",
  NoSuchBucket: "no_bucket",
  BucketAlreadyExists: "exists",
  BucketAlreadyOwnedByYou: "exists",
  AccessDenied: "denied",
  AllAccessDisabled: "denied",
  AccountProblem: "denied",
  Forbidden: "denied",
  InvalidAccessKeyId: "unauthenticated",
  XAdminUserNotFound: "unauthenticated",
  SignatureDoesNotMatch: "unauthenticated",
  ExpiredToken: "unauthenticated",
  ExpiredTokenException: "unauthenticated",
  InvalidToken: "unauthenticated",
  TokenRefreshRequired: "unauthenticated",
  RequestTimeTooSkewed: "unauthenticated",
  RequestExpired: "unauthenticated",
  InvalidSecurity: "unauthenticated",
  NotSignedUp: "unauthenticated",
  UnrecognizedClientException: "unauthenticated",
  InvalidObjectState: "archived",
  KeyTooLongError: "name_too_long",
  KeyTooLong: "name_too_long",
  EntityTooLarge: "too_big",
  MaxMessageLengthExceeded: "too_big",
  QuotaExceeded: "no_space",
  XMinioStorageFull: "no_space",
  XMinioAdminBucketQuotaExceeded: "no_space",
  InsufficientStorage: "no_space",
  TooManyBuckets: "no_space",
  SlowDown: "throttled",
  SlowDownRead: "throttled",
  SlowDownWrite: "throttled",
  Throttling: "throttled",
  ThrottlingException: "throttled",
  RequestLimitExceeded: "throttled",
  TooManyRequests: "throttled",
  TooManyRequestsException: "throttled",
  BandwidthLimitExceeded: "throttled",
  ServerBusy: "throttled",
  InternalError: "unavailable",
  ServiceUnavailable: "unavailable",
  XMinioServerNotInitialized: "unavailable",
  IncompleteBody: "unavailable",
  TemporaryRedirect: "unavailable",
  RequestTimeout: "timed_out",
  OperationAborted: "conflict",
  ConditionalRequestConflict: "conflict",
  BucketNotEmpty: "in_use",
  ObjectParentIsFile: "not_dir",
  XMinioParentIsObject: "not_dir",
  ExistingObjectIsDirectory: "is_dir",
  XMinioObjectExistsAsDirectory: "is_dir",
  // versitygw, whose directories hold their keys: somebody else has put one into it meanwhile.
  ErrDirectoryNotEmpty: "not_empty",
  NotImplemented: "not_implemented",
  MethodNotAllowed: "not_implemented",
  BadDigest: "corrupt",
  InvalidDigest: "corrupt",
  XAmzContentChecksumMismatch: "corrupt",
  XAmzContentSHA256Mismatch: "corrupt",
};

const STATUS_FAULTS: Readonly<Record<number, Fault>> = {
  400: "bad_argument",
  401: "unauthenticated",
  403: "denied",
  404: "not_found",
  405: "not_implemented",
  408: "timed_out",
  409: "conflict",
  411: "bad_argument",
  413: "too_big",
  414: "name_too_long",
  416: "bad_argument",
  429: "throttled",
  501: "not_implemented",
  507: "no_space",
};

/** Codes that mean: another region. */
const REGION_CODES: readonly string[] = [
  "AuthorizationHeaderMalformed",
  "PermanentRedirect",
  "Redirect",
  "IllegalLocationConstraintException",
  "InvalidLocationConstraint",
  "InvalidRegion",
];

/** A refused request as the error to throw. */
export function errorOfRefusal(refusal: Refusal, cause?: unknown): DriverError {
  const fault = faultOf(refusal);
  const { operation, bucket, key, status, code, requestId } = refusal;
  const why = causeOfRefusal(refusal, fault);
  const context: ErrorContext = {
    ...{ operation, bucket, key, status, requestId },
    ...(code === "" ? {} : { code }),
    ...(why === undefined ? {} : { cause: why }),
    ...(why === "clock_skew" ? { skewMs: refusal.skewMs } : {}),
  };
  return new DriverError(fault, messageOf(refusal, fault), { context, cause });
}

/** Half of what S3 allows (15 minutes): a clock that is off so far is the likeliest reason of a refused signature. */
const TELLING_SKEW_MS = 7.5 * 60_000;

/** What a person has to mend; undefined for what is no trouble, or the caller's own. */
function causeOfRefusal(refusal: Refusal, fault: Fault): Cause | undefined {
  const { code, skewMs = 0 } = refusal;
  if (isWrongRegion(refusal)) return "wrong_region";
  if (isRefusedKey(fault) && (CLOCK_CODES.includes(code) || Math.abs(skewMs) > TELLING_SKEW_MS)) return "clock_skew";
  return CREDENTIAL_CAUSES[code] ?? FAULT_CAUSES[fault];
}

function isRefusedKey(fault: Fault): boolean {
  return fault === "unauthenticated" || fault === "denied";
}

const CLOCK_CODES: readonly string[] = ["RequestTimeTooSkewed", "RequestExpired"];

const CREDENTIAL_CAUSES: Readonly<Record<string, Cause>> = {
  InvalidAccessKeyId: "unknown_access_key",
  XAdminUserNotFound: "unknown_access_key",
  UnrecognizedClientException: "unknown_access_key",
  SignatureDoesNotMatch: "wrong_secret_key",
  ExpiredToken: "expired_token",
  ExpiredTokenException: "expired_token",
  InvalidToken: "expired_token",
  TokenRefreshRequired: "expired_token",
};

const FAULT_CAUSES: Readonly<Partial<Record<Fault, Cause>>> = {
  denied: "access_denied",
  unauthenticated: "refused_credentials",
  no_bucket: "no_bucket",
  no_space: "store_full",
  throttled: "throttled",
  unavailable: "store_failing",
  timed_out: "store_failing",
};

function faultOf(refusal: Refusal): Fault {
  const { code, status } = refusal;
  if (isWrongRegion(refusal)) return "bad_argument";
  if (status === 412 || code === "PreconditionFailed") return faultOfCondition(refusal);
  const known = S3_FAULTS[code];
  // A server that passes over `?versioning` or `?tagging` takes the PUT for a CreateBucket.
  if (known === "exists" && refusal.operation !== "CreateBucket") return "not_implemented";
  // HEAD has no body: of a bucket, 404 can mean only one thing.
  if (refusal.operation === "HeadBucket" && status === 404) return "no_bucket";
  // An If-Match on a key that is gone is answered 404: the version that was seen has been replaced by none.
  if (refusal.replacing && code === "NoSuchKey" && refusal.operation !== "CopyObject") return "stale";
  return known ?? STATUS_FAULTS[status] ?? (status >= 500 ? "unavailable" : "internal");
}

function faultOfCondition({ creating, replacing, condition }: Refusal): Fault {
  if (creating && replacing) return condition?.toLowerCase() === "if-none-match" ? "exists" : "stale";
  return creating ? "exists" : "stale";
}

function isWrongRegion({ code, status, rightRegion, region }: Refusal): boolean {
  if (REGION_CODES.includes(code)) return true;
  const other = rightRegion !== undefined && rightRegion !== region;
  return status === 301 || (other && status === 400);
}

function messageOf(refusal: Refusal, fault: Fault): string {
  const { operation, bucket, key, endpoint, code, status, message, rightRegion, region } = refusal;
  const told = `${code || `HTTP ${status}`}${message === "" ? "" : `: ${message}`}`;
  if (isWrongRegion(refusal)) {
    const right =
      rightRegion === undefined || rightRegion === region
        ? `is not in region "${region}"`
        : `is in region "${rightRegion}", not "${region}"`;
    return `the bucket "${bucket}" ${right}: set the region (${told})`;
  }
  if (fault === "no_bucket") return `the bucket "${bucket}" does not exist at ${endpoint}`;
  if (causeOfRefusal(refusal, fault) === "clock_skew") return `${clockHint(refusal)} and the request is refused by ${endpoint} (${told})`;
  if (fault === "unauthenticated") return `${CREDENTIAL_HINTS[code] ?? "the credentials are refused"} by ${endpoint} (${told})`;
  return `${operation} s3://${bucket}${key === undefined ? "" : `/${key}`}: ${told}`;
}

/** Which part of the credentials is wrong, as the subject of "... by ENDPOINT". */
const CREDENTIAL_HINTS: Readonly<Record<string, string>> = {
  InvalidAccessKeyId: "the access key id is not known",
  XAdminUserNotFound: "the access key id is not known",
  SignatureDoesNotMatch: "the secret access key does not belong to the access key id and is refused",
  ExpiredToken: "the session token has expired and is refused",
  InvalidToken: "the session token is refused",
};

function clockHint({ skewMs = 0 }: Refusal): string {
  const minutes = Math.round(Math.abs(skewMs) / 60_000);
  return minutes === 0 ? "this machine's clock is wrong" : `this machine's clock is ${minutes} min ${skewMs > 0 ? "slow" : "fast"}`;
}

/** The refusal says: the bucket has no tags at all. */
export function saysNoTags(error: unknown): boolean {
  return error instanceof DriverError && error.context.code === "NoSuchTagSet";
}

/** The refusal says: that bucket is there, and is yours. */
export function saysOwnBucket(error: unknown): boolean {
  return error instanceof DriverError && error.context.code === "BucketAlreadyOwnedByYou";
}

/** Reads an S3 error document. */
export function parseErrorDocument(xml: string): ErrorDocument {
  const found: Record<string, string> = {};
  scanXml(xml, (name, text) => {
    found[name] ??= text;
  });
  const { Code: code = "", Message: message = "", RequestId, Region, Condition } = found;
  return {
    ...{ code, message: message.slice(0, MAX_MESSAGE) },
    ...(RequestId ? { requestId: RequestId } : {}),
    ...(Region ? { region: Region } : {}),
    ...(Condition ? { condition: Condition } : {}),
  };
}

/** A server's message is one line of our log. */
const MAX_MESSAGE = 300;

/** What the SDK throws when its chain finds nothing. */
const NO_CREDENTIALS = /^(?:CredentialsProviderError|ProviderError|TokenProviderError)$/;

/** Errors of TLS that no retry mends. */
const TLS_CODES = /^(?:SELF_SIGNED|DEPTH_ZERO|UNABLE_TO|CERT_|ERR_TLS|ERR_SSL|EPROTO)/;

/** A certificate that is what it should be, only of another time, purpose or host. */
const INVALID_CERTIFICATE = /^(?:CERT_(?!UNTRUSTED|CHAIN|SIGNATURE)|ERR_TLS_CERT)/;

function causeOfTls(code: string): Cause {
  if (INVALID_CERTIFICATE.test(code)) return "invalid_certificate";
  return /^(?:ERR_|EPROTO)/.test(code) ? "no_tls" : "untrusted_certificate";
}

/** What Node and undici throw before there is a response, as the error to throw. */
export function errorOfTransport(thrown: unknown, endpoint: string, context: ErrorContext): DriverError {
  if (thrown instanceof DriverError) return thrown;
  const cause = thrown instanceof Error ? thrown : new Error(String(thrown));
  // A DOMException, such as AbortSignal.timeout's, has a number.
  const code = String((cause as NodeJS.ErrnoException).code ?? "");
  const at = (fault: Fault, text: string, why?: Cause) =>
    new DriverError(fault, text, { context: { ...context, code, ...(why === undefined ? {} : { cause: why }) }, cause });
  const operation = String(context.operation ?? "the request");
  if (TLS_CODES.test(code)) {
    const text = `no trusted TLS connection to the S3 endpoint ${endpoint}: ${cause.message}; give its CA bundle, or http:// if it has no TLS`;
    return at("bad_argument", text, causeOfTls(code));
  }
  if (NO_CREDENTIALS.test(cause.name)) return at("unauthenticated", `no credentials: ${cause.message}`, "no_credentials");
  if (code.startsWith("HPE_"))
    return at("bad_argument", `the S3 endpoint ${endpoint} does not answer in HTTP (${cause.message})`, "not_http");
  if (cause.name === "AbortError") return at("interrupted", `${operation} was interrupted`);
  if (code === "UND_ERR_CLOSED" || code === "UND_ERR_DESTROYED") return at("interrupted", `${operation} ended: the store was closed`);
  const unreachable = UNREACHABLE[code];
  if (unreachable !== undefined)
    return at("unavailable", `cannot reach the S3 endpoint ${endpoint}: ${unreachable.text}`, unreachable.cause);
  if (cause.name === "TimeoutError" || code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT")
    return at("timed_out", `${operation}: no answer from ${endpoint}`, "unreachable");
  const ours = thrown instanceof TypeError || /^(?:UND_ERR_INVALID|UND_ERR_NOT_SUPPORTED|ERR_MODULE|ERR_INVALID)/.test(code);
  if (ours) return at("internal", `${operation}: ${cause.message}`);
  const fault = DriverError.from(cause).fault;
  const text = `${operation}: the connection to ${endpoint} broke: ${cause.message}`;
  return fault === "internal" || fault === "unavailable" ? at("unavailable", text, "unreachable") : at(fault, text);
}

const UNREACHABLE: Readonly<Record<string, { readonly text: string; readonly cause: Cause }>> = {
  ECONNREFUSED: { text: "the connection is refused (ECONNREFUSED)", cause: "connection_refused" },
  ENOTFOUND: { text: "the host name is not known (ENOTFOUND)", cause: "unknown_host" },
  EAI_AGAIN: { text: "the host name cannot be looked up now (EAI_AGAIN)", cause: "dns_failing" },
  EHOSTUNREACH: { text: "no route to the host (EHOSTUNREACH)", cause: "unreachable" },
  ENETUNREACH: { text: "no route to the network (ENETUNREACH)", cause: "unreachable" },
  ETIMEDOUT: { text: "no answer (ETIMEDOUT)", cause: "unreachable" },
  UND_ERR_CONNECT_TIMEOUT: { text: "no answer to the connection attempt", cause: "unreachable" },
};
