/** From a NodeStageVolume or NodePublishVolume request to what an engine is told: pure. */
import { createHash } from "node:crypto";
import { DriverError } from "#core/errors.ts";
import type { LogLevel } from "#core/log.ts";
import { type GivenOptions, type MountOptionName, parseMountOptions, resolveMountOptions } from "#core/options.ts";
import { ACCESS_MODES, type MountCapability } from "#csi/capabilities.ts";
import type { StringMap } from "#csi/messages.ts";
import type { EngineConfig } from "#fuse/engine/protocol.ts";
import type { StoreAccess } from "#s3/store-config.ts";
import { accessWith, parseSecrets } from "./credentials.ts";
import { parseVolumeContext } from "./volume-context.ts";
import type { VolumeRecord, VolumeView } from "./volume-records.ts";

/** What holds for volumes that say nothing else. */
export interface StageDefaults extends StoreAccess {
  readonly endpoint?: string;
  readonly region?: string;
  readonly pathStyle?: boolean;
  readonly cacheSizeBytes: number;
  readonly logLevel: LogLevel;
}

export interface StagePlan
  extends Pick<EngineConfig, "store" | "options" | "cacheSizeBytes" | "logLevel">,
    Required<Pick<VolumeRecord, "fingerprint" | "view" | "keys">> {
  /** Equal for requests that mean the same mount. No part of it: access, since a rotated secret is no other volume, and the view. */
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
  // A mount through libfuse dies with its engine.
  "channel",
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
  const attributes = parseVolumeContext(request.volumeContext);
  const secret = parseSecrets(request.secrets);
  const flags = parseMountFlags(capability.mountFlags);
  const endpoint = flags.url ?? attributes.endpoint ?? secret.endpoint ?? defaults.endpoint;
  const pathStyle = flags.use_path_request_style ?? attributes.pathStyle ?? defaults.pathStyle;
  const location = {
    bucket: attributes.bucket,
    prefix: attributes.prefix,
    region: flags.region ?? attributes.region ?? secret.region ?? defaults.region ?? FALLBACK_REGION,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(pathStyle === undefined ? {} : { pathStyle }),
  };
  const given = {
    ...(attributes.storageClass === undefined ? {} : { storage_class: attributes.storageClass }),
    durability: durabilityFor(capability),
    ...flags,
  };
  const resolved = resolveMountOptions(given, { uid: 0, gid: 0 });
  // The pods that use the mount run as anybody.
  const options = { ...resolved, allowOther: true, readOnly: resolved.readOnly || capability.readOnly };
  const view = { ...viewOf(capability), source: digest(Object.entries(attributes).toSorted()) };
  return {
    store: { ...location, ...accessWith(secret, defaults) },
    options: view.group === undefined ? options : { ...options, group: view.group },
    cacheSizeBytes: flags.cache_size ?? defaults.cacheSizeBytes,
    logLevel: (flags.dbglevel as LogLevel | undefined) ?? defaults.logLevel,
    fingerprint: digest([location, { ...options, kernelOptions: options.kernelOptions.filter((option) => !isContext(option)) }]),
    view,
    keys: secret.credentials === undefined ? "driver" : "secret",
  };
}

/**
 * Where other nodes read what this one wrote, close(2) waits for the bucket. A volume of one node has nobody to wait for: what is closed is
 * safe from an engine's death, is sent within a second, and before the volume can go to another node.
 */
function durabilityFor({ mode }: MountCapability): "remote" | "local" {
  return ACCESS_MODES[mode].nodes === "one" ? "local" : "remote";
}

/**
 * What a publication asks the whole mount to be. Fault `bad_argument`: a group that is no number. An owning group among the mount flags
 * is the volume's own, for pods of every fsGroup: theirs is not looked at then.
 */
export function viewOf({ mountFlags, volumeMountGroup }: MountCapability): VolumeView {
  const { gid, context } = parseMountFlags(mountFlags);
  const group = volumeMountGroup === undefined ? undefined : parseGroup(volumeMountGroup);
  return {
    ...(group === undefined || (gid !== undefined && gid !== group) ? {} : { group }),
    ...(context === undefined ? {} : { context }),
  };
}

/** The flags of a capability, parsed. Fault `bad_argument` naming the flag: unknown, wrong, or for the command line only. */
export function parseMountFlags(mountFlags: readonly string[]): GivenOptions {
  // People write mountOptions as they write mount(8)'s arguments.
  const given = parseMountOptions(mountFlags.map((flag) => flag.replace(/^-o\s*/, "")));
  const refused = COMMAND_LINE_ONLY.find((name) => given[name] !== undefined);
  if (refused !== undefined) {
    throw new DriverError(
      "bad_argument",
      `mount option "${refused}" is for the command line only: in a cluster the driver decides it, and keys come in a secret`,
    );
  }
  return given;
}

function parseGroup(text: string): number {
  // 2^32 - 1 means "no change" to the kernel.
  if (/^\d{1,10}$/.test(text) && Number(text) < 0xffff_ffff) return Number(text);
  throw new DriverError("bad_argument", `volume_mount_group (fsGroup) must be a numeric group id, not ${JSON.stringify(text)}`);
}

function isContext(kernelOption: string): boolean {
  return kernelOption.startsWith("context=");
}

function digest(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex");
}
