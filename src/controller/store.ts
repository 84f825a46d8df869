/** Where a request's volume lives and as whom to go there: parameters or volume id first, then the secrets, then the driver's defaults. */
import type { StringMap } from "#csi/messages.ts";
import { keyPairOf, secretValue } from "#csi/secrets.ts";
import type { BucketAdminConfig } from "#s3/bucket-admin.ts";

export interface StoreSettings {
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly pathStyle?: boolean | undefined;
}

/** Fault `bad_argument`: the secret has one half of a key pair, which would else fall back to the driver's own in silence. */
export function resolveStore(settings: StoreSettings, secrets: StringMap, defaults: BucketAdminConfig): BucketAdminConfig {
  const credentials = keyPairOf(secrets);
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
