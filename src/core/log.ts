/**
 * What a part of the program may say. core has no I/O: the composition root (cli/logger.ts) makes the real logger and
 * hands it down; tests take `silentLogger`.
 *
 * A line is a set of fields and a constant message. Secrets never appear: `redactSecrets` replaces the value of every
 * field whose name is that of a secret, however deep, before a line is written.
 */
export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger that adds these fields to each line. */
  child(fields: LogFields): Logger;
}

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};

/** Stands where a secret was. */
export const REDACTED = "[redacted]";

/**
 * Names, without case, `-` and `_`, that hold secrets: AWS's own, s3fs's, CSI's `csi_secret` fields (`secrets`), HTTP's, and
 * service account tokens. An access key's id is no secret, but tells who to attack: it goes too. A proxy's URL may hold a password.
 */
const SECRET_NAME = /secret|token|passw(or)?d|credential|authorization|cookie|accesskey|privatekey|proxy/;

/** Names that match and hold no secret: paths and numbers that a reader needs. */
const HARMLESS_NAMES: ReadonlySet<string> = new Set(["passwdfile", "credentialkind", "continuationtoken"]);

/** True when a field of this name must not be written. */
export function isSecretName(name: string): boolean {
  const plain = name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  return SECRET_NAME.test(plain) && !HARMLESS_NAMES.has(plain);
}

/** A copy of `value` without secrets. Errors become their message and fault; cycles and depths over 8 are cut. */
export function redactSecrets(value: unknown, depth = 0): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (depth > 8) return "[deep]";
  if (Array.isArray(value)) return value.map((item) => redactSecrets(item, depth + 1));
  if (value instanceof Error) return redactError(value, depth);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, isSecretName(name) ? REDACTED : redactSecrets(item, depth + 1)]),
  );
}

function redactError(error: Error, depth: number): Record<string, unknown> {
  const { fault, context, code } = error as Error & { fault?: unknown; context?: unknown; code?: unknown };
  return {
    message: error.message,
    ...(fault === undefined ? {} : { fault }),
    ...(code === undefined ? {} : { code }),
    ...(context === undefined ? {} : { context: redactSecrets(context, depth + 1) }),
    ...(error.cause === undefined ? {} : { cause: redactSecrets(error.cause, depth + 1) }),
    // Only what nobody foresaw needs its stack.
    ...(fault === undefined || fault === "internal" ? { stack: error.stack } : {}),
  };
}
