/** Where a request's volume lives and as whom to go there: parameters or volume id first, then the secrets, then the driver's defaults. */
import { DriverError } from "#core/errors.ts";
import type { StringMap } from "#csi/messages.ts";
import type { BucketAdminConfig } from "#s3/bucket-admin.ts";

/** Names under which a secret may hold a value: ours, AWS's environment names, and those of other drivers' secrets. */
const SECRET_KEYS = {
  accessKeyId: ["accessKeyId", "accessKeyID", "AWS_ACCESS_KEY_ID", "access_key_id", "access-key-id", "key_id"],
  secretAccessKey: ["secretAccessKey", "AWS_SECRET_ACCESS_KEY", "secret_access_key", "secret-access-key", "access_key"],
  sessionToken: ["sessionToken", "AWS_SESSION_TOKEN", "session_token", "session-token"],
  endpoint: ["endpoint", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
  region: ["region", "AWS_REGION", "AWS_DEFAULT_REGION"],
} as const;

export interface StoreSettings {
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly pathStyle?: boolean | undefined;
}

/** Fault `bad_argument`: the secret has one half of a key pair, which would else fall back to the driver's own in silence. */
export function resolveStore(settings: StoreSettings, secrets: StringMap, defaults: BucketAdminConfig): BucketAdminConfig {
  const credentials = credentialsOf(secrets);
  return {
    ...defaults,
    endpoint: settings.endpoint ?? secretValue(secrets, "endpoint") ?? defaults.endpoint,
    region: settings.region ?? secretValue(secrets, "region") ?? defaults.region,
    pathStyle: settings.pathStyle ?? defaults.pathStyle,
    credentials: credentials ?? defaults.credentials,
  };
}

/** True when both mean the same store and account: then one client can serve both. */
export function sameStore(a: BucketAdminConfig, b: BucketAdminConfig): boolean {
  return a.endpoint === b.endpoint && a.region === b.region && a.pathStyle === b.pathStyle && a.credentials === b.credentials;
}

function credentialsOf(secrets: StringMap): BucketAdminConfig["credentials"] {
  const [accessKeyId, secretAccessKey] = [secretValue(secrets, "accessKeyId"), secretValue(secrets, "secretAccessKey")];
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined;
  if (accessKeyId === undefined) throw new DriverError("bad_argument", "secrets: accessKeyId is missing beside secretAccessKey");
  if (secretAccessKey === undefined) throw new DriverError("bad_argument", "secrets: secretAccessKey is missing beside accessKeyId");
  const sessionToken = secretValue(secrets, "sessionToken");
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function secretValue(secrets: StringMap, kind: keyof typeof SECRET_KEYS): string | undefined {
  const name = SECRET_KEYS[kind].find((key) => secrets[key] !== undefined && secrets[key] !== "");
  // A secret made with `echo` ends in a line break.
  return name === undefined ? undefined : secrets[name]?.trim();
}
