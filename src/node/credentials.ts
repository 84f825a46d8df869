/**
 * What a CSI secret holds: keys, and where they are good. The names are those that the controller reads from its secrets, so that
 * one Kubernetes Secret serves both.
 */
import { DriverError } from "#core/errors.ts";
import type { StringMap } from "#csi/messages.ts";
import { keyPairOf, secretValue } from "#csi/secrets.ts";
import type { CredentialSource } from "#s3/store-config.ts";
import { parseEndpoint } from "./volume-context.ts";

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
  const keys = keyPairOf(secrets);
  const region = secretValue(secrets, "region");
  const given = secretValue(secrets, "endpoint");
  const endpoint = given === undefined ? undefined : parseEndpoint(given);
  if (given !== undefined && endpoint === undefined) {
    throw new DriverError("bad_argument", "secrets: endpoint must be a URL, http:// or https://, without credentials, query and fragment");
  }
  return {
    ...(keys === undefined ? {} : { credentials: { kind: "static" as const, ...keys } }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
  };
}
