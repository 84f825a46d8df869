/**
 * What a CSI secret holds: keys, where they are good, and the way there. The names are those that the controller reads from its secrets, so that
 * one Kubernetes Secret serves both.
 */
import { isDeepStrictEqual } from "node:util";
import { DriverError } from "#core/errors.ts";
import type { StringMap } from "#csi/messages.ts";
import { caBundleOf, keyPairOf, proxyOf, secretValue } from "#csi/secrets.ts";
import type { StoreAccess } from "#s3/store-config.ts";
import { parseEndpoint } from "./volume-context.ts";

export interface SecretSettings extends Partial<StoreAccess> {
  readonly endpoint?: string;
  readonly region?: string;
}

/**
 * The settings in a secret; all undefined for an empty one. Fault `bad_argument`: one half of a key pair, which would else fall back
 * to the driver's own in silence; an endpoint or proxy that is no URL, a CA bundle that is no PEM. No value of a secret is repeated in a
 * message.
 */
export function parseSecrets(secrets: StringMap): SecretSettings {
  const keys = keyPairOf(secrets);
  const [caBundle, proxy, region] = [caBundleOf(secrets), proxyOf(secrets), secretValue(secrets, "region")];
  const given = secretValue(secrets, "endpoint");
  const endpoint = given === undefined ? undefined : parseEndpoint(given);
  if (given !== undefined && endpoint === undefined) {
    throw new DriverError("bad_argument", "secrets: endpoint must be a URL, http:// or https://, without credentials, query and fragment");
  }
  return {
    ...(keys === undefined ? {} : { credentials: { kind: "static" as const, ...keys } }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(caBundle === undefined ? {} : { caBundle }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

/** How a store is reached with a secret, and with the driver's own where that says nothing. Its authorities are trusted beside the driver's. */
export function accessWith(secret: SecretSettings, defaults: StoreAccess): StoreAccess {
  const caBundle = [defaults.caBundle, secret.caBundle].filter((pem) => pem !== undefined).join("\n");
  const proxy = secret.proxy ?? defaults.proxy;
  return {
    credentials: secret.credentials ?? defaults.credentials,
    ...(caBundle === "" ? {} : { caBundle }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

/**
 * What a publication's secret brings: undefined without keys, since a volume's route alone is its staging's. What it does not say stays as
 * it is.
 */
export function broughtBy(secret: SecretSettings, defaults: Pick<StoreAccess, "caBundle">): StoreAccess | undefined {
  const { credentials, caBundle, proxy } = secret;
  if (credentials === undefined) return undefined;
  const trusted = caBundle === undefined ? {} : { caBundle: [defaults.caBundle, caBundle].filter((pem) => pem !== undefined).join("\n") };
  return { credentials, ...trusted, ...(proxy === undefined ? {} : { proxy }) };
}

/** What of a store's configuration is its access. */
export function accessOf({ credentials, caBundle, proxy }: StoreAccess): StoreAccess {
  return { credentials, ...(caBundle === undefined ? {} : { caBundle }), ...(proxy === undefined ? {} : { proxy }) };
}

export function isSameAccess(a: StoreAccess, b: StoreAccess): boolean {
  return a.caBundle === b.caBundle && a.proxy === b.proxy && isDeepStrictEqual(a.credentials, b.credentials);
}
