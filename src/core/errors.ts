/**
 * The one error type and the one table of what may go wrong.
 *
 * Inside the project an error is a `DriverError` with a *fault*. S3 codes become faults in
 * `s3/errors.ts`; faults become errno in `fuse/engine` and gRPC codes in `csi/status.ts`. Nothing in
 * between compares error strings.
 */
import type { ErrnoName } from "./errno.ts";

/** gRPC status names, as google.rpc.Code has them. */
export type GrpcName =
  | "CANCELLED"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/** May the same call be made again, and when. */
export type RetryRule = "no" | "backoff" | "after-refresh" | "while-time-left" | "once";

interface FaultRow {
  /** What an application on the mount sees. */
  readonly errno: ErrnoName;
  /** What the container orchestrator sees. */
  readonly grpc: GrpcName;
  readonly retry: RetryRule;
  readonly log: "debug" | "info" | "warn" | "error";
  /** Where it comes from, for docs/ERRORS.md. */
  readonly from: string;
}

export const FAULTS = {
  not_found: { errno: "ENOENT", grpc: "NOT_FOUND", retry: "no", log: "debug", from: "NoSuchKey, HEAD 404" },
  no_bucket: { errno: "EIO", grpc: "NOT_FOUND", retry: "no", log: "error", from: "NoSuchBucket" },
  exists: {
    errno: "EEXIST",
    grpc: "ALREADY_EXISTS",
    retry: "no",
    log: "debug",
    from: "412 on If-None-Match: *; a bucket or volume of that name that differs",
  },
  stale: {
    errno: "ESTALE",
    grpc: "ABORTED",
    retry: "no",
    log: "warn",
    from: "412 on If-Match: the object was replaced elsewhere",
  },
  denied: { errno: "EACCES", grpc: "PERMISSION_DENIED", retry: "no", log: "warn", from: "403 AccessDenied" },
  not_permitted: { errno: "EPERM", grpc: "PERMISSION_DENIED", retry: "no", log: "debug", from: "the vfs's own rules" },
  unauthenticated: {
    errno: "EACCES",
    grpc: "UNAUTHENTICATED",
    retry: "after-refresh",
    log: "error",
    from: "InvalidAccessKeyId, SignatureDoesNotMatch, ExpiredToken",
  },
  archived: {
    errno: "EACCES",
    grpc: "FAILED_PRECONDITION",
    retry: "no",
    log: "warn",
    from: "InvalidObjectState: the object is in an archive tier",
  },
  bad_argument: { errno: "EINVAL", grpc: "INVALID_ARGUMENT", retry: "no", log: "debug", from: "InvalidArgument, other 400" },
  name_too_long: {
    errno: "ENAMETOOLONG",
    grpc: "INVALID_ARGUMENT",
    retry: "no",
    log: "debug",
    from: "KeyTooLongError; a name over 255 bytes",
  },
  too_big: { errno: "EFBIG", grpc: "OUT_OF_RANGE", retry: "no", log: "warn", from: "EntityTooLarge, over 10,000 parts" },
  no_space: {
    errno: "ENOSPC",
    grpc: "RESOURCE_EXHAUSTED",
    retry: "no",
    log: "error",
    from: "quota codes of the store; ENOSPC on the cache disk",
  },
  no_memory: {
    errno: "ENOMEM",
    grpc: "RESOURCE_EXHAUSTED",
    retry: "no",
    log: "error",
    from: "the buffer pool stayed over its limit",
  },
  no_data: { errno: "ENODATA", grpc: "NOT_FOUND", retry: "no", log: "debug", from: "no such extended attribute" },
  range: { errno: "ERANGE", grpc: "OUT_OF_RANGE", retry: "no", log: "debug", from: "the caller's xattr buffer is too small" },
  throttled: { errno: "EIO", grpc: "UNAVAILABLE", retry: "backoff", log: "warn", from: "SlowDown, 429" },
  unavailable: {
    errno: "EIO",
    grpc: "UNAVAILABLE",
    retry: "backoff",
    log: "warn",
    from: "500, 502, 503, connection reset or refused, DNS",
  },
  timed_out: {
    errno: "ETIMEDOUT",
    grpc: "DEADLINE_EXCEEDED",
    retry: "while-time-left",
    log: "warn",
    from: "RequestTimeout, our own deadline",
  },
  conflict: {
    errno: "EBUSY",
    grpc: "ABORTED",
    retry: "backoff",
    log: "warn",
    from: "409 OperationAborted, ConditionalRequestConflict; a call for the same volume is in flight",
  },
  in_use: { errno: "EBUSY", grpc: "FAILED_PRECONDITION", retry: "no", log: "info", from: "BucketNotEmpty; the target is still mounted" },
  precondition: {
    errno: "EINVAL",
    grpc: "FAILED_PRECONDITION",
    retry: "no",
    log: "warn",
    from: "the system is not in the state that the call needs, such as a bucket without our mark",
  },
  interrupted: { errno: "EINTR", grpc: "CANCELLED", retry: "no", log: "debug", from: "FUSE INTERRUPT, AbortError" },
  read_only: { errno: "EROFS", grpc: "FAILED_PRECONDITION", retry: "no", log: "debug", from: "a write on a read-only mount" },
  not_dir: { errno: "ENOTDIR", grpc: "INTERNAL", retry: "no", log: "debug", from: "the vfs" },
  is_dir: { errno: "EISDIR", grpc: "INTERNAL", retry: "no", log: "debug", from: "the vfs" },
  not_empty: { errno: "ENOTEMPTY", grpc: "INTERNAL", retry: "no", log: "debug", from: "the vfs" },
  cross_device: { errno: "EXDEV", grpc: "INTERNAL", retry: "no", log: "debug", from: "the vfs" },
  bad_handle: { errno: "EBADF", grpc: "INTERNAL", retry: "no", log: "warn", from: "the vfs" },
  unsupported: { errno: "EOPNOTSUPP", grpc: "UNIMPLEMENTED", retry: "no", log: "debug", from: "refused by design" },
  not_implemented: {
    errno: "ENOSYS",
    grpc: "UNIMPLEMENTED",
    retry: "no",
    log: "debug",
    from: "a whole operation or API the other side does not have (501); the kernel remembers ENOSYS",
  },
  corrupt: { errno: "EIO", grpc: "DATA_LOSS", retry: "once", log: "error", from: "checksum mismatch, short body" },
  internal: { errno: "EIO", grpc: "INTERNAL", retry: "no", log: "error", from: "anything else, logged with its stack" },
} as const satisfies Record<string, FaultRow>;

