/** Where a request's volume lives and as whom to go there: parameters or volume id first, then the secrets, then the driver's defaults. */
import type { StringMap } from "#csi/messages.ts";
import { caBundleOf, keyPairOf, proxyOf, secretValue } from "#csi/secrets.ts";
import type { BucketAdminConfig } from "#s3/bucket-admin.ts";

export interface StoreSettings {
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly pathStyle?: boolean | undefined;
}

/** Fault `bad_argument`: the secret has one half of a key pair, which would else fall back to the driver's own in silence. */
export function resolveStore(settings: StoreSettings, secrets: StringMap, defaults: BucketAdminConfig): BucketAdminConfig {
  const [credentials, given] = [keyPairOf(secrets), caBundleOf(secrets)];
  return {
    ...defaults,
    endpoint: settings.endpoint ?? secretValue(secrets, "endpoint") ?? defaults.endpoint,
    region: settings.region ?? secretValue(secrets, "region") ?? defaults.region,
    pathStyle: settings.pathStyle ?? defaults.pathStyle,
    credentials: credentials ?? defaults.credentials,
    // The secret's authorities are trusted beside the driver's, as in the nodes.
    caBundle: given === undefined ? defaults.caBundle : [defaults.caBundle, given].filter((pem) => pem !== undefined).join("\n"),
    proxy: proxyOf(secrets) ?? defaults.proxy,
  };
}

/** True when both mean the same store and account: then one client can serve both. */
export function sameStore(a: BucketAdminConfig, b: BucketAdminConfig): boolean {
  const settings = ["endpoint", "region", "pathStyle", "credentials", "caBundle", "proxy"] as const;
  return settings.every((name) => a[name] === b[name]);
}
