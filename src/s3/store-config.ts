/** How to reach a store, and as whom. Plain data: it travels between processes. */

/** Where keys come from. `chain` is the AWS default provider chain (environment, profile, instance role, web identity). */
export type CredentialSource =
  | { readonly kind: "static"; readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string }
  | { readonly kind: "chain"; readonly profile?: string };

/** As whom and which way a store is reached: what may change while it is in use, since no file changes with it. */
export interface StoreAccess {
  readonly credentials: CredentialSource;
  /** PEM of additional certificate authorities. */
  readonly caBundle?: string;
  /** URL of an HTTP proxy; it may hold a password. Undefined: what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say. */
  readonly proxy?: string;
}

/** How to reach the store. */
export interface StoreConfig extends StoreAccess {
  readonly bucket: string;
  /** "" or a prefix that ends in "/". Not applied by the store: keys are the bucket's own. */
  readonly prefix: string;
  /** Undefined: AWS's own for the region. */
  readonly endpoint?: string;
  readonly region: string;
  /** Undefined: path style for custom endpoints, virtual-hosted style for AWS. */
  readonly pathStyle?: boolean;
}
