/** What a CSI secret may hold, and under which names: one table for controller and node, so that one Kubernetes Secret serves both. */
import { X509Certificate } from "node:crypto";
import { DriverError } from "#core/errors.ts";
import type { StringMap } from "./messages.ts";

/** Names under which a secret may hold a value: ours, AWS's environment names, and those of other drivers' secrets. */
const SECRET_KEYS = {
  accessKeyId: ["accessKeyId", "accessKeyID", "AWS_ACCESS_KEY_ID", "access_key_id", "access-key-id", "key_id"],
  secretAccessKey: ["secretAccessKey", "AWS_SECRET_ACCESS_KEY", "secret_access_key", "secret-access-key", "access_key"],
  sessionToken: ["sessionToken", "AWS_SESSION_TOKEN", "session_token", "session-token"],
  endpoint: ["endpoint", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
  region: ["region", "AWS_REGION", "AWS_DEFAULT_REGION"],
  caBundle: ["caBundle", "ca-bundle.crt", "ca.crt"],
  httpProxy: ["httpProxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"],
} as const;

/** The two halves of a key, with the token that belongs to them. */
export interface KeyPair {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/**
 * The key pair in a secret; undefined when it has none. Fault `bad_argument`: one half of a pair, which would else fall back to the
 * driver's own in silence. No value of a secret is repeated in a message.
 */
export function keyPairOf(secrets: StringMap): KeyPair | undefined {
  const [accessKeyId, secretAccessKey] = [secretValue(secrets, "accessKeyId"), secretValue(secrets, "secretAccessKey")];
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined;
  if (accessKeyId === undefined) throw new DriverError("bad_argument", "secrets: accessKeyId is missing beside secretAccessKey");
  if (secretAccessKey === undefined) throw new DriverError("bad_argument", "secrets: secretAccessKey is missing beside accessKeyId");
  const sessionToken = secretValue(secrets, "sessionToken");
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

/** The value that a secret has under one of the names for it. */
export function secretValue(secrets: StringMap, kind: keyof typeof SECRET_KEYS): string | undefined {
  const name = SECRET_KEYS[kind].find((key) => secrets[key] !== undefined && secrets[key] !== "");
  // A secret made with `echo` ends in a line break.
  return name === undefined ? undefined : secrets[name]?.trim();
}

/** PEM of further certificate authorities for the store. Fault `bad_argument`: it holds no certificate, or one that cannot be read. */
export function caBundleOf(secrets: StringMap): string | undefined {
  const text = secretValue(secrets, "caBundle");
  if (text === undefined) return undefined;
  const certificates = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g);
  if (certificates === null)
    throw new DriverError("bad_argument", "secrets: caBundle holds no PEM certificate (-----BEGIN CERTIFICATE-----)");
  try {
    for (const pem of certificates) new X509Certificate(pem);
  } catch (cause) {
    throw new DriverError("bad_argument", "secrets: caBundle holds a certificate that cannot be read", { cause });
  }
  return text;
}

/** The proxy on the way to the store; it may hold a password. Fault `bad_argument`: no URL. */
export function proxyOf(secrets: StringMap): string | undefined {
  const text = secretValue(secrets, "httpProxy");
  const url = text === undefined ? null : URL.parse(text);
  if (text !== undefined && !/^https?:$/.test(url?.protocol ?? "")) {
    throw new DriverError("bad_argument", "secrets: httpProxy must be a URL, http://[user:password@]host:port or https://...");
  }
  return text;
}
