/**
 * What a CSI secret holds: keys, and where they are good. The names are those that the controller reads from its secrets, so that
 * one Kubernetes Secret serves both.
 */
import { DriverError } from "#core/errors.ts";
import type { StringMap } from "#csi/messages.ts";
import type { CredentialSource } from "#s3/store-config.ts";
import { parseEndpoint } from "./volume-context.ts";

/** Names under which a secret may hold a value: ours, AWS's environment names, and those of other drivers' secrets. */
const SECRET_KEYS = {
  accessKeyId: ["accessKeyId", "accessKeyID", "AWS_ACCESS_KEY_ID", "access_key_id", "access-key-id", "key_id"],
  secretAccessKey: ["secretAccessKey", "AWS_SECRET_ACCESS_KEY", "secret_access_key", "secret-access-key", "access_key"],
  sessionToken: ["sessionToken", "AWS_SESSION_TOKEN", "session_token", "session-token"],
  endpoint: ["endpoint", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
  region: ["region", "AWS_REGION", "AWS_DEFAULT_REGION"],
} as const;

export interface SecretSettings {
  readonly credentials?: CredentialSource;
  readonly endpoint?: string;
  readonly region?: string;
}

/**
 * The settings in a secret; all undefined for an empty one. Fault `bad_argument`: one half of a key pair, which would else fall back
 * to the driver's own in silence; an endpoint that is no URL. No value of a secret is repeated in a message.
 */
export function parseSecrets(secrets: StringMap): SecretSettings {
  const credentials = credentialsOf(secrets);
  const region = secretValue(secrets, "region");
  const given = secretValue(secrets, "endpoint");
  const endpoint = given === undefined ? undefined : parseEndpoint(given);
  if (given !== undefined && endpoint === undefined) {
    throw new DriverError("bad_argument", "secrets: endpoint must be a URL, http:// or https://, without credentials, query and fragment");
  }
  return {
    ...(credentials === undefined ? {} : { credentials }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
  };
}

function credentialsOf(secrets: StringMap): CredentialSource | undefined {
  const [accessKeyId, secretAccessKey] = [secretValue(secrets, "accessKeyId"), secretValue(secrets, "secretAccessKey")];
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined;
  if (accessKeyId === undefined) throw new DriverError("bad_argument", "secrets: accessKeyId is missing beside secretAccessKey");
  if (secretAccessKey === undefined) throw new DriverError("bad_argument", "secrets: secretAccessKey is missing beside accessKeyId");
  const sessionToken = secretValue(secrets, "sessionToken");
  return { kind: "static", accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function secretValue(secrets: StringMap, kind: keyof typeof SECRET_KEYS): string | undefined {
  const name = SECRET_KEYS[kind].find((key) => secrets[key] !== undefined && secrets[key] !== "");
  // A secret made with `echo` ends in a line break.
  return name === undefined ? undefined : secrets[name]?.trim();
}
