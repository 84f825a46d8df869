/** From a NodeStageVolume request to what an engine is told: pure. */
import { createHash } from "node:crypto";
import { DriverError } from "#core/errors.ts";
import type { LogLevel } from "#core/log.ts";
import { type GivenOptions, type MountOptionName, parseMountOptions, resolveMountOptions } from "#core/options.ts";
import type { MountCapability } from "#csi/capabilities.ts";
import type { StringMap } from "#csi/messages.ts";
import type { EngineConfig } from "#fuse/engine/protocol.ts";
import type { CredentialSource } from "#s3/store-config.ts";
import { parseSecrets } from "./credentials.ts";
import { parseVolumeContext } from "./volume-context.ts";

/** What holds for volumes that say nothing else. */
export interface StageDefaults {
  readonly endpoint?: string;
  readonly region?: string;
  readonly pathStyle?: boolean;
  /** PEM of further certificate authorities. */
  readonly caBundle?: string;
  readonly credentials: CredentialSource;
  readonly cacheSizeBytes: number;
  readonly logLevel: LogLevel;
}

export interface StagePlan extends Pick<EngineConfig, "store" | "options" | "cacheSizeBytes" | "logLevel"> {
  /** Equal for requests that mean the same mount. Keys are no part of it: a rotated secret is no other volume. */
  readonly fingerprint: string;
}

/** Options that would let whoever writes a PersistentVolume choose files and identities of the node. */
const COMMAND_LINE_ONLY: readonly MountOptionName[] = [
  "use_cache",
  "state_dir",
  "passwd_file",
  "profile",
  "iam_role",
  "ca_bundle",
  "nonempty",
];

/** S3 servers without regions want this one. */
const FALLBACK_REGION = "us-east-1";

/**
 * Mount flags go before the volume's attributes, these before the secret, the secret before the defaults. Fault `bad_argument` naming
 * the flag, attribute or secret.
 */
export function planStage(
  request: { readonly volumeContext: StringMap; readonly secrets: StringMap },
  capability: MountCapability,
  defaults: StageDefaults,
): StagePlan {
  const { bucket, prefix, ...source } = parseVolumeContext(request.volumeContext);
  const secret = parseSecrets(request.secrets);
  const flags = parseMountFlags(capability.mountFlags);
  const endpoint = flags.url ?? source.endpoint ?? secret.endpoint ?? defaults.endpoint;
  const pathStyle = flags.use_path_request_style ?? source.pathStyle ?? defaults.pathStyle;
  const location = {
    bucket,
    prefix,
    region: flags.region ?? source.region ?? secret.region ?? defaults.region ?? FALLBACK_REGION,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(pathStyle === undefined ? {} : { pathStyle }),
    ...(defaults.caBundle === undefined ? {} : { caBundle: defaults.caBundle }),
  };
  const resolved = resolveMountOptions(flags, { uid: 0, gid: 0 });
  // The pods that use the mount run as anybody.
  const options = { ...resolved, allowOther: true, readOnly: resolved.readOnly || capability.readOnly };
  return {
    store: { ...location, credentials: secret.credentials ?? defaults.credentials },
    options,
    cacheSizeBytes: flags.cache_size ?? defaults.cacheSizeBytes,
    logLevel: (flags.dbglevel as LogLevel | undefined) ?? defaults.logLevel,
    fingerprint: createHash("sha256")
      .update(JSON.stringify([location, options]))
      .digest("hex"),
  };
}

/** The flags of a capability, parsed. Fault `bad_argument` naming the flag: unknown, wrong, or for the command line only. */
export function parseMountFlags(mountFlags: readonly string[]): GivenOptions {
  const given = parseMountOptions(mountFlags);
  const refused = COMMAND_LINE_ONLY.find((name) => given[name] !== undefined);
  if (refused !== undefined) {
    throw new DriverError(
      "bad_argument",
      `mount option "${refused}" is for the command line only: in a cluster the driver decides it, and keys come in a secret`,
    );
  }
  return given;
}
