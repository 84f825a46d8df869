/**
 * A volume id names the bucket, the prefix and how to reach them, and nothing else is needed to find the volume again: DeleteVolume
 * gets the id alone.
 *
 *     v1:pvc-0c2b6f6e                                          a bucket in the driver's default store
 *     v1:pvc-0c2b6f6e+region=eu-central-1                      with what the StorageClass said
 *     v1:pvc-0c2b6f6e+endpoint=https://minio.example:9000
 *     v1:shared/pvc-0c2b6f6e/                                  a prefix in a shared bucket
 *     v1:shared/ci/m2/+name=7k3v0qpd                           named by a template
 *
 * `name` is a hash of CreateVolume's name. A template may give a later claim the same place; without it a deletion of the old volume
 * that Kubernetes repeats would delete the new one.
 */
import type { VolumeId } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import { hashOf, isBucketName, isExistingBucketName } from "./bucket-name.ts";
import { isVolumePrefix } from "./prefix-name.ts";

/** The specification's limit for an id. */
const MAX_BYTES = 128;

/** 40 bits: they only have to tell the volumes apart that had one place, one after the other. */
const NAME_CHARS = 8;

/** Where a volume is. What is undefined is as the secrets or the driver's defaults say. */
export interface VolumeLocation {
  readonly bucket: string;
  /** "": the whole bucket. Else it ends in "/". */
  readonly prefix: string;
  /** `nameMark` of the volume's name, where the place is named by a template. */
  readonly name?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly pathStyle?: boolean | undefined;
}

/** In this order, so that one location has one id. */
const SETTINGS = ["name", "endpoint", "region", "pathStyle"] as const;

/** What tells the volumes of one place apart. */
export function nameMark(volumeName: string): string {
  return hashOf(volumeName, NAME_CHARS);
}

/** Fault `bad_argument` when a setting has a "+" in it, which parts settings, or when the id would be longer than CSI allows: then the endpoint belongs into the secret. */
export function encodeVolumeId(location: VolumeLocation): VolumeId {
  const settings = SETTINGS.flatMap((name) => (location[name] === undefined ? [] : [`+${name}=${location[name]}`]));
  if (settings.some((setting) => setting.includes("+", 1)))
    throw new DriverError("bad_argument", `no "+" may stand in ${settings.join(" ")}`);
  const id = `v1:${location.bucket}${location.prefix === "" ? "" : `/${location.prefix}`}${settings.join("")}`;
  if (Buffer.byteLength(id) > MAX_BYTES) {
    throw new DriverError(
      "bad_argument",
      `the volume id ${id} would be over ${MAX_BYTES} bytes; give the endpoint in the secret, not as a parameter`,
    );
  }
  return id as VolumeId;
}

/** How long a prefix may be at this location, in bytes. */
export function roomForPrefix(location: Omit<VolumeLocation, "prefix">): number {
  return MAX_BYTES - Buffer.byteLength(encodeVolumeId({ ...location, prefix: "" })) - "/".length;
}

/** The location, or undefined for what encodeVolumeId never made: such a volume does not exist. */
export function decodeVolumeId(id: string): VolumeLocation | undefined {
  const [head = "", ...settings] = id.split("+");
  const [bucket, prefix] = splitPlace(head);
  if (prefix === "" ? !isBucketName(bucket) : !isExistingBucketName(bucket) || !isVolumePrefix(prefix)) return undefined;
  const values = Object.fromEntries(
    settings.map((setting) => [setting.slice(0, setting.indexOf("=")), setting.slice(setting.indexOf("=") + 1)]),
  );
  const location: VolumeLocation = {
    ...{ bucket, prefix, name: values.name, endpoint: values.endpoint, region: values.region },
    pathStyle: values.pathStyle === undefined ? undefined : values.pathStyle === "true",
  };
  return encodesTo(location, id) ? location : undefined;
}

/** Bucket and prefix of `v1:BUCKET` and `v1:BUCKET/PREFIX/`. */
function splitPlace(head: string): readonly [string, string] {
  const place = head.startsWith("v1:") ? head.slice("v1:".length) : "";
  const slash = place.indexOf("/");
  return slash < 0 ? [place, ""] : [place.slice(0, slash), place.slice(slash + 1)];
}

/** One location, one id: settings in another order, twice, or with values of another form are no ids of ours. */
function encodesTo(location: VolumeLocation, id: string): boolean {
  return Buffer.byteLength(id) <= MAX_BYTES && encodeVolumeId(location) === id;
}
