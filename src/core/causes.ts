/**
 * Why a volume does not work, as a person has to hear it: what Kubernetes' Events, gRPC messages and docs/TROUBLESHOOTING.md say.
 *
 * A fault (errors.ts) says what a program may do about an error; several causes share one. Whoever makes an error knows its cause
 * and writes it into `context.cause`: `s3/errors.ts` for all that comes from a store. Nothing compares messages.
 */
import { DriverError } from "./errors.ts";

interface CauseRow {
  /** An Event's reason: CamelCase, at most 128 characters, never changed once it is out. */
  readonly reason: string;
  /** How it shows, for the documentation. */
  readonly shows: string;
  /** One or two sentences: what to do. It stands after the error's own message, which names bucket and endpoint. */
  readonly fix: string;
  /**
   * When it is over: after any request that succeeds; after one that does what was refused; or when whoever raised it says so.
   */
  readonly over: "any-success" | "same-operation" | "told";
}

export const CAUSES = {
  access_denied: {
    reason: "AccessDenied",
    shows: "403 AccessDenied",
    fix: "Allow this key to list the bucket and to read, write and delete its objects (s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload), or put another key into the Secret.",
    over: "same-operation",
  },
  unknown_access_key: {
    reason: "UnknownAccessKey",
    shows: "403 InvalidAccessKeyId",
    fix: "Correct accessKeyID and secretAccessKey in the Secret, and check that the endpoint is the store that gave this key.",
    over: "any-success",
  },
  wrong_secret_key: {
    reason: "WrongSecretKey",
    shows: "403 SignatureDoesNotMatch",
    fix: "Correct secretAccessKey in the Secret: it must be the one that belongs to the accessKeyID beside it.",
    over: "any-success",
  },
  expired_token: {
    reason: "ExpiredCredentials",
    shows: "400 ExpiredToken, InvalidToken",
    fix: "Put fresh accessKeyID, secretAccessKey and sessionToken into the Secret, or keys that do not expire.",
    over: "any-success",
  },
  refused_credentials: {
    reason: "RefusedCredentials",
    shows: "401, and other refusals of the key",
    fix: "Check the keys in the Secret and the account that they belong to.",
    over: "any-success",
  },
  no_credentials: {
    reason: "NoCredentials",
    shows: "no Secret was given, and AWS's provider chain has nothing",
    fix: "Name a Secret with accessKeyID and secretAccessKey in the StorageClass or PersistentVolume, or give the driver credentials of its own.",
    over: "any-success",
  },
  clock_skew: {
    reason: "ClockSkew",
    shows: "403 RequestTimeTooSkewed, or a refusal by a store whose clock differs by minutes",
    fix: "Set this machine's clock: its time service (chrony, systemd-timesyncd) does not run or cannot reach its servers.",
    over: "told",
  },
  no_bucket: {
    reason: "BucketNotFound",
    shows: "404 NoSuchBucket",
    fix: "Create the bucket, or correct the volume's bucket or endpoint: another store has other buckets.",
    over: "any-success",
  },
  wrong_region: {
    reason: "WrongRegion",
    shows: "301, AuthorizationHeaderMalformed",
    fix: "Set region in the StorageClass, the PersistentVolume's volumeAttributes or the Secret.",
    over: "any-success",
  },
  untrusted_certificate: {
    reason: "UntrustedCertificate",
    shows: "UNABLE_TO_VERIFY_LEAF_SIGNATURE, SELF_SIGNED_CERT_IN_CHAIN, DEPTH_ZERO_SELF_SIGNED_CERT",
    fix: "Give the certificate authority that signed the endpoint's certificate, as PEM: caBundle in the Secret, or --ca-file of the driver.",
    over: "any-success",
  },
  invalid_certificate: {
    reason: "InvalidCertificate",
    shows: "CERT_HAS_EXPIRED, ERR_TLS_CERT_ALTNAME_INVALID",
    fix: "Renew the endpoint's certificate, or use the host name that it is made for.",
    over: "any-success",
  },
  no_tls: {
    reason: "TlsFailed",
    shows: "EPROTO, ERR_SSL_...",
    fix: "Check the endpoint's scheme and port: http:// for a store without TLS.",
    over: "any-success",
  },
  not_http: {
    reason: "NotAnS3Endpoint",
    shows: "the answer is not HTTP",
    fix: "Check the endpoint's scheme, host and port: something else listens there.",
    over: "any-success",
  },
  unknown_host: {
    reason: "HostNotFound",
    shows: "ENOTFOUND",
    fix: "Correct the endpoint's host name. The name of a Service needs its namespace (store.namespace.svc), and a pod on the host's network the dnsPolicy ClusterFirstWithHostNet.",
    over: "any-success",
  },
  dns_failing: {
    reason: "DnsFailing",
    shows: "EAI_AGAIN",
    fix: "Check that the DNS server of this machine or cluster answers; requests are repeated meanwhile.",
    over: "any-success",
  },
  connection_refused: {
    reason: "ConnectionRefused",
    shows: "ECONNREFUSED",
    fix: "Start the store, or correct the endpoint's host and port.",
    over: "any-success",
  },
  unreachable: {
    reason: "StoreUnreachable",
    shows: "ETIMEDOUT, EHOSTUNREACH, no answer, connections that break",
    fix: "Check that the store is up and that no firewall, NetworkPolicy or proxy is in the way; requests are repeated meanwhile.",
    over: "any-success",
  },
  store_failing: {
    reason: "StoreFailing",
    shows: "500, 502, 503",
    fix: "Look at the store's own health and log; requests are repeated meanwhile.",
    over: "any-success",
  },
  throttled: {
    reason: "Throttled",
    shows: "503 SlowDown, 429",
    fix: "Raise the store's request limits or spread the load; requests are repeated meanwhile.",
    over: "any-success",
  },
  store_full: {
    reason: "StoreFull",
    shows: "QuotaExceeded, XMinioStorageFull, 507",
    fix: "Make room in the store or raise its quota; what was written is kept on this node until then.",
    over: "same-operation",
  },
  disk_full: {
    reason: "CacheDiskFull",
    shows: "ENOSPC on the disk of the state folder",
    fix: "Free space on this node's disk, or lower cache_size: what is not uploaded yet is never dropped to make room.",
    over: "told",
  },
  uploads_failing: {
    reason: "UploadsFailing",
    shows: "closed files that are not in the bucket",
    fix: "The data is kept on this node's disk and sent again until it arrives: mend what the message names, and do not remove the node before.",
    over: "told",
  },
  engine_crashed: {
    reason: "EngineCrashed",
    shows: "the volume's engine ended by a signal or an error",
    fix: "A successor takes the mount over. If it happens again: look at the node plugin's log, and at its memory limit for SIGKILL.",
    over: "told",
  },
} as const satisfies Record<string, CauseRow>;

export type Cause = keyof typeof CAUSES;

/** True for the name of a cause. */
export function isCause(name: unknown): name is Cause {
  return typeof name === "string" && Object.hasOwn(CAUSES, name);
}

/** The cause of anything thrown, where one is known. */
export function causeOf(thrown: unknown): Cause | undefined {
  const error = DriverError.from(thrown);
  if (isCause(error.context.cause)) return error.context.cause;
  // Local disks speak in errno; the store's own "full" was told above.
  const code = (error.cause as NodeJS.ErrnoException | undefined)?.code;
  return error.fault === "no_space" && (code === "ENOSPC" || code === "EDQUOT") ? "disk_full" : undefined;
}

/** What went wrong and what to do about it, in one or two sentences. */
export function explain(message: string, cause: Cause | undefined): string {
  if (cause === undefined) return message;
  return `${message.replace(/[\s.;]+$/, "")}. ${CAUSES[cause].fix}`;
}