export type Fault = keyof typeof FAULTS;

/** What an error was about: bucket, key, operation, volume, status and so on. Never a secret. */
export type ErrorContext = Readonly<Record<string, string | number | boolean | undefined>>;

/** Any failure of ours. `message` is one line that names what failed and, where there is one, the fix. */
export class DriverError extends Error {
  readonly fault: Fault;
  readonly context: ErrorContext;

  constructor(fault: Fault, message: string, options: { context?: ErrorContext; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "DriverError";
    this.fault = fault;
    this.context = options.context ?? {};
  }

  /** The table row of this error's fault. */
  get row(): FaultRow {
    return FAULTS[this.fault];
  }

  /** Turns anything thrown into a DriverError: aborts become `interrupted`, system errors keep their meaning. */
  static from(thrown: unknown): DriverError {
    if (thrown instanceof DriverError) return thrown;
    if (!(thrown instanceof Error)) return new DriverError("internal", String(thrown));
    const fault =
      thrown.name === "AbortError" ? "interrupted" : (SYSTEM_FAULTS[(thrown as NodeJS.ErrnoException).code ?? ""] ?? "internal");
    return new DriverError(fault, thrown.message, { cause: thrown });
  }
}

/** Node's system error codes that mean the same wherever they come from: local disk or socket. */
const SYSTEM_FAULTS: Readonly<Record<string, Fault>> = {
  ENOSPC: "no_space",
  EDQUOT: "no_space",
  ENOMEM: "no_memory",
  EROFS: "read_only",
  EFBIG: "too_big",
  ECONNRESET: "unavailable",
  ECONNREFUSED: "unavailable",
  EPIPE: "unavailable",
  ENOTFOUND: "unavailable",
  EAI_AGAIN: "unavailable",
  EHOSTUNREACH: "unavailable",
  ENETUNREACH: "unavailable",
  ETIMEDOUT: "timed_out",
};

/** True when `thrown` is a DriverError of one of these faults. */
export function isFault(thrown: unknown, ...faults: readonly Fault[]): thrown is DriverError {
  return thrown instanceof DriverError && faults.includes(thrown.fault);
}
