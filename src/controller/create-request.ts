/** CreateVolume's request, checked and in our terms: pure, so each refusal is a unit test. */
import type { Clock } from "#core/clock.ts";
import { DriverError } from "#core/errors.ts";
import { checkCapability } from "#csi/capabilities.ts";
import type { CapacityRange, StringMap } from "#csi/messages.ts";
import { checkBytes, checkMap, requireList, requireString } from "#csi/validate.ts";
import type { BucketAdminConfig } from "#s3/bucket-admin.ts";
import { bucketNameFor } from "./bucket-name.ts";
import type { ProvisionRequest } from "./compatible.ts";
import type { CreateVolumeRequest } from "./messages.ts";
import { renderNameTemplate } from "./name-template.ts";
import { claimOf, parseParameters, type VolumeParameters } from "./parameters.ts";
import { prefixFor, prefixOfTemplate } from "./prefix-name.ts";
import { resolveStore } from "./store.ts";
import { encodeVolumeId, nameMark, roomForPrefix, type VolumeLocation } from "./volume-id.ts";

export interface WantedVolume extends ProvisionRequest {
  readonly store: BucketAdminConfig;
}

/** What a request does not say. */
export interface RequestDefaults {
  readonly driver: string;
  readonly store: BucketAdminConfig;
  readonly clock: Clock;
}

/** Faults: `bad_argument`, naming the field or parameter; `range` for a size that cannot be. */
export function wantedVolume(request: CreateVolumeRequest, defaults: RequestDefaults): WantedVolume {
  const volumeName = checkName(request.name);
  for (const capability of requireList(request.volumeCapabilities, "volume_capabilities"))
    checkCapability(capability, "volume_capabilities");
  const { requiredBytes, limitBytes } = checkCapacity(request.capacityRange);
  refuseWhatWeLack(request);
  const parameters = parseParameters(checkMap(request.parameters, "parameters"));
  const location = locationFor(volumeName, parameters, request.parameters);
  const store = resolveStore(parameters, checkMap(request.secrets, "secrets"), defaults.store);
  const mark = {
    format: 1,
    driver: defaults.driver,
    volumeId: encodeVolumeId(location),
    volumeName,
    capacityBytes: requiredBytes,
    parameters,
    claim: claimOf(request.parameters),
    createdAt: new Date(defaults.clock.now()).toISOString(),
  } as const;
  const { bucket, prefix } = location;
  return { place: { bucket, prefix }, region: store.region, mark, limitBytes, store };
}

/** A pure function of the request: repeating it finds the same place. */
function locationFor(volumeName: string, parameters: VolumeParameters, given: StringMap): VolumeLocation {
  const { bucket, nameTemplate, bucketPrefix, endpoint, region, pathStyle } = parameters;
  const rendered = nameTemplate === undefined ? undefined : renderNameTemplate(nameTemplate, given);
  const settings = { name: rendered === undefined ? undefined : nameMark(volumeName), endpoint, region, pathStyle };
  if (bucket === undefined) return { bucket: bucketNameFor(rendered ?? volumeName, bucketPrefix), prefix: "", ...settings };
  const room = roomForPrefix({ bucket, ...settings });
  return { bucket, prefix: rendered === undefined ? prefixFor(volumeName, room) : prefixOfTemplate(rendered, room), ...settings };
}

/** The specification bans control characters, other than common white space. */
function checkName(given: string): string {
  const name = requireString(given, "name");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these are banned.
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/.test(name)) {
    throw new DriverError("bad_argument", `name must not have control characters: ${JSON.stringify(name)}`);
  }
  return name;
}

function checkCapacity(range: CapacityRange | null): CapacityRange {
  const requiredBytes = checkBytes(range?.requiredBytes, "capacity_range.required_bytes");
  const limitBytes = checkLimit(range?.limitBytes);
  if (limitBytes > 0 && limitBytes < requiredBytes) {
    throw new DriverError("range", `capacity_range.limit_bytes (${limitBytes}) is less than required_bytes (${requiredBytes})`);
  }
  return { requiredBytes, limitBytes };
}

/** "No more than the largest int64" is a usual way to say "no limit": it need not be exact. */
function checkLimit(given: number | undefined): number {
  return given !== undefined && given > Number.MAX_SAFE_INTEGER ? Number.MAX_SAFE_INTEGER : checkBytes(given, "capacity_range.limit_bytes");
}

function refuseWhatWeLack({ volumeContentSource, mutableParameters }: CreateVolumeRequest): void {
  if (volumeContentSource !== null) {
    const kind = volumeContentSource.type === "volume" ? "another volume" : "a snapshot";
    throw new DriverError("bad_argument", `volume_content_source: a volume cannot be made from ${kind} by this version`);
  }
  const [first] = Object.keys(mutableParameters ?? {});
  if (first !== undefined)
    throw new DriverError("bad_argument", `mutable_parameters: ${first}: volumes cannot be modified by this version`);
}
