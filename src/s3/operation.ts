/** The S3 operations of the data path: method and patience of each. */

interface OperationRow {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** One attempt may take this long, plus its body's time (see `BODY_BYTES_PER_SECOND`); then it is tried anew. */
  readonly attemptMs: number;
  /** The whole call, where the caller says nothing. */
  readonly deadlineMs: number;
  /** S3 may answer 200 at once, keep the connection alive with blanks and put an error into the body. */
  readonly errorIn200?: true;
}

/** A small request that has no answer after this time is lost: S3's own tail is well below it. */
const QUICK = { attemptMs: 15_000, deadlineMs: 60_000 } as const;
/** Server-side copies and completions of large objects take minutes. */
const SLOW = { attemptMs: 300_000, deadlineMs: 600_000, errorIn200: true } as const;

export const OPERATIONS = {
  HeadObject: { method: "HEAD", ...QUICK },
  GetObject: { method: "GET", ...QUICK },
  GetObjectTagging: { method: "GET", ...QUICK },
  PutObject: { method: "PUT", ...QUICK },
  ListObjectsV2: { method: "GET", attemptMs: 30_000, deadlineMs: 90_000 },
  CopyObject: { method: "PUT", ...SLOW },
  DeleteObject: { method: "DELETE", ...QUICK },
  DeleteObjects: { method: "POST", attemptMs: 60_000, deadlineMs: 180_000 },
  CreateMultipartUpload: { method: "POST", ...QUICK },
  UploadPart: { method: "PUT", ...QUICK },
  UploadPartCopy: { method: "PUT", ...SLOW },
  CompleteMultipartUpload: { method: "POST", ...SLOW },
  AbortMultipartUpload: { method: "DELETE", ...QUICK },
} as const satisfies Record<string, OperationRow>;

export type Operation = keyof typeof OPERATIONS;

/** The slowest link that is waited for: a body adds its size at this rate to every time limit. */
export const BODY_BYTES_PER_SECOND = 128 << 10;

/** The row of an operation, its limits lengthened for a body of `bodyBytes`. */
export function limitsOf(operation: Operation, bodyBytes: number): OperationRow {
  const row: OperationRow = OPERATIONS[operation];
  if (bodyBytes === 0) return row;
  const extraMs = (bodyBytes / BODY_BYTES_PER_SECOND) * 1000;
  return { ...row, attemptMs: row.attemptMs + extraMs, deadlineMs: row.deadlineMs + 2 * extraMs };
}
